"""What interventions refer to: where an optimizer rests, its modes there, and the run that it makes by itself."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from optoscope.dynamics import (
    AutonomousTrajectory,
    Linearization,
    Modes,
    autonomous_trajectory,
    find_fixed_points,
    linearize,
    modes,
)
from optoscope.optimizers import AbstractOptimizer

#: How long an optimizer is left to itself: far longer than any schedule that 200 steps can use.
_NUM_STEPS = 1000


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """Landmarks of an optimizer's state space, in float64.

    Attributes:
        autonomous: the run without gradients from the initial state.
        rest: the attracting fixed point at g = 0 where that run ends; where there is none, the end of the run.
        at_rest: whether `rest` is an attracting fixed point.
        linearization: there; None where there is no derivative, or no fixed point.
        modes: its eigenmodes; None where there are none.
        missing: why a landmark is missing, one sentence; empty if none is.
    """

    autonomous: AutonomousTrajectory
    rest: Float[np.ndarray, " state"]
    at_rest: bool
    linearization: Linearization | None
    modes: Modes | None
    missing: str

    @property
    def path(self) -> Float[np.ndarray, "step state"]:
        """The states of the autonomous run, to which `rest` is appended: a clock that runs out stays there."""
        return np.concatenate([self.autonomous.states, self.rest[None]])

    @property
    def drifts(self) -> bool:
        """Whether the state moves without gradients: an optimizer that starts at rest has no schedule."""
        states = self.autonomous.states
        return bool(np.ptp(states, axis=0).max(initial=0.0) > 1e-9 * max(1.0, np.abs(states).max(initial=0.0)))


def find_landmarks(optimizer: AbstractOptimizer) -> Landmarks:
    """Find where an optimizer rests, its modes there, and its autonomous run.

    Args:
        optimizer: any component-wise optimizer.

    Returns:
        The landmarks; what does not exist is None, and `missing` says why.

    >>> from optoscope.optimizers import Momentum
    >>> landmarks = find_landmarks(Momentum(0.1, 0.9))
    >>> landmarks.rest.tolist(), landmarks.drifts, landmarks.modes.decays.real.tolist()
    ([0.0], False, [0.9])
    """
    autonomous = autonomous_trajectory(optimizer, num_steps=_NUM_STEPS)
    end = autonomous.states[-1]
    if not len(end):
        at_rest, rest = True, end
    elif not np.isfinite(end).all():
        raise ValueError(f"the state of {type(optimizer).__name__} grows without bound when there is no gradient.")
    else:
        found = find_fixed_points(optimizer, gradient=0.0, seeds=end)
        at_rest = bool(found.attracting[0])
        rest = found.states[0] if at_rest else end
    linearization = found_modes = None
    missing = "" if at_rest else f"its run without gradients ends at no attracting fixed point in {_NUM_STEPS} steps"
    if at_rest:
        try:
            linearization = linearize(optimizer, rest)
            found_modes = modes(linearization)
        except ValueError as error:
            missing = str(error).split("; ")[0].split(". ")[0].rstrip(".")
    return Landmarks(autonomous, rest, at_rest, linearization, found_modes, missing)


def leading_modes(found: Modes, *, share: float = 0.9) -> Int[np.ndarray, " mode"]:
    """Choose few modes that carry the memory, conjugate pairs together.

    The memory is what follows a unit gradient after the update in which it is seen. One by one the mode (or pair) is
    taken that brings the chosen ones nearest to the whole of it, until they miss at most `1 - share` of it (relative
    root mean square). Many modes mean a memory in which large terms cancel, not many timescales that matter by
    themselves.

    Args:
        found: modes of a linearized optimizer.
        share: how much of the memory they make up, below 1.

    Returns:
        Indices of modes, none if there is no memory.

    Raises:
        ValueError: if a mode does not decay.

    >>> from optoscope.optimizers import AggregatedMomentum
    >>> from optoscope.dynamics import linearize
    >>> rule = AggregatedMomentum([0.01, 1.0], [0.5, 0.9])
    >>> leading_modes(modes(linearize(rule, [0.0, 0.0]))).tolist()
    [0]
    """
    slowest = float(np.abs(found.decays).max(initial=0.0))
    if slowest >= 1:
        raise ValueError(f"a mode with |decay| {slowest:.6g} does not decay; its memory has no end.")
    num_steps = int(np.clip(np.ceil(10 / max(1e-3, 1 - slowest)), 10, 10_000))
    powers = found.decays[:, None] ** np.arange(1, num_steps)
    memories = np.real(found.learning_rates[:, None] * powers)
    left, groups, chosen = memories.sum(0), conjugate_groups(found), np.zeros(0, int)
    enough = (1 - share) * np.linalg.norm(left)
    while groups and np.linalg.norm(left) > enough:
        nearest = min(range(len(groups)), key=lambda i: float(np.linalg.norm(left - memories[groups[i]].sum(0))))
        chosen = np.append(chosen, groups[nearest])
        left = left - memories[groups.pop(nearest)].sum(0)
    return np.sort(chosen)


def conjugate_groups(found: Modes) -> list[Int[np.ndarray, " mode"]]:
    """Return the modes one by one, conjugate pairs together (they stand side by side)."""
    imaginary = np.imag(found.decays)
    return [np.array([i, i + 1] if imaginary[i] > 0 else [i]) for i in np.flatnonzero(imaginary >= 0)]
