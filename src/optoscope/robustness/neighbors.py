"""How fast runs that begin next to each other part: whether a whole run is stable, not only its resting point."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from optoscope._core.checks import check_count, check_number
from optoscope._core.compiled import compiled
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.optimizers import AbstractOptimizer
from optoscope.running.problems import Purpose, sample_problems
from optoscope.running.rollouts import Save, rollout_batch
from optoscope.tasks import AbstractTask, name_of

#: Distance over the length of the parameters there, above which runs are no longer neighbors, and of rounding.
_FAR, _ROUNDING = 1e-3, 1e-14


@dataclasses.dataclass(frozen=True)
class Separation(Result):
    """Distances between test runs and their neighbors, which begin close by.

    Attributes:
        task: the task's name.
        steps: iterations at which parameters were compared; the first is 0, the last the end.
        distances: between the parameters of both runs, over the length of the initial ones.
        lengths: of the run's own parameters, in the same unit.
        losses: `f_0 .. f_T` of the run.
        provenance: who made it.
    """

    task: str
    steps: Int[np.ndarray, " point"]
    distances: Float[np.ndarray, "problem point"]
    lengths: Float[np.ndarray, "problem point"]
    losses: Float[np.ndarray, "problem loss"]
    provenance: dict[str, Any]

    @property
    def num_neighboring(self) -> Int[np.ndarray, " problem"]:
        """Points from the start up to which runs are neighbors: apart by less than 1/1000, and more than rounding."""
        near = (self.distances < _FAR * self.lengths) & (self.distances > _ROUNDING * self.lengths)
        return np.where(near.all(1), near.shape[1], near.argmin(1))

    @property
    def parted(self) -> np.ndarray:
        """Runs that end far from their neighbors, or not finite [problem]."""
        return ~(self.distances[:, -1] < _FAR * self.lengths[:, -1])

    @property
    def growth(self) -> Float[np.ndarray, " problem"]:
        """Growth of the logarithm of the distance per step while both are neighbors: the Lyapunov exponent of the run.

        It is the slope over the second half of that time, so that what passes does not count.
        """
        found = np.full(len(self.distances), np.nan)
        for i, count in enumerate(self.num_neighboring):
            first, last = count // 2, count - 1
            if last > first:
                ratio = self.distances[i, last] / self.distances[i, first]
                found[i] = np.log(ratio) / (self.steps[last] - self.steps[first])
        return found


@takes_rule
def separation(
    optimizer: AbstractOptimizer,
    task: AbstractTask,
    *,
    key: PRNGKeyArray,
    num_problems: int = 2,
    num_steps: int = 200,
    every: int = 10,
    distance: float = 1e-8,
) -> Separation:
    """Run test problems twice in float64, from initial parameters that are close, and see how fast both part.

    This is the largest Lyapunov exponent of the whole run by finite differences (Benettin et al., 1980): of all
    parameters together, each with the state that its own gradients have put it into. The stability map speaks of
    small perturbations at the resting point.

    Args:
        optimizer: a component-wise rule.
        task: gives the test problems.
        key: draws the problems, their minibatches (the same for both runs) and the direction of the perturbation.
        num_problems, num_steps: size of the runs.
        every: steps between comparisons; a divisor of `num_steps`.
        distance: between the initial parameters, over their length.

    Returns:
        Distances along the runs.

    Raises:
        ValueError: if a number is out of range.
    """
    check_count("num_problems", num_problems)
    check_number("distance", distance, low=_ROUNDING, high=_FAR, open_low=True, hint="1e-8 is the default")
    problems, keys = sample_problems(task, Purpose.TEST.key(key), num_problems)
    run, neighbor, losses = _both(optimizer, task, problems, keys, key, num_steps, every, distance)
    lengths = _lengths(run)
    with np.errstate(invalid="ignore"):
        distances = _lengths(jax.tree.map(np.subtract, run, neighbor))
    return Separation(
        task=name_of(task),
        steps=np.arange(num_steps // every + 1) * every,
        distances=distances / lengths[:, :1],
        lengths=lengths / lengths[:, :1],
        losses=losses,
        provenance=provenance(num_problems=num_problems, num_steps=num_steps, distance=distance),
    )


@in_float64
def _both(optimizer, task, problems, keys, key, num_steps, every, distance):
    """Parameters of both runs along the way [problem, point, ...], and losses of the first."""
    optimizer, problems = to_float64(optimizer), to_float64(problems)
    start = problems.initial_params
    leaves, structure = jax.tree.flatten(start)
    drawn = [jax.random.normal(jax.random.fold_in(key, i), leaf.shape, leaf.dtype) for i, leaf in enumerate(leaves)]
    direction = jax.tree.unflatten(structure, drawn)
    share = distance * _lengths(start, 1) / _lengths(direction, 1)
    near = jax.tree.map(lambda x, d: x + d * share.reshape(-1, *[1] * (d.ndim - 1)), start, direction)
    run, losses = _run(optimizer, task, problems, start, keys, num_steps, every)
    neighbor, _ = _run(optimizer, task, problems, near, keys, num_steps, every)
    return jax.tree.map(np.asarray, run), jax.tree.map(np.asarray, neighbor), np.asarray(losses)


@compiled(eqx.filter_jit)
def _run(optimizer, task, problems, start, keys, num_steps, every):
    problems = eqx.tree_at(lambda tree: tree.initial_params, problems, start)
    made = rollout_batch(task, problems, optimizer, num_steps=num_steps, keys=keys, save=Save(params=True, every=every))
    points = jax.tree.map(lambda saved, end: jnp.concatenate([saved, end[:, None]], 1), made.params, made.final_params)
    return points, made.losses


def _lengths(params, num_axes=2):
    """Root of the sum of squares over all but the leading axes."""
    with np.errstate(over="ignore"):
        squares = [np.square(leaf).reshape(*leaf.shape[:num_axes], -1).sum(-1) for leaf in jax.tree.leaves(params)]
        return np.sqrt(sum(squares))
