"""From an optax transformation of a pytree to the rule of one component, where there is one."""

import math
from typing import Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from optoscope._core.checks import check_choice, check_count
from optoscope._core.types import Array, ArrayLike, Float, Params, Scalar
from optoscope.optimizers._base import AbstractOptimizer
from optoscope.optimizers._leaks import LEAK_TOLERANCE, PROBE_SCALES, first_line, worst_leak
from optoscope.optimizers.context import Context, contexts
from optoscope.optimizers.optax_context import find_optax_component

Clock = Literal["run", "frozen"]

#: The probes of `from_optax` are deterministic: these gradients and parameters come from this seed.
_PROBE_SEED = 0
_PROBE_STEPS = 16
_PROBE_SHAPES = {"scalar": (), "vector": (3,), "matrix": (2, 2)}
_PROBE_SIZE = sum(math.prod(shape) for shape in _PROBE_SHAPES.values())
#: The component whose parameter is at 0 among others that are not: one in the matrix.
_ONE = 5
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

    @property
    def functions(self) -> optax.GradientTransformation:
        """What of it is a constant of compiled programs."""
        return self.transformation

    def initial_state(self) -> Float[Array, " state"]:
        x = jnp.zeros(1)
        return self._pack(self.transformation.init(x), x)[0]

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        rows, dx = self._step_together(h[None], jnp.asarray(g, h.dtype)[None])
        return rows[0], dx[0]

    def step_components(
        self, h: Float[Array, "component state"], g: Float[Array, " component"]
    ) -> tuple[Float[Array, "component state"], Float[Array, " component"]]:
        return self._step(super().step_components, h, g)

    def step_tree(
        self, h: Float[Array, "component state"], gradients: Params
    ) -> tuple[Float[Array, "component state"], Params]:
        # Not through one long vector: how XLA rounds a power of a decay depends on the shapes it works on.
        return self._step(super().step_tree, h, gradients)

    def _step(self, step_apart, h, gradients):
        """Advance all components by one update of the transformation, unless their clocks differ."""
        if not self.has_running_clock:
            return self._step_together(h, gradients)
        clocks = h[:, self.num_states - self._num_clocks :]
        in_step = jnp.all(clocks == clocks[:1])
        if isinstance(in_step, Tracer):
            return jax.lax.cond(in_step, self._step_together, step_apart, h, gradients)
        return (self._step_together if in_step else step_apart)(h, gradients)

    def _step_together(self, h, gradients):
        if len(h) == 0:
            return h, gradients
        x = jax.tree.map(jnp.zeros_like, gradients)  # the rule does not read them, but it may insist on having them
        updates, state = self.transformation.update(gradients, self._unpack(h, x), x)
        updates = jax.tree.map(lambda dx, g: dx.astype(g.dtype), updates, gradients)
        return self._pack(state, x).astype(h.dtype), updates

    @property
    def _num_clocks(self):
        state = jax.eval_shape(self.transformation.init, jax.ShapeDtypeStruct((1,), jnp.float32))
        return sum(leaf.size for leaf, is_shared in zip(jax.tree.leaves(state), self.shared) if is_shared)

    def _parts(self, state):
        """The parts of the state for any pytree of parameters, in the order of the state for one vector."""
        return _structure(self.transformation).flatten_up_to(state)

    def _pack(self, state, x):
        """The transformation's state for parameters `x` as rows [component, state]."""
        sizes = [leaf.size for leaf in jax.tree.leaves(x)]
        own, clocks = [jnp.zeros((sum(sizes), 0))], []
        for part, is_shared in zip(self._parts(state), self.shared):
            leaves = [jnp.asarray(leaf).astype(own[0].dtype) for leaf in jax.tree.leaves(part)]
            if not is_shared:
                own.append(jnp.concatenate([leaf.reshape(n, -1) for leaf, n in zip(leaves, sizes)]))
            elif self.clock == "run":
                counts = sizes if len(leaves) == len(sizes) else [sum(sizes)]
                rows = [jnp.broadcast_to(leaf.reshape(1, -1), (n, leaf.size)) for leaf, n in zip(leaves, counts)]
                clocks.append(jnp.concatenate(rows))
        return jnp.concatenate([*own, *clocks], axis=1)

    def _unpack(self, h, x):
        """The inverse of `_pack`; what all components share is read from the first row, or is the frozen value."""
        template = jax.eval_shape(self.transformation.init, jax.eval_shape(lambda: x))
        starts = np.cumsum([0, *(leaf.size for leaf in jax.tree.leaves(x))])
        column, frozen, parts = 0, iter(self.clock_values), {}
        for i, part in sorted(enumerate(self._parts(template)), key=lambda item: self.shared[item[0]]):
            leaves, structure = jax.tree.flatten(part)
            if self.shared[i] and self.clock == "frozen":
                value = next(frozen)
                parts[i] = jax.tree.unflatten(structure, [jnp.asarray(value, leaf.dtype) for leaf in leaves])
                continue
            values, width = [], 0
            for leaf, start, stop in zip(leaves, starts, starts[1:]):
                width = leaf.size if self.shared[i] else leaf.size // max(stop - start, 1)
                rows = h[start, column : column + width] if self.shared[i] else h[start:stop, column : column + width]
                values.append(_cast(rows, leaf.dtype).reshape(leaf.shape))
            column += width
            parts[i] = jax.tree.unflatten(structure, values)
        return jax.tree.unflatten(_structure(self.transformation), [parts[i] for i in range(len(parts))])


def _structure(tx):
    return jax.tree.structure(jax.eval_shape(tx.init, jax.ShapeDtypeStruct((1,), jnp.float32)))


def _cast(values, dtype):
    if jnp.issubdtype(dtype, jnp.floating):
        return values.astype(dtype)
    if jnp.finfo(values.dtype).bits < 32:
        raise ValueError(
            f"this transformation counts in whole numbers, which {values.dtype} does not hold beyond a few hundred; "
            "use parameters in float32 or float64."
        )
    return jnp.round(values).astype(dtype)


def from_optax(
    tx: optax.GradientTransformation,
    *,
    context: Context | bool | None = None,
    clock: Clock = "run",
    clock_steps: int = 100_000,
) -> AbstractOptimizer:
    """Take the rule of one component out of an optax transformation.

    `lift(from_optax(tx))` is `tx` again. Whatever is not component-wise is refused: the transformation is run on
    random gradients of many scales, on one component alone and together with others, and at different non-zero
    parameters. The probes are deterministic.

    Args:
        tx: the transformation, made of concrete numbers (not inside `jit` or `vmap`).
        context: the other components, for a transformation that is not component-wise: one component is then taken out
            of it with the others under a stationary stimulus. True tries the usual contexts.
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
    factory = getattr(tx.update, "factory", None)
    if factory is not None:  # a whole torch optimizer
        from optoscope.optimizers.torch_adapter import from_torch

        return from_torch(factory, context=context, clock=clock, clock_steps=clock_steps)
    if context and not (context is True and _stands_alone_at_0(tx)):
        return _in_context(tx, context, clock_steps if clock == "frozen" else None)
    with jax.enable_x64(True):
        shared = _find_shared(tx)
        if not context:
            _refuse_leaks(tx, shared)
    if clock == "run":
        return OptaxOptimizer(tx, clock, None, (), shared)
    return OptaxOptimizer(tx, clock, clock_steps, _clock_after(tx, shared, clock_steps), shared)


def _stands_alone_at_0(tx) -> bool:
    """Whether a component whose parameter stays at 0 depends on no other, and keeps no copy of the parameter."""
    with jax.enable_x64(True):
        try:
            _refuse_leaks(tx, _find_shared(tx), reads_parameters=True)
        except ValueError:
            return False
        low, high = (_after_two_steps(tx, jnp.full(3, x)) for x in (0.25, 0.75))
        return not any(np.any(np.all(np.abs(b - a - 0.5) < 0.1, axis=0)) for a, b in zip(low, high))


def _after_two_steps(tx, x):
    """Each leaf of the state after the first and after the second step, where the parameter stays in place."""
    first = tx.update(jnp.ones_like(x), tx.init(x), x)[1]
    second = tx.update(jnp.ones_like(x), first, x)[1]
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second))
    return [np.array([np.asarray(a, float), np.asarray(b, float)]) for a, b in pairs]


def _in_context(tx, context, frozen_at):
    reason = None
    for each in contexts(context):
        try:
            return find_optax_component(tx, each, frozen_at=frozen_at)
        except ValueError as error:
            reason = reason or error
    raise ValueError(f"no component of it can be taken out in a context: {reason}.") from reason


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
        return jax.tree.leaves(jax.eval_shape(tx.init, jax.ShapeDtypeStruct(shape, jnp.float64)))

    try:
        three, five, large = leaves(3), leaves(5), leaves(*_LARGE_MATRIX)
        tree = jax.eval_shape(tx.init, jax.eval_shape(lambda: _as_tree(jnp.zeros(_PROBE_SIZE))))
    except Exception as error:
        raise _refusal(f"its `init` fails on plain arrays of parameters ({first_line(error)})") from error
    try:
        _structure(tx).flatten_up_to(tree)
    except ValueError:
        raise _refusal("its state is made differently for scalars, vectors and matrices") from None
    if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in three):
        raise _refusal("it draws random numbers: its state holds a random key")
    shared = tuple(a.shape == b.shape for a, b in zip(three, five))
    for a, b, is_shared in zip(three, five, shared):
        if not is_shared and (a.shape[:1], b.shape[:1]) != ((3,), (5,)):
            raise _refusal(f"its state for 3 components has a part of shape {a.shape}, which is not one row for each")
    expected = sum(
        a.size // (1 if is_shared else 3) * (1 if is_shared else math.prod(_LARGE_MATRIX))
        for a, is_shared in zip(three, shared)
    )
    kept = sum(leaf.size for leaf in large)
    if kept != expected or len(large) != len(three):
        raise _refusal(
            f"for a matrix of shape {_LARGE_MATRIX} it keeps {kept:,} state variables, where as many single components "
            f"have {expected:,}: it treats rows and columns as wholes"
        )
    return shared


def _refuse_leaks(tx, shared, *, reads_parameters=False):
    rng = np.random.default_rng(_PROBE_SEED)
    scales = np.array([*PROBE_SCALES, 1.0])
    gradients = scales[:, None, None] * rng.standard_normal((len(scales), _PROBE_STEPS, _PROBE_SIZE))
    gradients[-1, _PROBE_STEPS // 2, 0] = np.inf  # must not touch the other components
    labels = [
        *(f"at gradients of scale {scale:g}" for scale in PROBE_SCALES),
        "where one gradient is infinite",
    ]
    params = rng.standard_normal((2, _PROBE_SIZE))
    if reads_parameters:  # all are at 0, or all but one component
        params[0], params[1, _ONE] = 0.0, 0.0

    def run(x, gradients):
        def step(state, g):
            dx, state = tx.update(g, state, x)
            return state, dx

        return jax.lax.scan(step, tx.init(x), gradients)

    def together(x, g):
        dx = run(_as_tree(x), jax.vmap(_as_tree)(g))[1]
        return jnp.concatenate([dx[name].reshape(len(g), -1) for name in _PROBE_SHAPES], axis=1).T

    def alone(x, g):
        state, dx = run(x[None], g[:, None])
        clocks = [leaf for leaf, is_shared in zip(jax.tree.leaves(state), shared) if is_shared]
        return dx[:, 0], clocks

    @jax.jit
    def probe():
        """Updates [scale, component, step], and what all components share at the end [scale, component, ...]."""
        read = jax.vmap(lambda x: jax.vmap(lambda g: together(x, g))(gradients))(params)
        return read, jax.vmap(lambda g: jax.vmap(alone, in_axes=(0, 1))(params[0], g))(gradients)

    try:
        (updates, other_updates), (apart, ends) = jax.tree.map(np.array, probe())
    except jax.errors.JAXTypeError as error:
        raise ValueError(
            "`from_optax` probes a transformation with numbers, but some of this one's are being traced by jit, vmap "
            "or grad; make it outside of them."
        ) from error
    except Exception as error:
        raise _refusal(
            f"it needs more than gradients, or fails on them ({first_line(error)}); values and loss functions are not "
            "part of a component's rule"
        ) from error
    if reads_parameters:
        other_updates[:, np.arange(_PROBE_SIZE) != _ONE] = updates[:, np.arange(_PROBE_SIZE) != _ONE]
    finite = slice(0, len(PROBE_SCALES))
    for rows in (finite, slice(None)):  # a leak at finite gradients is the better explanation
        leak, where = worst_leak(updates[rows], other_updates[rows], labels)
        if leak > LEAK_TOLERANCE:
            raise _refusal(
                f"it reads the parameters: {where}, its updates at two different sets of parameters differ by a "
                f"relative leak of {leak:.2g}. Leave out weight decay, trust ratios and projections"
            )
        leak, where = worst_leak(updates[rows], apart[rows], labels)
        if leak > LEAK_TOLERANCE:
            raise _refusal(
                f"{where}, the update of a component together with others differs from its update alone by a relative "
                f"leak of {leak:.2g}. Leave out norms over several components, and noise"
            )
    for end in ends:
        leak, where = worst_leak(end[finite], np.broadcast_to(end[0, 0], end[finite].shape), labels)
        if leak > LEAK_TOLERANCE:
            raise _refusal(
                f"a variable that all components share depends on their gradients: {where}, it differs from its value "
                f"without gradients by a relative leak of {leak:.2g}"
            )


def _as_tree(vector):
    ends = np.cumsum([math.prod(shape) for shape in _PROBE_SHAPES.values()])
    parts = jnp.split(jnp.asarray(vector), ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(_PROBE_SHAPES.items(), parts)}


def _refusal(reason):
    return ValueError(
        "`from_optax` takes only transformations that treat every component by itself, and this one does not: "
        f"{reason}; `rollout` runs any transformation as it is."
    )
