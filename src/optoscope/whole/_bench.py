"""Runs of a whole optimizer, the same for optax and torch: many cases, each a sequence of gradients."""

import abc
import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optoscope.artifacts.as_optimizer import as_whole
from optoscope.optimizers import AbstractOptimizer, lift, whole_torch
from optoscope.optimizers.optax_context import what_it_needs, with_everything
from optoscope.optimizers.torch_host import CannotRun, Door, Live, find_door
from optoscope.optimizers.torch_stack import as_factory

Arrays = list[np.ndarray]
#: Cases, and steps, of one call: one size, so that one program does.
_TOGETHER, _STRETCH = 16, 8


@dataclasses.dataclass
class Case:
    """One run.

    Attributes:
        params: where it starts, one array for each tensor.
        gradients: for each tensor [step, ...].
        hold: whether the parameters are put back after each step.
        value: of the loss, told to optimizers that read it.
        seed: of random numbers; another one draws others.
    """

    params: Arrays
    gradients: Arrays
    hold: bool = True
    value: float = 1.0
    seed: int = 0


class AbstractBench(abc.ABC):
    """A whole optimizer that can be run."""

    #: Digits that parameters keep: updates are known to this share of them.
    rounding: float

    @abc.abstractmethod
    def run(self, cases: list[Case]) -> list[Arrays]:
        """Return the updates of each case, for each tensor [step, ...]."""

    @abc.abstractmethod
    def after(self, case: Case, last: list[Arrays]) -> list[Arrays]:
        """Return the updates of one more step after a case, for each of many last gradients."""

    def count_operations(self, case: Case) -> float:
        """Return how many operations on the host one step of a case takes on average; 0 where it is compiled."""
        return 0.0


class OptaxBench(AbstractBench):
    """Runs an optax transformation in float64: any number of cases of any length, by one program for all."""

    rounding = float(np.finfo(np.float64).eps)

    def __init__(self, tx: optax.GradientTransformation):
        self.tx = tx
        self._start = jax.jit(jax.vmap(self._started))
        self._go_on = jax.jit(jax.vmap(self._steps))

    def run(self, cases: list[Case]) -> list[Arrays]:
        found = []
        for i in range(0, len(cases), _TOGETHER):
            some = cases[i : i + _TOGETHER]
            carry = self._started_together(some)
            length, parts = len(some[0].gradients[0]), []
            for t in range(0, length, _STRETCH):
                carry, updates = self._stretch(carry, some, [[g[t : t + _STRETCH] for g in c.gradients] for c in some])
                parts.append(updates)
            whole = [np.concatenate(of, axis=1)[:, :length] for of in zip(*parts)]
            found += [[part[k] for part in whole] for k in range(len(some))]
        return found

    def after(self, case: Case, last: list[Arrays]) -> list[Arrays]:
        before = len(case.gradients[0])
        join = lambda g: [np.concatenate([part, own[None]]) for part, own in zip(case.gradients, g)]
        cases = [dataclasses.replace(case, gradients=join(g)) for g in last]
        return [[part[before] for part in run] for run in self.run(cases)]

    def _started_together(self, cases):
        params = [
            _filled([np.asarray(part, float) for part in parts]) for parts in zip(*(case.params for case in cases))
        ]
        with jax.enable_x64(True):
            return params, self._start(params, _filled([np.uint32(case.seed) for case in cases]))

    def _stretch(self, carry, cases, gradients):
        """Some steps more of all cases: where there are fewer gradients, nothing happens after them."""
        num = len(gradients[0][0])
        pad = lambda g: np.pad(g, [(0, _STRETCH - num)] + [(0, 0)] * (g.ndim - 1))
        given = [_filled([pad(np.asarray(g, float)) for g in parts]) for parts in zip(*gradients)]
        acts = np.broadcast_to(np.arange(_STRETCH) < num, (_TOGETHER, _STRETCH))
        hold, value = (_filled([np.asarray(getattr(case, name)) for case in cases]) for name in ("hold", "value"))
        with jax.enable_x64(True):
            carry, updates = self._go_on(carry, given, acts, hold, value.astype(float))
        return carry, [np.asarray(part) for part in updates]

    def _started(self, params, seed):
        return jax.tree.map(lambda leaf: _reseeded(leaf, seed), self.tx.init(params))

    def _steps(self, carry, gradients, acts, hold, value):
        update = with_everything(self.tx, value)

        def step(carry, inputs):
            (params, state), (g, acts) = carry, inputs
            updates, new = update(g, state, params)
            moved = [jnp.where(hold | ~acts, x, x + u).astype(x.dtype) for x, u in zip(params, updates)]
            return (moved, jax.tree.map(lambda a, b: _chosen(acts, a, b), new, state)), updates

        return jax.lax.scan(step, carry, (gradients, acts))


def _filled(rows):
    """Rows put together, with the last one again and again in the place of those that are missing."""
    return np.stack([*rows, *[rows[-1]] * (_TOGETHER - len(rows))])


def _chosen(acts, new, old):
    if jnp.issubdtype(jnp.result_type(old), jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.where(acts, jax.random.key_data(new), jax.random.key_data(old)))
    return jnp.where(acts, new, old).astype(jnp.result_type(old))


def _reseeded(leaf, seed):
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.fold_in(leaf, seed) if leaf.ndim == 0 else leaf
    if leaf.dtype == jnp.uint32:
        return leaf + jnp.asarray(seed, jnp.uint32)
    return leaf


class TorchBench(AbstractBench):
    """Runs a torch optimizer on the host: each case is a fresh one."""

    def __init__(self, factory: Any, door: Door | None = None):
        self.factory = as_factory(factory)
        self.door = find_door(self.factory) if door is None else door
        self.rounding = float(np.finfo(self.door.dtype).eps)

    def run(self, cases: list[Case]) -> list[Arrays]:
        found = []
        for case in cases:
            live, steps = self._live(case), []
            for g in zip(*case.gradients):
                steps.append(live.step(g, value=case.value, hold=case.hold))
            found.append([np.array(parts) for parts in zip(*steps)])
        return found

    def after(self, case: Case, last: list[Arrays]) -> list[Arrays]:
        live = self._live(case)
        for g in zip(*case.gradients):
            live.step(g, value=case.value, hold=case.hold)
        image, found = live.image(), []
        for g in last:
            image.put_back()
            found.append(live.step(g, value=case.value))
        return found

    def count_operations(self, case: Case) -> float:
        from torch.utils._python_dispatch import TorchDispatchMode

        class Counter(TorchDispatchMode):
            count = 0

            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                self.count += 1
                return func(*args, **(kwargs or {}))

        live, counter = self._live(case), Counter()
        with counter:
            for g in zip(*case.gradients):
                live.step(g, value=case.value, hold=case.hold)
        return counter.count / len(case.gradients[0])

    def _live(self, case: Case) -> Live:
        live = Live(self.factory, self.door, case.params)
        if case.seed:
            live.reseed(case.seed)
        return live


def make_bench(optimizer: Any) -> AbstractBench:
    """Return what runs an optimizer, given as to `as_optimizer`.

    Raises:
        TypeError: if it is none of these.
        CannotRun: if it cannot be made or stepped; the message says what it asks for.
    """
    if isinstance(optimizer, AbstractBench):
        return optimizer
    if hasattr(optimizer, "gradient_transformation"):
        optimizer = optimizer.gradient_transformation()
    optimizer = as_whole(optimizer)
    if isinstance(optimizer, AbstractOptimizer):
        factory = getattr(getattr(optimizer, "rule", None), "factory", None)
        whole = getattr(optimizer, "transformation", None)
        if factory is not None:
            return TorchBench(factory)
        return OptaxBench(lift(optimizer) if whole is None else whole)
    if isinstance(optimizer, optax.GradientTransformation):
        factory = getattr(optimizer.update, "factory", None)
        return OptaxBench(optimizer) if factory is None else TorchBench(factory)
    raise TypeError(f"an optimizer is needed, got {type(optimizer).__name__}.")


def make_functions(optimizer: Any) -> tuple[Any, Any]:
    """Return `init` and `update` of an optimizer, given as to `as_optimizer`; what updates ask for they get."""
    bench = make_bench(optimizer)
    tx = bench.tx if isinstance(bench, OptaxBench) else whole_torch(cast(TorchBench, bench).factory)
    return tx.init, with_everything(tx)


def explain(error: Exception) -> str:
    """What an optimizer needs that could not be run, in the words of its own error."""
    return str(error) if isinstance(error, CannotRun) else what_it_needs(error)
