"""The fixed point around which an optimizer is taken apart, and states chosen along curves through it."""

import jax
import numpy as np
from jaxtyping import Float, Int

from optoscope._core.status import Status
from optoscope._core.types import PRNGKeyArray
from optoscope.anatomy.settling import Rest
from optoscope.dynamics import Branch, FixedPoints, Modes, find_rest, flatten_states, modes
from optoscope.optimizers import AbstractOptimizer


def search_starts(
    states: Float[np.ndarray, "trajectory step state"], key: PRNGKeyArray, num_starts: int
) -> Float[np.ndarray, "point state"]:
    """Draw starts: half visited states, half random states of the box that visited states span, twice as wide."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    flat = flatten_states(states)
    visited = flat[rng.choice(len(flat), size=num_starts - num_starts // 2, replace=len(flat) < num_starts)]
    low, high = flat.min(0), flat.max(0)
    margin = (high - low) / 2
    box = rng.uniform(low - margin, high + margin, size=(num_starts // 2, flat.shape[1]))
    return np.concatenate([visited, box])


def best_center(optimizer: AbstractOptimizer, resting: FixedPoints) -> Float[np.ndarray, " state"]:
    """Return the attracting fixed point with the largest basin; else one that does not attract, else the slowest point.

    Raises:
        ValueError: if there is neither a fixed point nor a slow point.
    """
    if resting.attracting.any():
        return resting.states[np.flatnonzero(resting.attracting)[0]]
    if resting.converged.any():
        return resting.states[np.flatnonzero(resting.converged)[0]]
    slow = np.flatnonzero(resting.status == Status.SLOW)
    if not len(slow):
        raise ValueError(
            f"{type(optimizer).__name__} has neither a fixed point nor a slow point at g = 0 among "
            f"{resting.seed_points.size} starts; if its state counts iterations, freeze its clock."
        )
    return resting.states[slow[np.argmin(resting.residuals[slow])]]


def modes_at_rest(optimizer: AbstractOptimizer) -> Modes | None:
    """Return the modes of an optimizer where its run without a gradient comes to rest; None where it does not."""
    linearization = find_rest(optimizer).linearization
    return None if linearization is None else modes(linearization)


def along_rates(rest: Rest, num_states: int = 7) -> Float[np.ndarray, "point state"]:
    """Return some visited states held without a gradient, evenly from the lowest to the highest learning rate."""
    states, rates = rest.held[~rest.from_box], rest.held_learning_rates[~rest.from_box]
    targets = np.linspace(rates.min(), rates.max(), num_states)
    return states[np.abs(rates[:, None] - targets).argmin(0)]


def along_positive_arm(branch: Branch, num_points: int = 5) -> Int[np.ndarray, " point"]:
    """Return indices of some points of a curve from its center to its positive tail, evenly along its length."""
    center = int(np.argmin(np.abs(branch.gradients)))
    arm = np.arange(center, len(branch.gradients))
    length = np.append(0, np.cumsum(np.linalg.norm(np.diff(branch.states[arm], axis=0), axis=1)))
    return arm[np.searchsorted(length, np.linspace(0, length[-1], num_points)).clip(max=len(arm) - 1)]
