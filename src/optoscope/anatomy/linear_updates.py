"""How far the linearized optimizer goes: its updates beside the real ones, on gradients that really occurred."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope.dynamics import Linearization, Modes
from optoscope.running.visits import Visits


@dataclasses.dataclass(frozen=True)
class LinearUpdates(Result):
    """The linearized optimizer, fed the gradients that the real one met.

    Attributes:
        squared_errors: sum over components of (linear - real update)^2, per problem and iteration.
        near_squared_errors: the same for the last quarter of the run, the linear system started there anew from the
            real state: near the fixed point.
        squares: sums of squared real updates.
        mode_error: largest difference between the updates of the linear system and those of aggregated momentum with
            its modes, from rest, relative to the largest update (App. C: they are the same thing); None where the
            system is no sum of modes.
        provenance: who made it.
    """

    squared_errors: Float[np.ndarray, "problem step"]
    near_squared_errors: Float[np.ndarray, "problem near"]
    squares: Float[np.ndarray, "problem step"]
    mode_error: float | None
    provenance: dict[str, Any]

    @property
    def r_squared(self) -> float:
        """Share of the squared updates that the linear system explains, over whole runs."""
        return explained(self.squared_errors, self.squares)

    @property
    def num_near(self) -> int:
        """Length of the last quarter."""
        return self.near_squared_errors.shape[1]


def explained(squared_errors: np.ndarray, squares: np.ndarray) -> float:
    """Return the share of the squared updates that is explained: R^2, with no mean taken off."""
    return float(1 - squared_errors.sum() / max(float(squares.sum()), np.finfo(float).tiny))


def linear_updates(linearization: Linearization, found: Modes | None, visits: Visits) -> LinearUpdates:
    """Drive the linearized optimizer with real gradients, from the real initial state.

    `h' = h* + A (h - h*) + B g`, `dx = dx* + C (h - h*) + D g` (Maheswaranathan et al., 2021, eq. 3).

    Args:
        linearization: at a fixed point.
        found: its modes, whose sum it is; None if there are none.
        visits: gradients and updates that occurred.
    """
    gradients, states = visits.gradients.astype(np.float64), visits.states
    real, late = visits.updates.astype(np.float64), gradients.shape[1] * 3 // 4
    whole = _drive(linearization, states[:, 0], gradients)
    near = _drive(linearization, states[:, late], gradients[:, late:])
    return LinearUpdates(
        squared_errors=visits.by_problem((whole - real) ** 2).sum(1),
        near_squared_errors=visits.by_problem((near - real[:, late:]) ** 2).sum(1),
        squares=visits.by_problem(real**2).sum(1),
        mode_error=None if found is None else _mode_error(linearization, found, gradients),
        provenance=provenance(num_problems=visits.num_problems),
    )


def _drive(linearization, start, gradients):
    """Updates of the linear system from states [trajectory, state] under gradients [trajectory, step]."""
    A, B, C, D = linearization.A, linearization.B, linearization.C, linearization.D
    h, updates = start.astype(np.float64) - linearization.state, np.empty(gradients.shape)
    for k, g in enumerate(gradients.T):
        updates[:, k] = linearization.update + h @ C + D * g
        h = h @ A.T + g[:, None] * B
    return updates


def _mode_error(linearization, found, gradients):
    """The linear system and momentum with its modes, both from rest under the same gradients."""
    start = np.broadcast_to(linearization.state, (len(gradients), len(linearization.state)))
    system = _drive(linearization, start, gradients) - linearization.update
    v, difference = np.zeros((len(gradients), len(found.decays)), complex), 0.0
    for k, g in enumerate(gradients.T):
        v = v * found.decays + g[:, None]
        momentum = -(v @ found.learning_rates).real - found.direct * g
        difference = max(difference, float(np.abs(system[:, k] - momentum).max()))
    return difference / max(float(np.abs(system).max()), np.finfo(float).tiny)
