"""Runs of a whole optimizer, the same for optax and torch: many cases, each a sequence of gradients."""

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optoscope.artifacts.as_optimizer import as_whole
from optoscope.optimizers import AbstractOptimizer, lift
from optoscope.optimizers._leaks import first_line
from optoscope.optimizers.optax_context import with_everything
from optoscope.optimizers.torch_host import CannotRun, Door, Live, find_door
from optoscope.optimizers.torch_stack import as_factory

Arrays = list[np.ndarray]
#: Last gradients that are tried in one call.
_TOGETHER = 17


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


class OptaxBench(AbstractBench):
    """Runs an optax transformation: all cases of one shape at once, in float64."""

    rounding = float(np.finfo(np.float64).eps)

    def __init__(self, tx: optax.GradientTransformation):
        self._tx = tx
        self._run = jax.jit(jax.vmap(self._one))
        self._last = jax.jit(lambda state, params, last: jax.vmap(lambda g: self._step(state, params, g))(last))
        self._end = jax.jit(lambda *case: self._one(*case, keep_end=True))

    def run(self, cases: list[Case]) -> list[Arrays]:
        if not cases:
            return []
        with jax.enable_x64(True):
            stack = lambda trees: [jnp.asarray(np.stack(parts)) for parts in zip(*trees)]
            found = self._run(
                stack([case.params for case in cases]),
                stack([case.gradients for case in cases]),
                jnp.array([case.hold for case in cases]),
                jnp.array([case.value for case in cases]),
                jnp.array([case.seed for case in cases]),
            )
            found = [np.asarray(part) for part in found]
        return [[part[i] for part in found] for i in range(len(cases))]

    def after(self, case: Case, last: list[Arrays]) -> list[Arrays]:
        with jax.enable_x64(True):
            arrays = lambda parts: [jnp.asarray(part) for part in parts]
            state, params = self._end(
                arrays(case.params), arrays(case.gradients), case.hold, float(case.value), case.seed
            )
            found = []
            for i in range(0, len(last), _TOGETHER):  # one size, so that one program does
                some = last[i : i + _TOGETHER]
                padded = [*some, *[some[-1]] * (_TOGETHER - len(some))]
                updates = self._last(state, params, [jnp.asarray(np.stack(parts)) for parts in zip(*padded)])
                updates = [np.asarray(part) for part in updates]
                found += [[part[k] for part in updates] for k in range(len(some))]
        return found

    def _step(self, state, params, gradients):
        return with_everything(self._tx)(gradients, state, params)[0]

    def _one(self, params, gradients, hold, value, seed, keep_end=False):
        update = with_everything(self._tx, value)

        def step(carry, g):
            params, state = carry
            updates, state = update(g, state, params)
            moved = [jnp.where(hold, x, x + u).astype(x.dtype) for x, u in zip(params, updates)]
            return (moved, state), updates

        state = jax.tree.map(lambda leaf: _reseeded(leaf, seed), self._tx.init(params))
        end, updates = jax.lax.scan(step, (params, state), gradients)
        return (end[1], end[0]) if keep_end else updates


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


def explain(error: Exception) -> str:
    """What an optimizer needs that could not be run, in the words of its own error."""
    return str(error) if isinstance(error, CannotRun) else first_line(error)
