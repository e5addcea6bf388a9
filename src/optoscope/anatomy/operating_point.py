"""Where to linearize an optimizer that may never come to rest, and how to measure its learning rate there."""

import dataclasses

import numpy as np
from jaxtyping import Float

from optoscope.anatomy.driven import Driven, GradientRange
from optoscope.dynamics import AutonomousTrajectory, Probe, RestPoint

#: Slopes are taken for what small gradients see if gains at two neighboring magnitudes agree with them to this share of
#: the largest slope, and if changes of the state's last digits move them by less than the second share.
_AGREEMENT, _STEADINESS, _ROUNDING = 0.02, 0.005, 4e-15
#: A fixed point where the learning rate has fallen below this share of the largest is where a schedule ends.
_ENDED = 1e-3
#: Eigenvalues up to this far above 1 do not repel: they are 1, to rounding, for what nothing changes.
_NEUTRAL = 1e-6


@dataclasses.dataclass(frozen=True)
class LearningRates:
    """Learning rates along the run without a gradient, as small gradients see them.

    Attributes:
        values: at each state.
        magnitude: of the gradients with which they were measured; 0 if they are slopes at g = 0.
    """

    values: Float[np.ndarray, " step"]
    magnitude: float


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """Where an optimizer is linearized.

    Attributes:
        state: the state.
        step: its iteration along its run; None at a fixed point.
        gradient: magnitude of the alternating gradients that led there; 0 without any.
    """

    state: Float[np.ndarray, " state"]
    step: int | None
    gradient: float

    @property
    def is_fixed(self) -> bool:
        """Whether it is a fixed point at g = 0."""
        return self.step is None


def repels(point: RestPoint) -> bool:
    """Return whether a fixed point repels, by more than rounding."""
    return point.spectral_radius > 1 + _NEUTRAL


def measure_learning_rates(probe: Probe, autonomous: AutonomousTrajectory, range_: GradientRange) -> LearningRates:
    """Measure slopes at g = 0 where they are what small gradients see; else gains at a gradient in mid-range.

    The root of a mean square at 0, and the sign function, have no slope there that describes what they do. A root of
    what rounding left over has one, but it changes with the last bit of the state.
    """
    calm, slopes = autonomous.states, autonomous.learning_rates
    checked = np.unique(np.linspace(0, len(calm) - 1, 5).astype(int))
    if np.isfinite(slopes).all():
        size = max(float(np.abs(slopes).max()), np.finfo(float).tiny)
        gains = probe.gain(calm[checked, None], range_.sampled)
        near = np.all(np.abs(gains - slopes[checked, None]) <= _AGREEMENT * size, axis=0)
        rng = np.random.default_rng(0)
        shaken = calm[checked] * (1 + _ROUNDING * rng.choice([-1.0, 1.0], (4, 1, calm.shape[1])))
        moved = np.abs(probe.slope(shaken, np.zeros((4, len(checked)))) - slopes[checked]).max()
        if np.any(near[1:] & near[:-1]) and moved <= _STEADINESS * size:
            return LearningRates(slopes, 0.0)
    return LearningRates(probe.gain(calm, np.full(len(calm), range_.middle)), range_.middle)


def point_at_rest(rates: LearningRates, rest: RestPoint, calm: Float[np.ndarray, "step state"]) -> OperatingPoint:
    """Return where runs rest, unless it repels or a schedule ends there; else where the run's learning rate is largest.

    Args:
        rates: along the run without a gradient; slopes.
        rest: where that run comes to rest.
        calm: its states.
    """
    sizes, linear = np.abs(rates.values), rest.linearization
    if linear is not None and not repels(rest) and abs(linear.D) >= _ENDED * sizes.max(initial=0.0):
        return OperatingPoint(rest.state, None, 0.0)
    step = int(np.argmax(sizes))
    return OperatingPoint(calm[step], step, 0.0)


def point_after_gradients(rates: LearningRates, driven: Driven) -> OperatingPoint:
    """Return a state after alternating gradients, where the root of a mean square has the derivative it lacks at 0."""
    sizes, middle = np.abs(rates.values), len(driven.magnitudes) // 2
    step = len(sizes) - 1
    if not sizes[step] >= _ENDED * sizes.max(initial=0.0):
        step = max(2, int(np.argmax(sizes)) // 2 * 2)
    return OperatingPoint(driven.alternating[middle, step], step, float(driven.magnitudes[middle]))
