"""Search without derivatives: runs of an unstable optimizer are chaotic, and their derivatives say nothing."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.progress import Report, silent
from optoscope._core.types import PRNGKeyArray
from optoscope.distillation.fit import Trajectories
from optoscope.distillation.readable import Number, ReadableOptimizer, numbers_of
from optoscope.running.problems import Purpose, meta_objective, sample_problems
from optoscope.running.rollouts import rollout_batch
from optoscope.tasks import AbstractTask

_RENEWED = 25  # generations on the same problems
_WORST = 1.0  # meta-objectives above this count as this: a run that ends higher than it began is a failure


class Coordinates:
    """The space that is searched: logarithms, logits, and real numbers in units of their usual size.

    Args:
        pieces: of the optimizer.
        start: a value for each of its numbers; the origin of the search.
        scales: say how large gradients and rates are.
    """

    def __init__(self, pieces: tuple[str, ...], start: dict[str, float], scales: Trajectories):
        g, rate = scales.gradient_scale, scales.rate_scale
        units = {"gradient": g, "rate": rate, "update": g * rate, "update gradient": g * g * rate, "": 1.0}
        self.pieces, self.numbers = pieces, numbers_of(pieces)
        self.units = [
            max(abs(start[one.name]), 0.3 * units[one.unit]) if one.kind == "real" else 1.0 for one in self.numbers
        ]
        self.origin = np.array([_inverse(one, start[one.name], unit) for one, unit in zip(self.numbers, self.units)])

    def values(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Return numbers by name, from points [point, coordinate]."""
        return {
            one.name: _value(one, points[:, i], unit) for i, (one, unit) in enumerate(zip(self.numbers, self.units))
        }

    def optimizer(self, point: np.ndarray) -> ReadableOptimizer:
        """Return the optimizer at a point, with the numbers that are printed."""
        return ReadableOptimizer(self.pieces, {k: float(v[0]) for k, v in self.values(point[None]).items()}).rounded


def _value(number: Number, coordinate, unit):
    if number.kind == "positive":
        return np.exp(np.clip(coordinate, -60, 60))
    if number.kind == "decay":
        return np.clip(1 / (1 + np.exp(-np.clip(coordinate, -30, 30))), 1e-4, 0.9999)
    return coordinate * unit


def _inverse(number: Number, value: float, unit: float) -> float:
    if number.kind == "positive":
        return float(np.log(value))
    return float(np.log(value / (1 - value))) if number.kind == "decay" else value / unit


class _Search:
    """Covariance matrix adaptation (the package `cmaes`; Hansen, 2016) with a ceiling for its step.

    Problems that are renewed never let the step shrink by itself; a ceiling that comes down does.

    Args:
        origin: first mean.
        sigma: first step.
        population: points per generation.
        seed: of the draws.
    """

    def __init__(self, origin: np.ndarray, *, sigma: float, population: int, seed: int):
        import cmaes

        class WithCeiling(cmaes.CMA):
            largest = sigma

            def tell(self, solutions):
                super().tell(solutions)
                self._sigma = min(self._sigma, self.largest)

        self._search = WithCeiling(mean=origin.copy(), sigma=sigma, population_size=population, seed=seed % 2**32)
        self._points = np.zeros((0, len(origin)))

    @property
    def mean(self) -> np.ndarray:
        """Where it has come to."""
        return self._search.mean

    def ask(self) -> np.ndarray:
        """Return the points of a generation."""
        self._points = np.stack([self._search.ask() for _ in range(self._search.population_size)])
        return self._points

    def tell(self, scores: np.ndarray, *, largest: float) -> None:
        """Learn the points' scores; the next step is at most `largest`."""
        self._search.largest = largest
        self._search.tell([(point, float(score)) for point, score in zip(self._points, scores, strict=True)])


def evolve(
    task: AbstractTask,
    start: ReadableOptimizer,
    scales: Trajectories,
    score: Callable[[ReadableOptimizer], float],
    *,
    key: PRNGKeyArray,
    num_generations: int,
    num_problems: int,
    num_steps: int,
    sigma: float = 0.3,
    population: int = 20,
    num_checks: int = 6,
    report: Report = silent,
) -> tuple[ReadableOptimizer, float]:
    """Search about an optimizer's numbers on problems of the tuning stream, which are renewed again and again.

    Args:
        task: where problems come from.
        start: the first mean of the search.
        scales: say how large gradients and rates are.
        score: of an optimizer on validation problems; says which mean is returned.
        key: draws points and problems.
        num_generations: points are drawn, scored and learned from so often.
        num_problems: per generation.
        num_steps: updates per run.
        sigma: first step of the search, in logarithms and logits.
        population: points per generation.
        num_checks: how often the mean is scored on validation problems.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        The best mean, its numbers rounded, and its validation score; never worse than `start`.
    """
    space = Coordinates(start.pieces, {k: float(v) for k, v in start.numbers.items()}, scales)
    stream = Purpose.TUNE.key(key)
    seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1])
    search = _Search(space.origin, sigma=sigma, population=population, seed=seed)
    best, best_score = start, score(start)
    every = max(1, num_generations // num_checks)
    for generation in range(num_generations):
        values = {name: jnp.asarray(v, jnp.float32) for name, v in space.values(search.ask()).items()}
        fold = jax.random.fold_in(stream, generation // _RENEWED)
        scores = np.asarray(_scores(task, start.pieces, num_problems, num_steps, values, fold))
        search.tell(scores, largest=sigma * (1 - generation / num_generations) + 0.003)
        if (generation + 1) % every == 0 or generation + 1 == num_generations:
            candidate = space.optimizer(search.mean)
            found = score(candidate)
            if found < best_score:
                best, best_score = candidate, found
            report("polishing", generation + 1, num_generations)
    return best, best_score


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _scores(task, pieces, num_problems, num_steps, values, key):
    problems, keys = sample_problems(task, key, num_problems)

    def one(numbers):
        run = rollout_batch(task, problems, ReadableOptimizer(pieces, numbers), num_steps=num_steps, keys=keys)
        objectives = meta_objective(run.losses)
        return jnp.mean(jnp.where(jnp.isfinite(objectives), jnp.minimum(objectives, _WORST), _WORST))

    return jax.vmap(one)(values)
