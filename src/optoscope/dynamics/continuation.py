"""Follow a fixed point while its constant gradient changes: the S-curve of section 5.4."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from optoscope._core.checks import check_count, check_number
from optoscope._core.compiled import compiled
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.status import Status
from optoscope._core.types import ArrayLike
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.autonomous import run_constant
from optoscope.dynamics.fixed_points import find_fixed_points
from optoscope.dynamics.rest_point import SETTLING_STEPS, find_rest
from optoscope.dynamics.update_function import as_state, one_sided_slopes
from optoscope.optimizers import AbstractOptimizer

_FIRST_STEP, _LARGEST_STEP, _SMALLEST_STEP = (
    1e-3,
    0.1,
    1e-9,
)  # in units of the range and of the states met in it
_TURN, _SHARPEST_TURN = 0.1, 0.3  # radians between neighboring points: aimed at, and refused


@dataclasses.dataclass(frozen=True)
class Branch(Result):
    """A curve of fixed points over the constant gradient, ordered along the curve.

    Attributes:
        gradients: `g*` of each point; not monotonic where the curve folds.
        states: `h*` of each point.
        residuals: `|F(h*, g*) - h*|`.
        spectral_radii: largest magnitude of an eigenvalue of `dF/dh`; below 1 the point attracts.
        learning_rates: slope of the update function at g = 0, at each state (Fig. 6c); NaN at a state where there is
            none (Adam at 0).
        updates: `dx` at each point: what the optimizer does under this gradient in the long run.
        folds: indices of the points at which the curve turns back in `g*`. Each is located on the curve, so that
            its gradient is as accurate as the points are.
        ends: `Status` codes of the first and the last point: converged (an end of the range was reached) or why the
            curve stops there.
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


@takes_rule
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
    in the gradient. Steps adapt to the curve's bend and grow by at most 30%, which spaces points about evenly in the
    logarithm of the gradient on long tails. Folds are located and become points of the curve.

    Args:
        optimizer: any component-wise optimizer.
        gradients: lowest and highest constant gradient; they enclose `start_gradient`.
        start: a state near the first fixed point [state]; where the autonomous run ends if None.
        start_gradient: the gradient to start from.
        tolerance: largest residual of a point, in units of its largest coordinate where that exceeds 1.
        max_points: bound on the number of points of each arm.

    Returns:
        The curve, its lower end first.

    Raises:
        ValueError: if the range does not enclose the start, or there is no fixed point to start from.

    >>> from optoscope.optimizers import Momentum
    >>> branch = continue_fixed_points(Momentum(0.1, 0.5), gradients=(-1.0, 1.0))
    >>> branch.states[[0, -1], 0].round(6).tolist(), len(branch.folds)
    ([-2.0, 2.0], 0)
    """
    low, high = float(gradients[0]), float(gradients[1])
    check_number("gradients", [low, high], hint="use finite numbers")
    check_number("start_gradient", start_gradient, hint="use a finite number")
    check_number("tolerance", tolerance, low=0, open_low=True, hint="1e-10 is the default")
    check_count("max_points", max_points, minimum=2)
    if not low < high or not low <= start_gradient <= high:
        raise ValueError(
            f"`gradients` must enclose the start {start_gradient:g} in increasing order, got ({low:g}, {high:g})."
        )
    optimizer = to_float64(optimizer)
    first = _first_state(optimizer, start, float(start_gradient), tolerance)
    curve = _Curve(optimizer, low, high, tolerance, size=_state_size(optimizer, first, (low, high)))
    middle = curve.start(first, float(start_gradient))
    backward, first_end = curve.follow(middle._replace(tangent=-middle.tangent), max_points)
    forward, last_end = curve.follow(middle, max_points)
    points, ends = [*backward[::-1], middle, *forward], [first_end, last_end]
    if points[0].gradient > points[-1].gradient:
        points, ends = points[::-1], ends[::-1]
    return Branch(
        gradients=np.array([point.gradient for point in points]),
        states=np.stack([point.state for point in points]),
        residuals=np.array([point.residual for point in points]),
        spectral_radii=np.abs(np.linalg.eigvals(np.stack([point.A for point in points]))).max(1, initial=0.0),
        learning_rates=np.array([point.learning_rate for point in points]),
        updates=np.array([point.update for point in points]),
        folds=np.flatnonzero([point.is_fold for point in points]),
        ends=np.array(ends, int),
        provenance=provenance(gradients=[low, high], start_gradient=float(start_gradient), tolerance=tolerance),
    )


def _first_state(optimizer, start, gradient, tolerance):
    if start is None:
        start = find_rest(optimizer, gradient=gradient).state
    found = find_fixed_points(optimizer, gradient=gradient, seeds=as_state(optimizer, start), tolerance=tolerance)
    if not found.converged[0]:
        raise ValueError(
            f"there is no fixed point near the start at gradient {gradient:g}: {Status(found.status[0]).message}. "
            "Pass a `start` near one, for instance a state from `find_fixed_points`; an optimizer whose state counts "
            "iterations has none."
        )
    return found.states[0]


def _state_size(optimizer, first, gradients):
    """The size of states met under the extreme gradients: their unit, as the range is that of gradients."""
    runs = [run_constant(optimizer, first, gradient, SETTLING_STEPS)[0] for gradient in gradients]
    size = max(float(np.abs(run[np.isfinite(run)]).max(initial=0.0)) for run in runs)
    return size * len(first) ** 0.5 if size > 0 else 1.0


class _Point(NamedTuple):
    joint: np.ndarray  # (state / size, gradient / span)
    tangent: np.ndarray  # of the curve, a unit vector in the same coordinates
    state: np.ndarray
    gradient: float
    residual: float
    A: np.ndarray
    update: float
    learning_rate: float
    is_fold: bool = False


class _Lost(Exception):
    """The corrector found no point of the curve near the prediction."""


class _Curve:
    """The curve `F(h, g) = h` in the joint space of state and gradient, each in units of its own size."""

    def __init__(self, optimizer, low, high, tolerance, *, size):
        self.optimizer, self.low, self.high, self.tolerance = optimizer, low, high, tolerance
        self.size, self.span = size, high - low

    def start(self, state, gradient):
        joint = np.append(state / self.size, gradient / self.span)
        *_, jacobian = self._equations(joint)
        if not np.isfinite(jacobian).all():
            raise ValueError(
                f"the fixed point at gradient {gradient:g} has no derivative (for instance the root of a mean square "
                "at 0); start the curve at another gradient."
            )
        tangent = np.linalg.svd(jacobian)[2][-1]  # spans the null space of the n x (n + 1) Jacobian
        try:
            return self._correct(joint, np.where(tangent[-1] < 0, -1.0, 1.0) * tangent)
        except _Lost:
            raise ValueError(
                f"no smooth curve of fixed points goes through the one at gradient {gradient:g} (the rule may jump "
                "there); start the curve at another gradient."
            ) from None

    def follow(self, point, max_points):
        """Return the points beyond a first one, along its tangent, and the status of their end."""
        step, points = _FIRST_STEP, []
        while len(points) < max_points:
            try:
                new = self._advance(point, step)
                turned = new.tangent[-1] * point.tangent[-1] < 0
                passed = [self._fold(point, step), new] if turned else [new]
                outside = [not self.low <= each.gradient <= self.high for each in passed]
                if any(outside):
                    inside = passed[: outside.index(True)]
                    return points + inside + self._end((inside or [point])[-1], passed[len(inside)]), Status.CONVERGED
            except _Lost:
                step /= 2
                if step < _SMALLEST_STEP:
                    return points, Status.NOT_CONVERGED
                continue
            points.extend(passed)
            angle = _angle(point.tangent, new.tangent)
            step = min(_LARGEST_STEP, step * np.clip(_TURN / max(angle, 1e-9), 0.5, 1.3))
            point = new
        return points, Status.NOT_CONVERGED

    def _advance(self, point, step):
        guess = point.joint + step * point.tangent
        new = self._correct(guess, point.tangent)
        if _angle(point.tangent, new.tangent) > _SHARPEST_TURN or np.linalg.norm(new.joint - guess) > 0.5 * step:
            raise _Lost
        return new

    def _fold(self, point, step):
        """The point at most one step ahead whose tangent has no part along the gradient."""
        along = scipy.optimize.brentq(
            lambda ahead: self._correct(point.joint + ahead * point.tangent, point.tangent).tangent[-1],
            *(0.0, step),
            xtol=1e-6 * step,  # the gradient is quadratic here: an error of 1e-12 of it
        )
        return self._correct(point.joint + along * point.tangent, point.tangent)._replace(is_fold=True)

    def _end(self, inside, outside):
        """The point between two at which the gradient is exactly an end of the range; none if the first is there."""
        end = self.low if outside.gradient < self.low else self.high
        if inside.gradient == end:
            return []
        share = (end - inside.gradient) / (outside.gradient - inside.gradient)
        guess = inside.joint + share * (outside.joint - inside.joint)
        guess[-1] = end / self.span
        point = self._correct(guess, np.append(np.zeros(len(guess) - 1), 1.0), tangent=inside.tangent)
        return [point._replace(gradient=end)]

    def _correct(self, guess, normal, tangent=None):
        """Newton's method in the plane through `guess` with this normal; the new tangent keeps the sense of the old."""
        joint = guess
        for _ in range(8):
            state, gradient = joint[:-1] * self.size, float(joint[-1] * self.span)
            r, values, jacobian = self._equations(joint)
            if not (np.isfinite(r).all() and np.isfinite(jacobian).all()):
                raise _Lost
            try:
                if np.linalg.norm(r) < self.tolerance * max(1.0, np.abs(state).max(initial=0.0)):
                    return _Point(
                        joint,
                        self._tangent(jacobian, normal if tangent is None else tangent),
                        state,
                        gradient,
                        float(np.linalg.norm(r)),
                        *values,
                    )
                equations = np.append(r / self.size, normal @ (joint - guess))
                joint = joint - np.linalg.solve(np.vstack([jacobian, normal]), equations)
            except np.linalg.LinAlgError:
                raise _Lost from None
        raise _Lost

    def _tangent(self, jacobian, previous):
        bordered = np.vstack([jacobian, previous])
        tangent = np.linalg.solve(bordered, np.append(np.zeros(len(jacobian)), 1.0))
        return tangent / np.linalg.norm(tangent)

    def _equations(self, joint):
        state, gradient = joint[:-1] * self.size, float(joint[-1] * self.span)
        next_state, A, B, update, slope = map(np.asarray, _expand(self.optimizer, state, gradient))
        learning_rate = -float(slope) if np.isfinite(slope) else np.nan
        jacobian = np.column_stack([A - np.eye(len(A)), B * (self.span / self.size)])
        return next_state - state, (A, float(update), learning_rate), jacobian


def _angle(a, b):
    return float(2 * np.arcsin(min(1.0, np.linalg.norm(a - b) / 2)))


@compiled()
def _expand(optimizer, state, gradient):
    def step(h, g):
        next_state, update = optimizer.step(h, g)
        return next_state, (next_state, update)

    (A, B), (next_state, update) = jax.jacfwd(step, argnums=(0, 1), has_aux=True)(state, gradient)
    (slope,) = -one_sided_slopes(optimizer, state[None], jax.numpy.zeros(1))
    return next_state, A, B, update, slope
