"""One component of a whole optax transformation among others."""

import functools
from collections.abc import Callable
from typing import Any, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from optoscope._core.chunks import in_chunks
from optoscope._core.types import Array, Float, Params, Scalar
from optoscope.optimizers._base import AbstractOptimizer
from optoscope.optimizers._leaks import LEAK_TOLERANCE, first_line, worst_leak
from optoscope.optimizers.context import TRIED_FACTORS, Context, gradients_to_visit, unless_chaotic

#: Steps of the context that are recorded; afterwards it counts on, and all else stays as it was then.
_RECORDED = 512
_NUM_STEPS, _CHECKED_STEPS = 40, 64
_MOST = 160
#: Moments at which it is tried whether they matter, and rows in one compiled call.
_MOMENTS, _ROWS = 300, 512
#: Curvature of the quadratic that rules get which evaluate a loss.
CURVATURE = 1.0


def with_everything(tx: optax.GradientTransformation, value: Scalar = 1.0) -> Callable[..., tuple[Any, Any]]:
    """Return `tx.update` with the extra arguments that rules ask for: the value of a loss, and the loss, a quadratic.

    Its gradient at the parameters is the gradient given.
    """
    update = optax.with_extra_args_support(tx).update

    def updated(gradients: Params, state: Any, params: Params):
        def loss(x, *_, **__):
            moved = jax.tree.map(jnp.subtract, x, params)
            parts = jax.tree.map(lambda d, g: jnp.sum(g * d) + 0.5 * CURVATURE * jnp.sum(d * d), moved, gradients)
            return jnp.asarray(value, float) + sum(jax.tree.leaves(parts))

        usual = {"value": jnp.asarray(value, float), "grad": gradients, "value_fn": loss}
        for extra in ({**usual, "obj_fn": loss}, usual):
            try:
                return update(gradients, state, params, **extra)
            except TypeError as error:  # not asked for, or asked for under another name
                if "argument" not in str(error):
                    raise
        return update(gradients, state, params)

    return updated


@final
class OptaxContextOptimizer(AbstractOptimizer):
    """One component of a whole optax transformation, with all others under a stationary stimulus.

    What a change of its gradient changes is its state, shared numbers (the average of a norm) included; everything else
    is what it was in a run of the context. If that matters at the end, the last state variable counts the steps.

    Attributes:
        transformation: the whole one.
        context: the others.
        recorded: the leaves of the whole state along the run of the context, [step, ...].
        places: for each own number its leaf and its place there; leaf -1 is the parameter.
        counts_steps: whether the number of steps taken is part of the state.
        counting: for each leaf whether it counts the steps.
        frozen_at: the number of steps at which everything else stands still; None if it runs.
    """

    transformation: optax.GradientTransformation = eqx.field(static=True)
    context: Context = eqx.field(static=True)
    recorded: tuple[Any, ...]
    places: tuple[tuple[int, int], ...] = eqx.field(static=True)
    counts_steps: bool = eqx.field(static=True)
    counting: tuple[bool, ...] = eqx.field(static=True)
    frozen_at: int | None = eqx.field(static=True)

    @property
    def clock(self) -> Literal["run", "frozen"]:
        """Whether everything else runs or stands still."""
        return "run" if self.frozen_at is None else "frozen"

    @property
    def has_running_clock(self) -> bool:
        """Whether the state holds the number of steps taken."""
        return self.counts_steps

    @property
    def carries_parameter(self) -> bool:
        """Whether the parameter is part of the state."""
        return (-1, 0) in self.places

    def initial_state(self) -> Float[Array, " state"]:
        leaves = [leaf[0] for leaf in self.recorded]
        own = [0.0 if i < 0 else jnp.asarray(leaves[i]).reshape(-1)[j] for i, j in self.places]
        values = [jnp.asarray(value, float) for value in [*own, *[0.0] * self.counts_steps]]
        return jnp.stack(values) if values else jnp.zeros(0)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        steps = h[-1] if self.counts_steps else jnp.asarray(self.frozen_at or 0, h.dtype)
        steps = jax.lax.stop_gradient(jnp.maximum(jnp.round(steps), 0)).astype(jnp.int32)
        params, template, structure = self._templates(h.dtype)
        leaves = []
        for i, (leaf, like) in enumerate(zip(self.recorded, template)):
            value = jnp.asarray(leaf)[jnp.minimum(steps, _RECORDED)]
            if self.counting[i]:
                value = value + jnp.maximum(steps - _RECORDED, 0).astype(value.dtype)
            mine = [(j, column) for column, (k, j) in enumerate(self.places) if k == i]
            if mine:
                values = h[jnp.array([column for _, column in mine])]
                whole = not jnp.issubdtype(value.dtype, jnp.floating)
                values = (jnp.round(values) if whole else values).astype(value.dtype)
                flat = value.reshape(-1).at[jnp.array([j for j, _ in mine])].set(values)
                value = flat.reshape(value.shape)
            leaves.append(_as(value, like))
        x = h[self.places.index((-1, 0))] if self.carries_parameter else jnp.zeros((), h.dtype)
        params[0] = params[0].at[0, 0].set(x)
        gradients = [jnp.asarray(part, h.dtype) for part in self.context.gradient(0)]
        if self.context.pattern == "alternating":
            gradients = [jnp.where(steps % 2 == 1, -part, part) for part in gradients]
        gradients[0] = gradients[0].at[0, 0].set(g)
        state = jax.tree.unflatten(structure, leaves)
        updates, state = with_everything(self.transformation)(gradients, state, params)
        dx = updates[0][0, 0].astype(h.dtype)
        new = [_plain(leaf).reshape(-1) for leaf in jax.tree.leaves(state)]
        own = [x + dx if i < 0 else new[i][j].astype(h.dtype) for i, j in self.places]
        if self.counts_steps:
            own.append((steps + 1).astype(h.dtype))
        return (jnp.stack(own) if own else h), dx

    def _templates(self, dtype):
        params = [jnp.asarray(part, dtype) for part in self.context.start()]
        state = jax.eval_shape(self.transformation.init, params)
        leaves, structure = jax.tree.flatten(state)
        return params, leaves, structure


def find_optax_component(
    tx: optax.GradientTransformation, context: Context, *, frozen_at: int | None = None
) -> OptaxContextOptimizer:
    """Take one component of a whole transformation out of it, with the others under a stationary stimulus.

    Raises:
        ValueError: if the transformation fails, if one gradient changes more numbers than can be looked at, or if the
            component's updates are not those of the whole transformation on fresh gradients.
    """
    with jax.enable_x64(True):
        try:
            return _found(tx, context, frozen_at)
        except jax.errors.JAXTypeError as error:
            raise ValueError(f"it cannot be run inside of jit ({first_line(error)})") from error
        except (TypeError, LookupError, AttributeError, NotImplementedError) as error:
            raise ValueError(what_it_needs(error)) from error


def what_it_needs(error: Exception) -> str:
    """What a transformation asks for that failed on plain arrays, in words where its own error has none."""
    text = str(error)
    if "no attribute 'fast'" in text:
        return "it takes parameters in pairs, as optax.LookaheadParams, not as arrays"
    if "scan body function carry" in text or "pytree structure error" in text:
        return "its state has another structure after a step than before it"
    return text if isinstance(error, ValueError) else f"it fails on gradients ({first_line(error)})"


def _found(tx, context, frozen_at):
    run = _runner(tx, context)
    sequences, labels = _sequences()
    probes = np.ones((5, _CHECKED_STEPS))
    probes[:3] = np.random.default_rng(3).standard_normal((3, _CHECKED_STEPS))
    starts = np.pad([0.0, 0.0, 0.0, 0.25, 0.75], (0, len(sequences)))
    probes = np.concatenate([probes, sequences])
    leaves, updates = jax.tree.map(np.asarray, run(probes, starts, False))
    with np.errstate(invalid="ignore"):
        carries = any(
            np.issubdtype(leaf.dtype, np.floating)
            and bool((np.abs(leaf[4, 1:3].astype(float) - leaf[3, 1:3] - 0.5) < 0.1).all(0).any())
            for leaf in leaves
        )
    if carries:
        leaves, updates = jax.tree.map(np.asarray, run(probes, starts, True))
    places = []
    for i, leaf in enumerate(leaves):
        rows = leaf[:3, : _NUM_STEPS + 1].reshape(3, _NUM_STEPS + 1, -1)
        same = (rows == rows[:1]) | ((rows != rows) & (rows[:1] != rows[:1]))
        places += [(i, int(j)) for j in np.flatnonzero(~same.all((0, 1)))]
    if len(places) > _MOST:
        raise ValueError(
            f"one gradient among {context.others} others changes {len(places)} numbers of its state, more than "
            f"{_MOST}; give a smaller context"
        )
    base = [np.asarray(leaf[0]) for leaf in run(np.zeros((1, _RECORDED)), np.zeros(1), carries)[0]]
    counting = tuple(
        np.issubdtype(leaf.dtype, np.integer)
        and leaf.dtype != np.uint32
        and bool(np.all(np.diff(leaf.astype(np.int64), axis=0) == 1))
        for leaf in base
    )
    make = lambda places, counts: OptaxContextOptimizer(tx, context, tuple(base), tuple(places), counts, counting, None)
    places += [(-1, 0)] * carries
    places, counts = _what_matters(make(places, True))
    optimizer = make(places, counts)
    expected = updates[5:]
    found = np.asarray(_updates(optimizer, jnp.asarray(sequences)))
    leak, where = worst_leak(found, expected, labels)
    if leak > LEAK_TOLERANCE:
        shaken = np.asarray(run(probes * (1 + 1e-13), starts, carries)[1])[5:]
        leak, where = worst_leak(unless_chaotic(found, expected, shaken, LEAK_TOLERANCE), expected, labels)
    if leak > LEAK_TOLERANCE:
        raise ValueError(
            f"the component taken out does not do what the whole transformation does: {where}, their updates differ by "
            f"a relative {leak:.2g}"
        )
    if frozen_at is not None and optimizer.counts_steps:
        return OptaxContextOptimizer(tx, context, tuple(base), places, False, counting, frozen_at)
    return optimizer


def _runner(tx, context):
    """A run from the start: the leaves of the state [step + 1, ...] and the component's updates."""
    update = with_everything(tx)
    fixed = [jnp.asarray(part) for part in context.gradient(0)]
    start = [jnp.asarray(part) for part in context.start()]

    @functools.partial(jax.jit, static_argnums=2)
    def run(own, x, moves):
        return jax.vmap(lambda own, x: one(own, x, moves))(own, x)

    def one(own, x, moves):
        params = [start[0].at[0, 0].set(x), *start[1:]]

        def step(carry, inputs):
            (params, state), (t, g) = carry, inputs
            flip = jnp.where(t % 2 == 1, -1.0, 1.0) if context.pattern == "alternating" else 1.0
            gradients = [flip * part for part in fixed]
            gradients[0] = gradients[0].at[0, 0].set(g)
            updates, state = update(gradients, state, params)
            if moves:
                params = [params[0].at[0, 0].add(updates[0][0, 0]), *params[1:]]
            return (params, state), ([_plain(leaf) for leaf in jax.tree.leaves(state)], updates[0][0, 0])

        state = tx.init(params)
        first = [_plain(jnp.asarray(leaf))[None] for leaf in jax.tree.leaves(state)]
        _, (leaves, dx) = jax.lax.scan(step, (params, state), (jnp.arange(len(own)), own))
        return [jnp.concatenate([a, b.astype(a.dtype)]) for a, b in zip(first, leaves)], dx

    return run


def _what_matters(optimizer) -> tuple[tuple[tuple[int, int], ...], bool]:
    """The numbers that updates of the component depend on, now or later, and whether the moment matters to them."""
    run = jax.jit(jax.vmap(optimizer.step))
    step = lambda h, g: in_chunks(run, _ROWS, h, np.broadcast_to(g, len(h)))
    num, h, visited = len(optimizer.places), np.asarray(optimizer.initial_state())[None], []
    for g in gradients_to_visit():
        visited.append((h[0], g))
        h = step(h, g)[0]
    rows, gradients = np.array([row for row, _ in visited[2:]]), np.array([g for _, g in visited[2:]])
    moved = np.repeat(rows[None], num + 1, 0)
    for column in range(num):
        moved[column, :, column] *= TRIED_FACTORS
    moments = np.repeat(rows[4:5], _MOMENTS + 1, 0)
    moments[:, -1] = [*range(_MOMENTS), _RECORDED - 1]
    tried = np.concatenate([moved.reshape(-1, rows.shape[1]), moments])
    new, dx = step(tried, np.concatenate([np.tile(gradients, num + 1), np.repeat(gradients[4:5], len(moments))]))
    results = np.column_stack([new[:, :num], dx])
    early, late = results[: -len(moments)].reshape(num + 1, len(rows), num + 1), results[-len(moments) :]
    links = ~_same(early[:-1], early[-1:]).all(1)
    kept = links[:, num].copy()
    if optimizer.carries_parameter:
        kept |= links[:, num - 1]
        kept[-1] = True
    while (more := (links[:, :num] & kept).any(1) & ~kept).any():
        kept |= more
    places = tuple(place for place, keep in zip(optimizer.places, kept) if keep)
    return places, not _same(late, late[:1])[:, np.append(kept, True)].all()


def _same(a, b):
    return (a == b) | ((a != a) & (b != b))


def _sequences() -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(11)
    sequences = [scale * rng.standard_normal(_CHECKED_STEPS) for scale in (1.0, 1e-2, 30.0, 1e3, 1e6)]
    labels = [f"at gradients of scale {scale}" for scale in ("1", "0.01", "30", "1e+03", "1e+06")]
    sequences.append(rng.uniform(0.5, 1.5, _CHECKED_STEPS))
    sequences.append(rng.standard_normal(_CHECKED_STEPS) * (rng.random(_CHECKED_STEPS) < 0.2))
    return np.array(sequences), [*labels, "at gradients of one sign", "at gradients that are mostly 0"]


@eqx.filter_jit
def _updates(optimizer, sequences):
    def run(sequence):
        return jax.lax.scan(lambda h, g: optimizer.step(h, g), optimizer.initial_state(), sequence)[1]

    return jax.vmap(run)(sequences)


def _plain(leaf):
    """A leaf as numbers: random keys as their data."""
    leaf = jnp.asarray(leaf)
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _as(value, like):
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(value)
    return value.astype(like.dtype).reshape(like.shape)
