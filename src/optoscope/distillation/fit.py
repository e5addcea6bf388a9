"""Finding the numbers of a readable optimizer that makes the updates of another one."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from optoscope._core.status import DivergedError
from optoscope._core.types import PRNGKeyArray
from optoscope.distillation.readable import (
    PIECES,
    ReadableOptimizer,
    complete,
    from_free,
    numbers_of,
    round_number,
    to_free,
)
from optoscope.optimizers import AbstractOptimizer
from optoscope.running.problems import Purpose, meta_objective, sample_problems
from optoscope.running.rollouts import Save, rollout_batch
from optoscope.tasks import AbstractTask

_CLIP = 0.1  # largest norm of a gradient; that of a start far from the updates is huge


@dataclasses.dataclass(frozen=True)
class Trajectories:
    """What an optimizer did on real problems.

    Attributes:
        gradients, updates: [step, component]; the components of all problems in one row.
    """

    gradients: np.ndarray
    updates: np.ndarray

    @property
    def gradient_scale(self) -> float:
        """Median size of the first gradients."""
        return float(np.median(np.abs(self.gradients[0])))

    @property
    def rate_scale(self) -> float:
        """Size of a first mode's learning rate that moves as far as was moved: sizes of updates over gradients."""
        early = slice(0, 20)
        size = lambda values: float(np.median(np.abs(values[early])))
        return size(self.updates) / size(self.gradients) / 4


def record_trajectories(
    task: AbstractTask,
    optimizer: AbstractOptimizer,
    *,
    num_problems: int,
    num_steps: int,
    purpose: Purpose,
    key: PRNGKeyArray,
) -> Trajectories:
    """Run an optimizer and keep its gradients and updates. The problems are those of a purpose, never test ones.

    Raises:
        ValueError: if a number that is not finite comes up.
    """
    problems, keys = sample_problems(task, purpose.key(key), num_problems)
    save = Save(gradients=True, updates=True, components=_components(problems))
    run = eqx.filter_jit(lambda: rollout_batch(task, problems, optimizer, num_steps=num_steps, keys=keys, save=save))()
    gradients, updates = (np.moveaxis(np.asarray(a), 1, 0).reshape(num_steps, -1) for a in (run.gradients, run.updates))
    if not (np.isfinite(gradients).all() and np.isfinite(updates).all()):
        raise DivergedError("the optimizer diverges on this task's problems; there is nothing to fit. Scale it down.")
    return Trajectories(gradients, updates)


def _components(problems, most: int = 16):
    size = sum(leaf[0].size for leaf in jax.tree.leaves(problems.initial_params))
    return jnp.asarray(np.unique(np.linspace(0, size - 1, min(size, most)).astype(int)))


class Lanes(eqx.Module):
    """Searches that run beside each other, each with its own pieces.

    All lanes share one program: an optimizer with every piece of the family, where the numbers of pieces that a lane
    does not have stay neutral.

    Attributes:
        pieces: of each lane.
        free: what is tuned, by name of the number, with a leading axis of lanes.
        active: 1 for the numbers that a lane has, else 0.
    """

    pieces: tuple[tuple[str, ...], ...] = eqx.field(static=True)
    free: dict[str, jax.Array]
    active: dict[str, jax.Array]

    def __len__(self):
        return len(self.pieces)

    def at(self, free: dict[str, jax.Array]) -> "Lanes":
        """Return the same lanes elsewhere."""
        return Lanes(self.pieces, free, self.active)

    def optimizer(self, index: int) -> ReadableOptimizer:
        """Return a lane's optimizer with the numbers that are printed."""
        numbers = from_free({name: np.asarray(value)[index] for name, value in self.free.items()}).numbers
        pieces = self.pieces[index]
        return ReadableOptimizer(pieces, {n.name: round_number(numbers[n.name]) for n in numbers_of(pieces)})


def join(parts: Sequence[Lanes]) -> Lanes:
    """Put lanes beside each other."""
    stack = lambda *leaves: jnp.concatenate(leaves)
    return Lanes(
        sum((part.pieces for part in parts), ()),
        jax.tree.map(stack, *(part.free for part in parts)),
        jax.tree.map(stack, *(part.active for part in parts)),
    )


def draw_lanes(
    pieces: tuple[str, ...],
    known: dict[str, float],
    scales: Trajectories,
    *,
    num_lanes: int,
    key: PRNGKeyArray,
) -> Lanes:
    """Draw starts of a search: what is known as it is, and new numbers about their usual values.

    Args:
        pieces: of the optimizer that is searched.
        known: numbers that a smaller optimizer has.
        scales: say how large gradients and rates are.
        num_lanes: how many.
        key: draws.
    """
    g, rate = scales.gradient_scale, scales.rate_scale
    units = {"gradient": g, "rate": rate, "update": g * rate, "update gradient": g * g * rate, "": 1.0}
    own = numbers_of(pieces)
    values = {number.name: known.get(number.name, number.start * units[number.unit]) for number in own}
    center = to_free(complete(values))
    free = {name: jnp.full(num_lanes, value, jnp.float32) for name, value in center.items()}
    active = {name: jnp.full(num_lanes, float(name in values)) for name in free}
    for number, one in zip(own, jax.random.split(key, len(own))):
        if number.name not in known:
            unit = units[number.unit] if number.kind == "real" else 1.0
            free[number.name] += unit * number.spread * jax.random.normal(one, (num_lanes,))
    return Lanes((pieces,) * num_lanes, free, active)


@eqx.filter_jit
def _descend_updates(free, active, gradients, updates, num_steps, learning_rate):
    def loss(free):
        error = replay(from_free(free), gradients) - updates
        return jnp.sum(error**2) / jnp.sum(updates**2)

    transformation = _adam(learning_rate, num_steps)

    def step(carry, _):
        free, state = carry
        value, gradient = jax.vmap(jax.value_and_grad(loss))(free)
        change, state = transformation.update(_clipped(gradient, value, active), state, free)
        return (optax.apply_updates(free, _scaled(change, free, active)), state), None

    (free, _), _ = jax.lax.scan(step, (free, transformation.init(free)), length=num_steps)
    return free, jax.vmap(loss)(free)


def fit_updates(
    lanes: Lanes, trajectories: Trajectories, *, num_steps: int = 300, learning_rate: float = 0.05
) -> tuple[Lanes, np.ndarray]:
    """Fit the updates that an optimizer made, fed with the same gradients, in every lane by Adam.

    Returns:
        The lanes at the end, and each one's R2 (1 - squared error / squared updates).
    """
    gradients, updates = jnp.asarray(trajectories.gradients), jnp.asarray(trajectories.updates)
    free: Any
    free, losses = _descend_updates(lanes.free, lanes.active, gradients, updates, num_steps, learning_rate)
    losses = np.asarray(losses, np.float64)
    return lanes.at(free), np.where(np.isfinite(losses), 1 - losses, -np.inf)


def replay(optimizer: AbstractOptimizer, gradients) -> jax.Array:
    """Return the updates [step, component] of an optimizer fed with recorded gradients [step, component]."""
    h = jnp.broadcast_to(optimizer.initial_state(), (gradients.shape[1], optimizer.num_states))
    return jax.lax.scan(lambda h, g: optimizer.step_components(h, g), h, gradients)[1]


_replay = eqx.filter_jit(replay)


def r_squared(optimizer: AbstractOptimizer, trajectories: Trajectories) -> float:
    """Return 1 - squared error / squared updates of an optimizer fed with recorded gradients."""
    predicted = np.asarray(_replay(optimizer, jnp.asarray(trajectories.gradients)), np.float64)
    error = predicted - trajectories.updates
    return float(1 - np.sum(error**2) / np.sum(trajectories.updates.astype(np.float64) ** 2))


class Scorer:
    """Mean meta-objectives on validation problems."""

    def __init__(self, task: AbstractTask, *, num_problems: int, num_steps: int, purpose: Purpose, key: PRNGKeyArray):
        self.task, self.num_steps = task, num_steps
        self.problems, self.keys = sample_problems(task, purpose.key(key), num_problems)
        self._one = jax.jit(lambda free: self._mean(from_free(free)))
        self._many = jax.jit(jax.vmap(lambda free: self._mean(from_free(free))))

    def _mean(self, optimizer):
        run = rollout_batch(self.task, self.problems, optimizer, num_steps=self.num_steps, keys=self.keys)
        return jnp.mean(meta_objective(run.losses))

    def lanes(self, lanes: Lanes) -> np.ndarray:
        """Score lanes with the numbers that would be printed; infinite where a run diverges."""
        rows = [to_free(complete(_printable(lanes, i))) for i in range(len(lanes))]
        free = {name: jnp.asarray([row[name] for row in rows], jnp.float32) for name in lanes.free}
        scores = np.asarray(self._many(free), np.float64)
        return np.where(np.isfinite(scores), scores, np.inf)

    def one(self, optimizer: AbstractOptimizer) -> float:
        """Score one optimizer; infinite where a run diverges. Readable ones of all sizes share one program."""
        if isinstance(optimizer, ReadableOptimizer):
            free = {k: jnp.float32(v) for k, v in to_free(complete(optimizer.numbers)).items()}
            score = float(self._one(free))
        else:
            score = float(eqx.filter_jit(self._mean)(optimizer))
        return score if np.isfinite(score) else np.inf


def _printable(lanes: Lanes, index: int) -> dict[str, Any]:
    numbers: dict[str, Any] = lanes.optimizer(index).numbers
    for number in numbers_of(lanes.pieces[index]):
        value = numbers[number.name]
        if (
            not np.isfinite(value)
            or (number.kind == "decay" and not 0 < value < 1)
            or (number.kind == "positive" and value <= 0)
        ):
            numbers = {**numbers, number.name: number.neutral}
    return numbers


def _adam(learning_rate, num_steps):
    return optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps), b2=0.98)


def _scaled(changes, free, active):
    """Steps of real numbers are relative to their size: they are rates and shares of any magnitude."""
    kinds = {number.name: (number.kind, number.unit) for number in numbers_of(tuple(PIECES))}

    def scale(name, change):
        relative = kinds[name][0] == "real" and kinds[name][1] != ""
        return active[name] * change * (jnp.abs(free[name]) + 1e-4 * _scale_of(free) if relative else 1.0)

    return {name: scale(name, change) for name, change in changes.items()}


def _scale_of(free):
    return jnp.exp(free["alpha"])


def _clipped(gradients, values, active):
    """Clip the norm of each lane's gradient; a lane that is not finite stays where it is."""
    gradients = {name: jnp.where(active[name] > 0, value, 0) for name, value in gradients.items()}
    norms = jax.vmap(optax.tree.norm)(gradients)
    fine = jnp.isfinite(norms) & jnp.isfinite(values)
    scale = jnp.where(fine, jnp.minimum(1, _CLIP / jnp.where(fine, jnp.maximum(norms, 1e-30), 1)), 0)
    return {name: jnp.where(fine, jnp.nan_to_num(value) * scale, 0) for name, value in gradients.items()}
