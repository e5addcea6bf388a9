"""Where a gain departs from that of small gradients."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

#: Share of the tangent by which an update must depart from it at the threshold.
DEPARTURE = 0.1
#: Share within which the update must agree with its tangent somewhere below the threshold.
_TANGENT = 0.02
#: Share within which it must agree up to close before a corner, for the clipping to be hard.
_STRAIGHT = 1e-3


class Onset(NamedTuple):
    """Where a gain departs from that of small gradients."""

    threshold: float | None
    corner: float | None
    shortfall: float  # share of the tangent that is missing at the largest gradient


def find_onset(ratio: Callable[[np.ndarray], np.ndarray], grid: np.ndarray) -> Onset:
    """Find where a gain, relative to that of small gradients, departs from 1 by `DEPARTURE`; and its corner.

    Args:
        ratio: the gain at several magnitudes over the tangent's slope.
        grid: increasing magnitudes; the search starts at the first two neighbors where `ratio` is 1; if there are none,
            where it is its own median.
    """
    values, unit = ratio(grid), 1.0
    away = np.abs(values - 1)
    near = away < _TANGENT
    start = np.flatnonzero(near[1:] & near[:-1])
    if not len(start) and np.isfinite(np.median(values)) and np.median(values):
        # Rounding has spoiled the tangent: what most gradients see stands for it.
        unit = float(np.median(values))
        values = values / unit
        away = np.abs(values - 1)
        near = away < _TANGENT
        start = np.flatnonzero(near[1:] & near[:-1])
    shortfall = float(1 - values[-1]) if np.isfinite(values[-1]) else 1.0
    if not len(start):
        return Onset(None, None, shortfall)
    beyond = np.flatnonzero(~(away[start[0] :] <= DEPARTURE))
    if not len(beyond):
        return Onset(None, None, shortfall)
    i = start[0] + int(beyond[0])
    low, high = grid[i - 1], grid[i]
    for _ in range(3):
        fine = np.geomspace(low, high, 17)
        inside = np.abs(ratio(fine[1:-1]) / unit - 1)
        outside = np.flatnonzero(~(inside <= DEPARTURE))
        j = int(outside[0]) + 1 if len(outside) else len(fine) - 1
        low, high = fine[j - 1], fine[j]
    threshold = float(np.sqrt(low * high))
    corner = _corner(lambda g: ratio(g) / unit, threshold)
    is_hard = corner is not None and values[min(i + 1, len(values) - 1)] < 1
    return Onset(threshold, corner if is_hard else None, shortfall)


def _corner(ratio, threshold: float) -> float | None:
    """Where a gain that is 1 up to there leaves it abruptly; None if it leaves gently."""
    low, high = 1e-2 * threshold, threshold
    if abs(ratio(np.array([low]))[0] - 1) > _STRAIGHT:
        return None
    for _ in range(4):
        fine = np.geomspace(low, high, 17)
        leaves = int(np.argmax(~(np.abs(ratio(fine[:-1]) - 1) < _STRAIGHT))) or len(fine) - 1
        low, high = fine[leaves - 1], fine[leaves]
    corner = float(np.sqrt(low * high))
    if corner > 0.99 * threshold:
        return threshold  # a jump
    # A line from the corner to the threshold, in 1/g: the gain of a corner is straight there, that of a bend is not.
    middle = np.sqrt(corner * threshold)
    expected = DEPARTURE * (1 / corner - 1 / middle) / (1 / corner - 1 / threshold)
    left = abs(ratio(np.array([middle]))[0] - 1)
    return corner if abs(left - expected) < 0.05 * DEPARTURE else None
