"""Follow a fixed point while its constant gradient changes: the S-curve of section 5.4."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from optoscope._checks import check_count, check_number
from optoscope._provenance import provenance
from optoscope._results import Result
from optoscope._status import Status
from optoscope._types import ArrayLike
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.autonomous import autonomous_trajectory
from optoscope.dynamics.fixed_points import find_fixed_points
from optoscope.dynamics.update_function import as_states, effective_learning_rate
from optoscope.optimizers import AbstractOptimizer


@dataclasses.dataclass(frozen=True)
class Branch(Result):
    """A curve of fixed points over the constant gradient, ordered along the curve.

    Attributes:
        gradients: `g*` of each point; not monotonic where the curve folds.
        states: `h*` of each point.
        residuals: `|F(h*, g*) - h*|`.
        spectral_radii: largest magnitude of an eigenvalue of `dF/dh`; below 1 the point attracts.
        learning_rates: slope of the update function at g = 0, at each state (Fig. 6c).
        updates: `dx` at each point: what the optimizer does under this gradient in the long run.
        folds: indices of points at which the curve turns back in `g*`.
        ends: `Status` codes of the low and the high end: converged (the range's end was reached) or why it stopped.
        provenance: who made it.
    """

    gradients: Float[np.ndarray, " point"]
    states: Float[np.ndarray, "point state"]
    residuals: Float[np.ndarray, " point"]
    spectral_radii: Float[np.ndarray, " point"]
    learning_rates: Float[np.ndarray, " point"]
    updates: Float[np.ndarray, " point"]
    folds: Int[np.ndarray, " fold"]
    ends: Int[np.ndarray, " two"]
    provenance: dict[str, Any]

    @property
    def attracting(self) -> Bool[np.ndarray, " point"]:
        """Which points attract their neighborhood."""
        return self.spectral_radii < 1


@in_float64
def continue_fixed_points(
    optimizer: AbstractOptimizer,
    *,
    gradients: tuple[float, float],
    start: ArrayLike | None = None,
    start_gradient: float = 0.0,
    tolerance: float = 1e-10,
    max_points: int = 2000,
) -> Branch:
    """Follow the fixed point from `start_gradient` to both ends of a range, through folds.

    Pseudo-arclength continuation (Keller, 1977) in float64: each step predicts along the curve's tangent in the
    joint space of state and gradient, and corrects with Newton's method across it, so that the curve may turn back
    in the gradient. The step adapts to the curve's bend.

    Args:
        optimizer: any component-wise optimizer.
        gradients: lowest and highest constant gradient; they enclose `start_gradient`.
        start: a state near the first fixed point [state]; where the autonomous run ends if None.
        start_gradient: the gradient to start from.
        tolerance: largest residual of a point.
        max_points: bound on the number of points of each arm.

    Returns:
        The curve from the low end to the high end.

    Raises:
        ValueError: if the range does not enclose the start, or there is no fixed point to start from.

    >>> from optoscope.optimizers import Momentum
    >>> branch = continue_fixed_points(Momentum(0.1, 0.5), gradients=(-1.0, 1.0))
    >>> branch.states[[0, -1], 0].round(6).tolist(), len(branch.folds)
    ([-2.0, 2.0], 0)
    """
    low, high = float(gradients[0]), float(gradients[1])
    check_number("gradients", [low, high], hint="use finite numbers")
    check_number("tolerance", tolerance, low=0, open_low=True, hint="1e-10 is the default")
    check_count("max_points", max_points, minimum=2)
    if not low < high or not low <= start_gradient <= high:
        raise ValueError(
            f"`gradients` must enclose the start {start_gradient:g} in increasing order, got ({low:g}, {high:g})."
        )
    optimizer = to_float64(optimizer)
    first = _first_point(optimizer, start, start_gradient, tolerance)
    curve = _Curve(optimizer, scale=high - low, tolerance=tolerance)
    towards_low, low_end = curve.follow(first, start_gradient, low, high, -1.0, max_points)
    towards_high, high_end = curve.follow(first, start_gradient, low, high, +1.0, max_points)
    points = np.concatenate([towards_low[::-1], curve.join(first, start_gradient)[None], towards_high])
    states, inputs = points[:, :-1], points[:, -1] * curve.scale
    values, jacobians = curve.evaluate(states, inputs)
    turns = np.diff(np.sign(np.diff(inputs)))
    return Branch(
        gradients=inputs,
        states=states,
        residuals=np.linalg.norm(values - states, axis=1),
        spectral_radii=np.abs(np.linalg.eigvals(jacobians)).max(1, initial=0.0),
        learning_rates=effective_learning_rate(optimizer, states),
        updates=np.asarray(_updates(optimizer, states, inputs)),
        folds=np.flatnonzero(turns) + 1,
        ends=np.array([low_end, high_end], int),
        provenance=provenance(gradients=[low, high], start_gradient=float(start_gradient), tolerance=tolerance),
    )


def _first_point(optimizer, start, gradient, tolerance):
    if start is None:
        start = autonomous_trajectory(optimizer, num_steps=2000, gradient=gradient).states[-1]
    found = find_fixed_points(optimizer, gradient=gradient, seeds=as_states(optimizer, start), tolerance=tolerance)
    if not found.converged[0]:
        raise ValueError(
            f"there is no fixed point near the start at gradient {gradient:g}: {Status(found.status[0]).message}. "
            "Pass a `start` near one, for instance a state from `find_fixed_points`; an optimizer whose state counts "
            "iterations has none."
        )
    return found.states[0]


class _Curve:
    """The curve `F(h, scale * p) = h` in the joint space `(h, p)`."""

    def __init__(self, optimizer, *, scale, tolerance):
        self.optimizer, self.scale, self.tolerance = optimizer, scale, tolerance

    def join(self, state, gradient):
        return np.append(state, gradient / self.scale)

    def evaluate(self, states, gradients):
        values, jacobians, _ = _derivatives(self.optimizer, states, gradients)
        return np.asarray(values), np.asarray(jacobians)

    def _equations(self, point):
        values, by_state, by_gradient = (
            np.asarray(part)[0]
            for part in _derivatives(self.optimizer, point[None, :-1], point[None, -1] * self.scale)
        )
        jacobian = np.column_stack([by_state - np.eye(len(values)), by_gradient * self.scale])
        return values - point[:-1], jacobian

    def _tangent(self, jacobian, previous):
        # The null direction of the n x (n + 1) Jacobian, bordered by the previous one so that it keeps its sense.
        bordered = np.vstack([jacobian, previous])
        try:
            tangent = np.linalg.solve(bordered, np.append(np.zeros(len(jacobian)), 1.0))
        except np.linalg.LinAlgError:
            return previous
        return tangent / np.linalg.norm(tangent)

    def _correct(self, guess, tangent):
        point = guess
        for _ in range(8):
            residual, jacobian = self._equations(point)
            if not np.isfinite(residual).all() or not np.isfinite(jacobian).all():
                return None
            if np.linalg.norm(residual) < 0.5 * self.tolerance:
                return point, jacobian
            bordered = np.vstack([jacobian, tangent])
            try:
                point = point - np.linalg.solve(bordered, np.append(residual, tangent @ (point - guess)))
            except np.linalg.LinAlgError:
                return None
        return None

    def follow(self, state, gradient, low, high, sense, max_points):
        """Points beyond the first one, towards one end, and the status of that end."""
        point = self.join(state, gradient)
        _, jacobian = self._equations(point)
        tangent = self._tangent(jacobian, np.append(np.zeros(len(state)), sense))
        step, points = 1e-3, []
        while len(points) < max_points:
            corrected = self._correct(point + step * tangent, tangent)
            new_tangent = None if corrected is None else self._tangent(corrected[1], tangent)
            if new_tangent is None or new_tangent @ tangent < 0.95:
                step /= 2
                if step < 1e-9:
                    return self._stack(points, state), Status.NOT_CONVERGED
                continue
            (point, _), bend = corrected, new_tangent @ tangent
            tangent = new_tangent
            if not low <= point[-1] * self.scale <= high:
                clipped = self._at(point, low if point[-1] * self.scale < low else high)
                if clipped is None:
                    return self._stack(points, state), Status.NOT_CONVERGED
                points.append(clipped)
                return self._stack(points, state), Status.CONVERGED
            points.append(point)
            if bend > 0.995:
                step *= 1.3
        return self._stack(points, state), Status.OUT_OF_RANGE

    def _at(self, near, gradient):
        across = np.append(np.zeros(len(near) - 1), 1.0)
        corrected = self._correct(self.join(near[:-1], gradient), across)
        return None if corrected is None else corrected[0]

    def _stack(self, points, state):
        return np.array(points).reshape(len(points), len(state) + 1)


@jax.jit
def _derivatives(optimizer, states, gradients):
    def both(h, g):
        value = optimizer.step(h, g)[0]
        return value, value

    (by_state, by_gradient), values = jax.vmap(jax.jacfwd(both, argnums=(0, 1), has_aux=True))(states, gradients)
    return values, by_state, by_gradient


@jax.jit
def _updates(optimizer, states, gradients):
    return jax.vmap(lambda h, g: optimizer.step(h, g)[1])(states, gradients)
