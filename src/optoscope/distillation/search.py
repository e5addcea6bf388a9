"""Search without derivatives: runs of an unstable optimizer are chaotic, and their derivatives say nothing."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optoscope._types import PRNGKeyArray
from optoscope.distillation.fit import Trajectories
from optoscope.distillation.readable import Number, ReadableOptimizer, numbers_of
from optoscope.rollouts import rollout_batch
from optoscope.tasks import AbstractTask
from optoscope.training.objective import Purpose, meta_objective, sample_problems

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


class CMA:
    """Covariance matrix adaptation (Hansen, 2016, with its default constants): minimize by asking and telling.

    Args:
        origin: first mean.
        sigma: first step.
        population: points per generation.
        seed: of the draws.
    """

    def __init__(self, origin: np.ndarray, *, sigma: float, population: int, seed: int):
        self.rng, self.mean, self.sigma, self.generation = np.random.default_rng(seed), origin.copy(), sigma, 0
        self.largest = sigma
        d, half = len(origin), population // 2
        self.population = population
        weights = np.log(half + 0.5) - np.log(np.arange(1, half + 1))
        self.weights = weights / weights.sum()
        self.mass = 1 / (self.weights**2).sum()
        self.path_rate = (4 + self.mass / d) / (d + 4 + 2 * self.mass / d)
        self.step_rate = (self.mass + 2) / (d + self.mass + 5)
        self.rank_one = 2 / ((d + 1.3) ** 2 + self.mass)
        self.rank_many = min(1 - self.rank_one, 2 * (self.mass - 2 + 1 / self.mass) / ((d + 2) ** 2 + self.mass))
        self.damping = 1 + 2 * max(0, np.sqrt((self.mass - 1) / (d + 1)) - 1) + self.step_rate
        self.expected = np.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d * d))
        self.path, self.step_path, self.covariance = np.zeros(d), np.zeros(d), np.eye(d)
        self.axes, self.lengths = np.eye(d), np.ones(d)

    def ask(self) -> np.ndarray:
        """Return the points of a generation."""
        self.steps = (self.rng.normal(size=(self.population, len(self.mean))) * self.lengths) @ self.axes.T
        return self.mean + self.sigma * self.steps

    def tell(self, scores: np.ndarray) -> None:
        """Learn the points' scores."""
        chosen = self.steps[np.argsort(scores, kind="stable")[: len(self.weights)]]
        step = self.weights @ chosen
        self.mean = self.mean + self.sigma * step
        self.generation += 1
        white = self.axes @ ((self.axes.T @ step) / self.lengths)
        self.step_path = (1 - self.step_rate) * self.step_path + np.sqrt(
            self.step_rate * (2 - self.step_rate) * self.mass
        ) * white
        length = np.linalg.norm(self.step_path)
        usual = np.sqrt(1 - (1 - self.step_rate) ** (2 * self.generation)) * self.expected
        steady = length / usual < 1.4 + 2 / (len(self.mean) + 1)
        self.path = (1 - self.path_rate) * self.path
        if steady:
            self.path = self.path + np.sqrt(self.path_rate * (2 - self.path_rate) * self.mass) * step
        self.covariance = (
            (1 - self.rank_one - self.rank_many) * self.covariance
            + self.rank_one * np.outer(self.path, self.path)
            + self.rank_many * (chosen.T * self.weights) @ chosen
        )
        self.sigma = min(
            self.largest, self.sigma * np.exp(self.step_rate / self.damping * (length / self.expected - 1))
        )
        self.covariance = (self.covariance + self.covariance.T) / 2
        squares, self.axes = np.linalg.eigh(self.covariance)
        self.lengths = np.sqrt(np.maximum(squares, 1e-14))


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
    report: Callable[[int, int], Any] | None = None,
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
        report: called with generations done and their number.

    Returns:
        The best mean, its numbers rounded, and its validation score; never worse than `start`.
    """
    space = Coordinates(start.pieces, {k: float(v) for k, v in start.numbers.items()}, scales)
    stream = Purpose.TUNE.key(key)
    seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1])
    search = CMA(space.origin, sigma=sigma, population=population, seed=seed)
    best, best_score = start, score(start)
    every = max(1, num_generations // num_checks)
    for generation in range(num_generations):
        values = {name: jnp.asarray(v, jnp.float32) for name, v in space.values(search.ask()).items()}
        fold = jax.random.fold_in(stream, generation // _RENEWED)
        # Renewed problems never let the step shrink by itself; a ceiling that comes down does.
        search.largest = sigma * (1 - generation / num_generations) + 0.003
        search.tell(np.asarray(_scores(task, start.pieces, num_problems, num_steps, values, fold)))
        if (generation + 1) % every == 0 or generation + 1 == num_generations:
            candidate = space.optimizer(search.mean)
            found = score(candidate)
            if found < best_score:
                best, best_score = candidate, found
            if report is not None:
                report(generation + 1, num_generations)
    return best, best_score


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _scores(task, pieces, num_problems, num_steps, values, key):
    problems, keys = sample_problems(task, key, num_problems)

    def one(numbers):
        run = rollout_batch(task, problems, ReadableOptimizer(pieces, numbers), num_steps=num_steps, keys=keys)
        objectives = meta_objective(run.losses)
        return jnp.mean(jnp.where(jnp.isfinite(objectives), jnp.minimum(objectives, _WORST), _WORST))

    return jax.vmap(one)(values)
