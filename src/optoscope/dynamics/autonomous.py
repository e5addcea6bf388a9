"""What an optimizer does when its gradient does not change: above all, when there is none."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from optoscope._core.checks import check_count, check_number
from optoscope._core.compiled import compiled
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import ArrayLike
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.update_function import as_state, slopes_or_nan
from optoscope.optimizers import AbstractOptimizer


@dataclasses.dataclass(frozen=True)
class AutonomousTrajectory(Result):
    """States under a constant gradient, and the learning-rate schedule that they make (section 5.3).

    Attributes:
        states: `h_0 .. h_T`.
        updates: `dx_0 .. dx_(T-1)`: the claim is that without a gradient they vanish.
        learning_rates: effective learning rate at each state, the slope of the update function at g = 0; NaN at a
            state where there is none (Adam at 0), which `has_learning_rate` tells.
        gradient: the constant gradient.
        provenance: who made it.
    """

    states: Float[np.ndarray, "step state"]
    updates: Float[np.ndarray, " update_step"]
    learning_rates: Float[np.ndarray, " step"]
    gradient: float
    provenance: dict[str, Any]

    @property
    def has_learning_rate(self) -> Bool[np.ndarray, " step"]:
        """At which states the update function has a slope."""
        return np.isfinite(self.learning_rates)

    @property
    def drift(self) -> Float[np.ndarray, " step"]:
        """How far a parameter has moved before each iteration."""
        return np.append(0.0, np.cumsum(self.updates))


@takes_rule
@in_float64
def autonomous_trajectory(
    optimizer: AbstractOptimizer, *, num_steps: int = 200, h: ArrayLike | None = None, gradient: float = 0.0
) -> AutonomousTrajectory:
    """Run one component under a constant gradient, in float64.

    Args:
        optimizer: any component-wise optimizer.
        num_steps: number of updates.
        h: where to start [state]; the initial state if None.
        gradient: the constant gradient; 0 is the autonomous case.

    Returns:
        States, updates and effective learning rates along the way.

    Raises:
        ValueError: if the state or a number does not fit.

    >>> from optoscope.optimizers import Momentum
    >>> autonomous_trajectory(Momentum(0.1, 0.9), num_steps=3).learning_rates.round(3).tolist()
    [0.1, 0.1, 0.1, 0.1]
    """
    check_count("num_steps", num_steps)
    check_number("gradient", gradient, hint="use a finite number")
    optimizer = to_float64(optimizer)
    start = np.asarray(optimizer.initial_state(), np.float64) if h is None else as_state(optimizer, h)
    return with_learning_rates(optimizer, *run_constant(optimizer, start, float(gradient), num_steps), float(gradient))


@in_float64
def with_learning_rates(
    optimizer: AbstractOptimizer,
    states: Float[np.ndarray, "step state"],
    updates: Float[np.ndarray, " update_step"],
    gradient: float = 0.0,
) -> AutonomousTrajectory:
    """Return a run under a constant gradient with the effective learning rate at each of its states."""
    return AutonomousTrajectory(
        states=states,
        updates=updates,
        learning_rates=slopes_or_nan(to_float64(optimizer), states, np.zeros(len(states))),
        gradient=gradient,
        provenance=provenance(num_steps=len(updates)),
    )


def run_constant(
    optimizer: AbstractOptimizer, start: Float[np.ndarray, " state"], gradient: float, num_steps: int
) -> tuple[Float[np.ndarray, "step state"], Float[np.ndarray, " update_step"]]:
    """Return the states `h_0 ..` and updates `dx_0 ..` of a float64 optimizer, inside `in_float64`."""
    states, updates = _scan(optimizer, start, gradient, num_steps)
    return np.concatenate([start[None], states]), np.asarray(updates)


@compiled(static_argnums=3)
def _scan(optimizer, start, gradient, num_steps):
    def step(h, _):
        h, dx = optimizer.step(h, gradient)
        return h, (h, dx)

    return jax.lax.scan(step, start, length=num_steps)[1]
