"""From an optax transformation of a pytree to the rule of one component, where there is one."""

import math
from typing import Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from optoscope._checks import check_choice, check_count
from optoscope._types import Array, ArrayLike, Float, Scalar
from optoscope.optimizers._base import AbstractOptimizer

Clock = Literal["run", "frozen"]

#: The probes of `from_optax` are deterministic: these gradients and parameters come from this seed.
_PROBE_SEED = 0
_PROBE_STEPS = 16
_PROBE_SCALES = (0.0, 1e-6, 1e-3, 1e-1, 1.0, 1e1, 1e3, 1e6)
_PROBE_SHAPES = {"scalar": (), "vector": (3,), "matrix": (2, 2)}
#: Probes run in float64; rules that keep part of their state in fewer bits round a little differently each way.
_LEAK_TOLERANCE = 1e-6
#: Large enough that any rule that factors its matrices does so; only its shapes are computed.
_LARGE_MATRIX = (4096, 4096)


@final
class OptaxOptimizer(AbstractOptimizer):
    """The rule of one component inside an optax transformation; `from_optax` makes it.

    The state is one vector: first the state variables of the component (Adam: mean, mean square), then, if the clock
    runs, the variables that all components share (Adam: `count`). Whole numbers are stored as floating-point
    numbers, exactly up to 2^24 in float32. Derivatives take them as constant.

    Attributes:
        transformation: the optax transformation.
        clock: "run" if the shared variables are part of the state, "frozen" if they stand still. A running clock
            has no fixed point: it never stands still.
        clock_steps: the number of steps after which the clock was frozen; None if it runs.
        clock_values: the shared variables at that moment; empty if the clock runs.
        shared: for each leaf of the transformation's state whether all components share it.
    """

    transformation: optax.GradientTransformation = eqx.field(static=True)
    clock: Clock = eqx.field(static=True)
    clock_steps: int | None = eqx.field(static=True)
    clock_values: tuple[ArrayLike, ...]
    shared: tuple[bool, ...] = eqx.field(static=True)

    @property
    def has_running_clock(self) -> bool:
        """Whether the state holds variables that all components share."""
        return self.clock == "run" and any(self.shared)

    def initial_state(self) -> Float[Array, " state"]:
        x = jnp.zeros(1)
        return self._pack(self.transformation.init(x), x)[0]

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        rows, dx = self._step_together(h[None], jnp.asarray(g)[None])
        return rows[0], dx[0]

    def step_components(
        self, h: Float[Array, "component state"], g: Float[Array, " component"]
    ) -> tuple[Float[Array, "component state"], Float[Array, " component"]]:
        if not self.has_running_clock:
            return self._step_together(h, g)
        num_clocks = sum(math.prod(leaf.shape) for leaf in self._leaves(h[:1], shared=True))
        clocks = h[:, h.shape[1] - num_clocks :]
        in_step = jnp.all(clocks == clocks[:1])
        if isinstance(in_step, jax.core.Tracer):
            return jax.lax.cond(in_step, self._step_together, super().step_components, h, g)
        return self._step_together(h, g) if in_step else super().step_components(h, g)

    def _step_together(self, h, g):
        """Advance components whose clocks agree, by one update of one vector."""
        x = jnp.zeros(h.shape[:1], h.dtype)  # the rule does not read it, but it may insist on having it
        dx, state = self.transformation.update(g.astype(h.dtype), self._unpack(h), x)
        return self._pack(state, x), dx.astype(h.dtype)

    def _template(self, x):
        return jax.eval_shape(self.transformation.init, jax.ShapeDtypeStruct(x.shape[:1], x.dtype))

    def _leaves(self, x, *, shared):
        return [leaf for leaf, is_shared in zip(jax.tree.leaves(self._template(x)), self.shared) if is_shared is shared]

    def _pack(self, state, x):
        """The transformation's state as rows [component, state]."""
        own, clocks = [], []
        for leaf, is_shared in zip(jax.tree.leaves(state), self.shared):
            leaf = jnp.asarray(leaf).astype(x.dtype)
            (clocks if is_shared else own).append(leaf.reshape(1 if is_shared else len(x), -1))
        clocks = [jnp.broadcast_to(leaf, (len(x), leaf.shape[1])) for leaf in clocks if self.clock == "run"]
        return jnp.concatenate([jnp.zeros((len(x), 0), x.dtype), *own, *clocks], axis=1)

    def _unpack(self, h):
        """The inverse of `_pack`; shared variables are read from the first row, or are the frozen ones."""
        template = self._template(h)
        offset, frozen, values = 0, iter(self.clock_values), {}
        leaves = list(enumerate(jax.tree.leaves(template)))
        for i, leaf in sorted(leaves, key=lambda item: self.shared[item[0]]):
            is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
            if not is_float and jnp.finfo(h.dtype).bits < 32:
                raise ValueError(
                    f"this transformation counts in whole numbers, which {h.dtype} does not hold beyond a few hundred; "
                    "use parameters in float32 or float64."
                )
            if self.shared[i] and self.clock == "frozen":
                values[i] = jnp.asarray(next(frozen), leaf.dtype)
                continue
            size = math.prod(leaf.shape if self.shared[i] else leaf.shape[1:])
            columns = h[0, offset : offset + size] if self.shared[i] else h[:, offset : offset + size]
            values[i] = (columns if is_float else jnp.round(columns)).astype(leaf.dtype).reshape(leaf.shape)
            offset += size
        return jax.tree.unflatten(jax.tree.structure(template), [values[i] for i in range(len(leaves))])


def from_optax(
    tx: optax.GradientTransformation, *, clock: Clock = "run", clock_steps: int = 100_000
) -> OptaxOptimizer:
    """Take the rule of one component out of an optax transformation.

    `lift(from_optax(tx))` is `tx` again. Whatever is not component-wise is refused: the transformation is run on
    random gradients of many scales, on one component alone and together with others, and at different non-zero
    parameters. The probes are deterministic.

    Args:
        tx: the transformation, made of concrete numbers (not inside `jit` or `vmap`).
        clock: what to do with the variables that all components share, such as Adam's `count` or a schedule's.
            "run" makes them part of the state, so that every step is as in optax; such a state never stands
            still, hence has no fixed point. "frozen" holds them at one moment of training.
        clock_steps: that moment, for "frozen". After the default of 100,000 steps, bias corrections with decays up to
            0.9998 have vanished in float32; a learning-rate schedule is held at whatever it has come to.

    Returns:
        The rule, with the choice of clock recorded in `clock` and `clock_steps`.

    Raises:
        TypeError: if `tx` is not an optax transformation.
        ValueError: if it is not component-wise, reads the parameters, or needs more than gradients; the message gives
            the leak that was measured.

    >>> import optax
    >>> optimizer = from_optax(optax.sgd(0.1, momentum=0.9))
    >>> h, dx = optimizer.step(optimizer.initial_state(), 1.0)
    >>> h.tolist(), round(float(dx), 3)
    ([1.0], -0.1)
    """
    if not isinstance(tx, optax.GradientTransformation):
        raise TypeError(
            f"`from_optax` takes an optax.GradientTransformation, got {type(tx).__name__}; an AbstractOptimizer is the "
            "rule of one component already, and optax.MultiSteps has `gradient_transformation()`."
        )
    check_choice("clock", clock, ("run", "frozen"))
    check_count("clock_steps", clock_steps, minimum=0, hint="100,000 lets bias corrections vanish")
    with jax.enable_x64(True):
        shared = _find_shared(tx)
        _refuse_leaks(tx, shared)
    if clock == "run":
        return OptaxOptimizer(tx, clock, None, (), shared)
    return OptaxOptimizer(tx, clock, clock_steps, _clock_after(tx, shared, clock_steps), shared)


def _clock_after(tx, shared, num_steps):
    x = jnp.zeros(1)

    @jax.jit
    def advance(state):
        return jax.lax.fori_loop(0, num_steps, lambda _, state: tx.update(x, state, x)[1], state)

    leaves = jax.tree.leaves(advance(tx.init(x)))
    return tuple(np.asarray(leaf) for leaf, is_shared in zip(leaves, shared) if is_shared)


def _find_shared(tx):
    """Which leaves of the state all components share: those whose shape does not depend on their number."""

    def leaves(*shape):
        try:
            return jax.tree.leaves(jax.eval_shape(tx.init, jax.ShapeDtypeStruct(shape, jnp.float64)))
        except Exception as error:
            raise _refusal(f"its `init` fails on a plain array of parameters ({_first_line(error)})") from error

    three, five, large = leaves(3), leaves(5), leaves(*_LARGE_MATRIX)
    if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in three):
        raise _refusal("it draws random numbers: its state holds a random key")
    shared = tuple(a.shape == b.shape for a, b in zip(three, five))
    for a, b, is_shared in zip(three, five, shared):
        if not is_shared and (a.shape[:1], b.shape[:1]) != ((3,), (5,)):
            raise _refusal(f"its state for 3 components has a part of shape {a.shape}, which is not one row for each")
    expected = sum(a.size // (1 if is_shared else 3) * (1 if is_shared else math.prod(_LARGE_MATRIX))
                   for a, is_shared in zip(three, shared))
    kept = sum(leaf.size for leaf in large)
    if kept != expected or len(large) != len(three):
        raise _refusal(
            f"for a matrix of shape {_LARGE_MATRIX} it keeps {kept:,} state variables, where as many single components "
            f"have {expected:,}: it treats rows and columns as wholes"
        )
    return shared


def _refuse_leaks(tx, shared):
    rng = np.random.default_rng(_PROBE_SEED)
    num_components = sum(math.prod(shape) for shape in _PROBE_SHAPES.values())
    scales = np.array([*_PROBE_SCALES, 1.0])
    gradients = scales[:, None, None] * rng.standard_normal((len(scales), _PROBE_STEPS, num_components))
    gradients[-1, _PROBE_STEPS // 2, 0] = np.inf  # must not touch the other components
    labels = [*(f"at gradients of scale {scale:g}" for scale in _PROBE_SCALES), "where one gradient is infinite"]
    params, other_params = rng.standard_normal((2, num_components))

    def run(x, gradients):
        def step(state, g):
            dx, state = tx.update(g, state, x)
            return state, dx

        return jax.lax.scan(step, tx.init(x), gradients)

    def together(x):
        tree, trees = _as_tree(x), jax.vmap(jax.vmap(_as_tree))(gradients)
        dx = jax.vmap(lambda g: run(tree, g)[1])(trees)
        return jnp.concatenate([dx[name].reshape(*gradients.shape[:2], -1) for name in _PROBE_SHAPES], axis=-1)

    def alone(x, g):
        return jax.vmap(lambda x, g: run(x[None], g[:, None])[1][:, 0], in_axes=(0, 1), out_axes=1)(x, g)

    def clocks(g):
        return [leaf for leaf, is_shared in zip(jax.tree.leaves(run(params, g)[0]), shared) if is_shared]

    @jax.jit
    def probe():
        apart = jax.vmap(lambda g: alone(params, g))(gradients)
        return together(params), together(other_params), apart, jax.vmap(clocks)(gradients[:-1])

    try:
        updates, other_updates, apart, ends = jax.tree.map(np.asarray, probe())
    except Exception as error:
        raise _refusal(
            f"it needs more than gradients, or fails on them ({_first_line(error)}); values and loss functions are not "
            "part of a component's rule"
        ) from error
    leak, where = _worst(updates, other_updates, labels)
    if leak > _LEAK_TOLERANCE:
        raise _refusal(
            f"it reads the parameters: {where}, its updates at two different sets of parameters differ by a relative "
            f"leak of {leak:.2g}. Leave out weight decay, trust ratios and projections"
        )
    leak, where = _worst(updates, apart, labels)
    if leak > _LEAK_TOLERANCE:
        raise _refusal(
            f"{where}, the update of a component together with others differs from its update alone by a relative "
            f"leak of {leak:.2g}. Leave out norms over several components, and noise"
        )
    for end in ends:
        leak, where = _worst(end, np.broadcast_to(end[:1], end.shape), labels)
        if leak > _LEAK_TOLERANCE:
            raise _refusal(
                f"a variable that all components share depends on their gradients: {where}, it differs from its value "
                f"without gradients by a relative leak of {leak:.2g}"
            )


def _as_tree(vector):
    ends = np.cumsum([math.prod(shape) for shape in _PROBE_SHAPES.values()])
    parts = jnp.split(jnp.asarray(vector), ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(_PROBE_SHAPES.items(), parts)}


def _worst(values, others, labels):
    """Largest relative difference over everything but the first axis, and the label of its row."""
    values, others = (np.asarray(array, np.float64).reshape(len(array), -1) for array in (values, others))
    same = (values == others) | (np.isnan(values) & np.isnan(others))
    with np.errstate(all="ignore"):
        leaks = np.abs(values - others) / np.maximum(np.abs(values), np.abs(others))
    leaks = np.where(same, 0.0, np.where(np.isfinite(leaks), leaks, np.inf))
    per_row = leaks.max(axis=1, initial=0.0)
    return per_row.max(), labels[int(per_row.argmax())]


def _refusal(reason):
    return ValueError(
        f"`from_optax` takes only transformations that treat every component by itself, and this one does not: {reason}; "
        "`rollout` runs any transformation as it is."
    )


def _first_line(error):
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
