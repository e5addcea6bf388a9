"""What one component does under steady gradients of many sizes, and which sizes these are."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Float

from optoscope._core.checks import check_number
from optoscope.dynamics import Probe
from optoscope.dynamics.onset import find_onset
from optoscope.optimizers import GRUOptimizer
from optoscope.running.visits import Visits, gradient_range
from optoscope.whole import Component

#: Gradients tried where neither a range nor a task is given: 8 decades and as many again on both sides.
WINDOW = (1e-8, 1e8)
#: The range of a network without a task, relative to where it begins to saturate: far beyond, all of its gates do.
NETWORK_RANGE = (1e-3, 10.0)
#: Magnitudes per decade at which an optimizer is driven, and at which its update function is sampled.
DRIVEN_PER_DECADE, SAMPLED_PER_DECADE = 2, 16
#: Update functions are sampled from this share of the range's lower end on: their tangent may be seen only there.
BELOW = 1e-6


@dataclasses.dataclass(frozen=True)
class GradientRange:
    """The magnitudes of gradients that count for an optimizer.

    Attributes:
        low, high: the smallest and the largest.
        origin: where they come from, in words.
    """

    low: float
    high: float
    origin: str

    @property
    def middle(self) -> float:
        """Their geometric mean."""
        return float(np.sqrt(self.low * self.high))

    @property
    def driven(self) -> Float[np.ndarray, " grid"]:
        """Magnitudes at which an optimizer is driven."""
        return np.geomspace(self.low, self.high, max(3, round(DRIVEN_PER_DECADE * np.log10(self.high / self.low)) + 1))

    @property
    def sampled(self) -> Float[np.ndarray, " grid"]:
        """Magnitudes at which update functions are sampled; they start below the range, where tangents are."""
        num = round(SAMPLED_PER_DECADE * np.log10(self.high / self.low / BELOW)) + 1
        return np.geomspace(self.low * BELOW, self.high, num)


def given_range(gradients: float | int | tuple[float, float] | list[float]) -> GradientRange:
    """Return the range that a caller names: the largest magnitude, or the smallest and the largest.

    Raises:
        ValueError: if it is not positive and increasing.
    """
    interval = np.atleast_1d(np.asarray(gradients, np.float64))
    check_number("gradients", interval, low=0, open_low=True, hint="use magnitudes, such as (1e-3, 10.0)")
    if interval.size > 2 or (interval.size == 2 and not interval[0] < interval[1]):
        raise ValueError(
            f"`gradients` must be one magnitude or an increasing pair, got {gradients!r}; try (1e-3, 10.0)."
        )
    high = float(interval[-1])
    return GradientRange(float(interval[0]) if interval.size == 2 else high * 1e-4, high, "given")


def met_range(visits: Visits, task: str) -> GradientRange:
    """Return the range of gradients met on a task.

    Raises:
        ValueError: if all of them are 0.
    """
    met = np.abs(visits.gradients[visits.gradients != 0])
    if not len(met):
        raise ValueError(f"on {task} every gradient met is 0; give a range with `gradients`.")
    high = gradient_range(visits.gradients)
    # What most of a run meets near its end is arbitrarily small: four decades below the largest count.
    return GradientRange(max(float(np.quantile(met, 0.05)), high * 1e-4), high, f"met on {task}")


def range_among(component: Component) -> GradientRange:
    """Return the range of one component among others: so small that what they share does not notice it.

    A singular value is tried up to the others' size: only among them it is what it is.
    """
    if component.context is None:
        raise ValueError("a component by itself has no others.")
    size = float(component.context.gradients) or 1.0
    high = size if component.view == "spectral" else 0.1 * size
    return GradientRange(1e-8 * size, high, "up to the size of the others'" if high == size else "small beside others'")


def own_range(probe: Probe, num_steps: int) -> GradientRange:
    """Return the range of an optimizer by itself: around where a network begins to saturate, else all magnitudes."""
    leaves = jax.tree.leaves(probe.optimizer, is_leaf=lambda leaf: isinstance(leaf, GRUOptimizer))
    if any(isinstance(leaf, GRUOptimizer) for leaf in leaves):
        onset = _saturation(probe, num_steps)
        if onset is not None:
            low, high = onset * NETWORK_RANGE[0], onset * NETWORK_RANGE[1]
            return GradientRange(low, high, "where this network begins to saturate")
    return GradientRange(*WINDOW, "all magnitudes tried")


def _saturation(probe: Probe, num_steps: int) -> float | None:
    """The gradient at which a network's update departs from its tangent, wherever in all magnitudes that is."""
    calm = probe.drive(np.zeros((1, num_steps)))[0][0]
    slopes = probe.slope(calm, np.zeros(len(calm)))
    if not np.isfinite(slopes).all() or not slopes.any():
        return None
    step = int(np.argmax(np.abs(slopes)))
    grid = np.geomspace(*WINDOW, round(SAMPLED_PER_DECADE * np.log10(WINDOW[1] / WINDOW[0])) + 1)
    return find_onset(lambda g: probe.gain(calm[step], g) / slopes[step], grid).threshold


@dataclasses.dataclass(frozen=True)
class Driven:
    """States under steady gradients of several magnitudes, from the initial state.

    Attributes:
        magnitudes: `s`.
        constant, opposite: under +s and under -s.
        alternating: under +s, -s, +s, ...
    """

    magnitudes: Float[np.ndarray, " grid"]
    constant: Float[np.ndarray, "grid step state"]
    opposite: Float[np.ndarray, "grid step state"]
    alternating: Float[np.ndarray, "grid step state"]

    @property
    def ends(self) -> Float[np.ndarray, "point state"]:
        """Where all of these runs end."""
        return np.concatenate([self.constant[:, -1], self.opposite[:, -1], self.alternating[:, -1]])


def drive(probe: Probe, magnitudes: Float[np.ndarray, " grid"], num_steps: int) -> Driven:
    """Run a component under constant and under alternating gradients."""
    ones = np.ones(num_steps)
    turns = np.where(np.arange(num_steps) % 2 == 0, 1.0, -1.0)
    rows = np.concatenate([np.outer(magnitudes, ones), np.outer(-magnitudes, ones), np.outer(magnitudes, turns)])
    states, _ = probe.drive(rows)
    return Driven(magnitudes, *states.reshape(3, len(magnitudes), *states.shape[1:]))


def is_idle(probe: Probe, magnitudes: np.ndarray, calm: Float[np.ndarray, "step state"], driven: Driven) -> bool:
    """Return whether the update is the same whatever the gradients are and have been."""
    start = np.stack([calm[0], calm[-1]])[:, None]
    reached = np.concatenate([driven.constant[:, -1], driven.alternating[:, -1]])[:, None]
    updates = probe.update(np.concatenate([start, reached]), np.concatenate([magnitudes, -magnitudes]))
    return bool(np.all(updates == updates.flat[0]))
