"""From which gradient on updates saturate, at the states that runs visit."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics import effective_learning_rate, flatten_states, update_function
from optoscope.optimizers import AbstractOptimizer
from optoscope.running.visits import Visits, gradient_range

#: Share of the slope at g = 0 to which the gain has fallen at the threshold.
HALF = 0.5


@dataclasses.dataclass(frozen=True)
class Thresholds(Result):
    """Gains of the update function, `-(dx(g) - dx(-g)) / (2 g)`, at the initial state and at visited ones.

    Attributes:
        states: the initial state first.
        gradients: magnitudes, up to ten times the largest that is met.
        gains: gain at each state and magnitude.
        slopes: gain of infinitesimal gradients: the effective learning rate.
        thresholds: magnitude at which the gain has fallen to half of the slope; infinite where it does not.
        provenance: who made it.
    """

    states: Float[np.ndarray, "point state"]
    gradients: Float[np.ndarray, " grid"]
    gains: Float[np.ndarray, "point grid"]
    slopes: Float[np.ndarray, " point"]
    thresholds: Float[np.ndarray, " point"]
    provenance: dict[str, Any]

    def relative_gain(self, gradient: float) -> Float[np.ndarray, " point"]:
        """Return the gain at one magnitude, relative to the slope, at each state."""
        at = np.array([np.interp(np.log(gradient), np.log(self.gradients), gains) for gains in self.gains])
        return at / self.slopes


@takes_rule
def find_thresholds(
    optimizer: AbstractOptimizer, visits: Visits, *, key: PRNGKeyArray, num_states: int = 128
) -> Thresholds:
    """Find the gradient at which the gain has fallen to half of the slope, at the initial and at visited states."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    flat = flatten_states(visits.states)
    chosen = flat[rng.choice(len(flat), num_states - 1, replace=len(flat) < num_states - 1)]
    states = np.concatenate([visits.states[:1, 0], chosen]).astype(np.float64)
    largest = gradient_range(visits.gradients)
    grid = np.geomspace(1e-6 * largest, 10 * largest, 281)
    updates = update_function(optimizer, states, np.concatenate([grid, -grid])).updates
    gains = -(updates[:, : len(grid)] - updates[:, len(grid) :]) / (2 * grid)
    slopes = np.asarray(effective_learning_rate(optimizer, states))
    return Thresholds(
        states=states,
        gradients=grid,
        gains=gains,
        slopes=slopes,
        thresholds=np.array([_crossing(grid, row / slope) for row, slope in zip(gains, slopes)]),
        provenance=provenance(num_states=num_states),
    )


def _crossing(grid: np.ndarray, relative: np.ndarray) -> float:
    """The magnitude at which a relative gain first falls below half, interpolated in the logarithm."""
    low = np.flatnonzero(relative < HALF)
    if not len(low):
        return float("inf")
    i = int(low[0])
    if i == 0:
        return float(grid[0])
    share = (relative[i - 1] - HALF) / (relative[i - 1] - relative[i])
    return float(np.exp(np.log(grid[i - 1]) + share * np.log(grid[i] / grid[i - 1])))
