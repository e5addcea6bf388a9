"""Update functions at states displaced along a mode: momentum shifts them."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics import Modes, effective_learning_rate, flatten_states, update_function
from optoscope.optimizers import AbstractOptimizer


@dataclasses.dataclass(frozen=True)
class ModeShift(Result):
    """Update functions at states displaced along one mode: does the update shift, as momentum's does?

    Attributes:
        mode: index of the mode.
        displacements: signed distances from the fixed point along the unit direction of the mode.
        states: the displaced states.
        gradients: the gradients that were tried.
        updates: `dx` at each state and gradient.
        offsets: `dx` at g = 0.
        learning_rates: minus the slope at g = 0.
        provenance: who made it.
    """

    mode: int
    displacements: Float[np.ndarray, " point"]
    states: Float[np.ndarray, "point state"]
    gradients: Float[np.ndarray, " grid"]
    updates: Float[np.ndarray, "point grid"]
    offsets: Float[np.ndarray, " point"]
    learning_rates: Float[np.ndarray, " point"]
    provenance: dict[str, Any]

    def offset_share(self, largest: float = np.inf) -> float:
        """Return the share of the change of the update function along the mode that is an offset: 1 for momentum.

        Args:
            largest: gradients beyond this magnitude do not count, but the middle five always do.

        Raises:
            ValueError: if the update function is the same along the mode.
        """
        sizes = np.abs(self.gradients)
        inside = (sizes <= largest) | (sizes <= np.sort(sizes)[4])
        change = self.updates[:, inside] - self.updates[len(self.displacements) // 2, inside]
        bent = change - change.mean(1, keepdims=True)
        total = float((change**2).sum())
        if not total > 0:
            raise ValueError("the update function does not change along this mode, so no share of it is an offset.")
        return float(1 - (bent**2).sum() / total)


@takes_rule
def mode_shift(
    optimizer: AbstractOptimizer, center: np.ndarray, found: Modes, states: np.ndarray, *, mode: int = 0
) -> ModeShift:
    """Displace a fixed point along a mode by as much as runs do, and compute the update functions there.

    The direction is the real part of the right eigenvector, oriented so that a positive gradient pushes along it; the
    displacements span what the states visited reach along the left eigenvector (the inner 98%).

    Raises:
        ValueError: if there is no such mode.
    """
    if not mode < len(found.decays):
        raise ValueError(f"there are {len(found.decays)} modes, so there is no mode {mode}.")
    right, left = found.right[:, mode], found.left[mode]
    phase = right[np.argmax(np.abs(right))]
    direction = (right / phase * abs(phase)).real
    length = np.linalg.norm(direction)
    along = ((flatten_states(states) - center) @ (left * phase / abs(phase))).real * length
    reach = float(np.quantile(np.abs(along), 0.99))
    displacements = np.linspace(-reach, reach, 9)
    points = center + displacements[:, None] * (direction / length)
    rate = max(abs(found.learning_rates[mode]), np.finfo(float).tiny)
    # A range of gradients over which the direct response is of the size of the shift.
    offsets = update_function(optimizer, points, [0.0]).updates[:, 0]
    scale = max(float(np.abs(offsets).max()), np.finfo(float).tiny) / rate
    functions = update_function(optimizer, points, np.linspace(-scale, scale, 101))
    return ModeShift(
        mode=mode,
        displacements=displacements,
        states=points,
        gradients=functions.gradients,
        updates=functions.updates,
        offsets=offsets,
        learning_rates=effective_learning_rate(optimizer, points),
        provenance=provenance(mode=mode),
    )
