"""Where a run under a constant gradient comes to rest: the one place that decides it."""

import contextlib
import dataclasses

import jax
import numpy as np
from jaxtyping import Float

from optoscope._core.compiled import compiled
from optoscope._core.types import ArrayLike
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.autonomous import run_constant
from optoscope.dynamics.fixed_points import find_fixed_points
from optoscope.dynamics.linearize import Linearization, linearize
from optoscope.dynamics.update_function import as_state, as_states
from optoscope.optimizers import AbstractOptimizer

#: Steps under a constant gradient after which a state has arrived, or never does.
SETTLING_STEPS = 3000
#: Last move, in units of the largest coordinate (of 1 if that is larger), below which a state stands still.
_STILL = 1e-11
#: A run whose last move is more than this share of the one halfway does not come to rest: it drifts or circles.
_FALLEN = 0.5


@dataclasses.dataclass(frozen=True)
class RestPoint:
    """A run under a constant gradient, and the fixed point where it comes to rest.

    Attributes:
        states: `h_0 ..` of the run.
        updates: its updates.
        state: the fixed point, found by Newton's method from the end of the run; the end itself if there is none.
        residual: `|F(h, g) - h|` there, or the last move of the run if there is no fixed point.
        is_fixed: whether there is one: the run ends at a state that attracts, or stands still.
        linearization: at the fixed point; None where there is no fixed point, or no derivative.
    """

    states: Float[np.ndarray, "step state"]
    updates: Float[np.ndarray, " update_step"]
    state: Float[np.ndarray, " state"]
    residual: float
    is_fixed: bool
    linearization: Linearization | None

    @property
    def spectral_radius(self) -> float:
        """Largest magnitude of an eigenvalue of `dF/dh` there; NaN where there is no linearization."""
        if self.linearization is None:
            return float("nan")
        return float(np.abs(np.linalg.eigvals(self.linearization.A)).max(initial=0.0))

    @property
    def is_attracting(self) -> bool:
        """Whether the fixed point attracts its neighborhood."""
        return self.spectral_radius < 1


@takes_rule
@in_float64
def find_rest(
    optimizer: AbstractOptimizer,
    start: ArrayLike | None = None,
    *,
    gradient: float = 0.0,
    num_steps: int = SETTLING_STEPS,
) -> RestPoint:
    """Run one component under a constant gradient, in float64, and find where it comes to rest.

    Args:
        optimizer: any component-wise optimizer.
        start: a state [state]; the initial state if None.
        gradient: the constant gradient.
        num_steps: length of the run.

    Returns:
        The run and the fixed point at its end; that it drifts, circles or grows is `is_fixed == False`.

    >>> from optoscope.optimizers import Momentum
    >>> point = find_rest(Momentum(0.1, 0.5), gradient=1.0)
    >>> point.state.tolist(), point.spectral_radius
    ([2.0], 0.5)
    """
    rule = to_float64(optimizer)
    first = np.asarray(rule.initial_state(), np.float64) if start is None else as_state(optimizer, start)
    states, updates = run_constant(rule, first, float(gradient), num_steps)
    state, residual, is_fixed = _end(optimizer, states, float(gradient))
    linearization = None
    if is_fixed:
        with contextlib.suppress(ValueError):
            linearization = linearize(optimizer, state, float(gradient))
    return RestPoint(states, updates, state, residual, is_fixed, linearization)


def _end(optimizer, states, gradient):
    """The fixed point at the end of a run, its residual, and whether there is one."""
    end = states[-1]
    moves = np.linalg.norm(np.diff(states, axis=0), axis=1)
    residual = float(moves[-1])
    if not np.isfinite(end).all() or not residual:
        return end, residual, residual == 0
    is_still = residual <= _STILL * max(1.0, float(np.abs(end).max()))
    if is_still or residual <= _FALLEN * moves[len(moves) // 2]:
        found = find_fixed_points(optimizer, gradient=gradient, seeds=end)
        if found.attracting[0]:
            return found.states[0], float(found.residuals[0]), True
    return end, residual, is_still


@takes_rule
@in_float64
def settle(
    optimizer: AbstractOptimizer,
    states: ArrayLike,
    *,
    gradients: ArrayLike | float | int = 0.0,
    num_steps: int = SETTLING_STEPS,
) -> Float[np.ndarray, "point state"]:
    """Run several states under constant gradients, in float64, and return where they end.

    Args:
        optimizer: any component-wise optimizer.
        states: where they start [point, state], or one start of all [state].
        gradients: one per point, or one of all.
        num_steps: length of the runs.
    """
    starts, inputs = as_states(optimizer, states), np.atleast_1d(np.asarray(gradients, np.float64))
    num = max(len(starts), len(inputs))
    starts, inputs = np.broadcast_to(starts, (num, starts.shape[1])), np.broadcast_to(inputs, num)
    return np.asarray(_settle(to_float64(optimizer), starts, inputs, num_steps))


@compiled()
def _settle(optimizer, states, gradients, num_steps):
    def run(h, g):
        return jax.lax.fori_loop(0, num_steps, lambda _, h: optimizer.step(h, g)[0], h)

    return jax.vmap(run)(states, gradients)
