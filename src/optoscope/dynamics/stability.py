"""Where an optimizer is stable: the joint system of state and parameter on a quadratic of any curvature."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Bool, Complex, Float, Int

from optoscope._core.checks import check_number
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.status import Status
from optoscope._core.types import ArrayLike, Scalar
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.autonomous import run_constant
from optoscope.dynamics.fixed_points import find_fixed_points
from optoscope.dynamics.linearize import Linearization, linearize
from optoscope.dynamics.update_function import slopes_or_nan
from optoscope.optimizers import AbstractOptimizer

_SETTLING_STEPS = 4000
#: Frequencies at which the response is looked at for crossings of the unit circle, and the lowest of them.
_NUM_FREQUENCIES, _LOWEST_FREQUENCY = 4000, 1e-5
#: Radii closer to 1 than this are rounding: they say nothing about the side on which a curvature lies.
_ROUNDING = 1e-11
#: Responses with an imaginary part below this share are real.
_REAL = 1e-10


@dataclasses.dataclass(frozen=True)
class StabilityMap(Result):
    """Spectrum of the joint system of state and parameter against the curvature of the loss.

    On `1/2 curvature x^2` a linearized optimizer is the matrix `[[A, curvature B], [C, 1 + curvature D]]` on
    `(h - h*, x - x*)`. A component-wise optimizer does the same along every eigenvector of a Hessian, so that a
    quadratic in many dimensions is stable if each of its eigenvalues is.

    Attributes:
        curvatures: those that were asked for.
        radii: spectral radius at each; below 1 a small perturbation dies out.
        leading: the eigenvalue of that magnitude, in the upper half plane.
        edges: every positive curvature at which the radius reaches 1 or leaves it, in increasing order, wherever
            `curvatures` lie.
        edge_eigenvalues: the leading eigenvalue at each: -1 where steps overshoot, complex where it circles.
        kinds: between 0 and the first edge, between the edges, and beyond the last one: -1 where small perturbations
            die out, 1 where they grow, 0 where they do neither and the radius is 1 throughout.
        total_learning_rate: `-(D + C (1 - A)^-1 B)`: how far a lasting gradient moves the parameter per step; the
            radius is about `1 - total_learning_rate * curvature` where that is small.
        state, gradient: `h*` and `g*` where the optimizer was linearized; `x* = g* / curvature`.
        update: `dx` there, 0 at a resting point.
        residual: `|F(h*, g*) - h*|`. Where this or `update` is not about 0 the map holds coefficients that in
            truth drift, as an adaptive optimizer's do.
        provenance: who made it.
    """

    curvatures: Float[np.ndarray, " grid"]
    radii: Float[np.ndarray, " grid"]
    leading: Complex[np.ndarray, " grid"]
    edges: Float[np.ndarray, " edge"]
    edge_eigenvalues: Complex[np.ndarray, " edge"]
    kinds: Int[np.ndarray, " kind"]
    total_learning_rate: float
    state: Float[np.ndarray, " state"]
    gradient: float
    update: float
    residual: float
    provenance: dict[str, Any]

    @property
    def rates(self) -> Float[np.ndarray, " grid"]:
        """Decay of a perturbation per step, `-log radius`; negative where it grows."""
        with np.errstate(divide="ignore"):
            return -np.log(self.radii)

    @property
    def periods(self) -> Float[np.ndarray, " grid"]:
        """Steps in which the leading mode turns round: 2 if it alternates, infinite if it does not oscillate."""
        angles = np.abs(np.angle(self.leading))
        with np.errstate(divide="ignore"):
            return np.where(angles < 1e-12, np.inf, 2 * np.pi / angles)

    @property
    def damping_ratios(self) -> Float[np.ndarray, " grid"]:
        """Damping ratio of the leading mode: 1 without oscillation, 0 at an edge, negative where it grows.

        For an eigenvalue `r exp(i a)` it is `-log r / sqrt(log^2 r + a^2)`, as of an oscillator sampled once a step.
        """
        angles = np.abs(np.angle(self.leading))
        length = np.hypot(self.rates, angles)
        return np.where(length > 0, self.rates / np.where(length > 0, length, 1), 0.0)

    @property
    def stable_at_zero(self) -> bool:
        """Whether small positive curvatures are stable."""
        return bool(self.kinds[0] < 0)

    @property
    def stable_below(self) -> Bool[np.ndarray, " edge"]:
        """At each edge, whether perturbations die out, or at least do not grow, at smaller curvatures only."""
        return self.kinds[:-1] < self.kinds[1:]

    @property
    def stable_ranges(self) -> Float[np.ndarray, "range two"]:
        """Lower and upper end of every range of curvatures that is stable; 0 and infinity where it has no edge."""
        return self._ranges(-1)

    @property
    def neutral_ranges(self) -> Float[np.ndarray, "range two"]:
        """The same of those where a perturbation neither dies out nor grows: it rings for ever."""
        return self._ranges(0)

    def _ranges(self, kind):
        ends = np.concatenate([[0.0], self.edges, [np.inf]])
        return np.column_stack([ends[:-1], ends[1:]])[self.kinds == kind]

    def is_stable(self, curvatures: ArrayLike) -> Bool[np.ndarray, "..."]:
        """Tell for each curvature whether a small perturbation dies out there; negative ones never are stable."""
        values = np.asarray(curvatures, np.float64)[..., None]
        low, high = self.stable_ranges.T
        return ((values > low) & (values < high)).any(-1)


class _Coupled(AbstractOptimizer):
    """An optimizer and the gradient that it changes, `g' = g + curvature * dx`, as one autonomous system."""

    optimizer: AbstractOptimizer
    curvature: Scalar

    def initial_state(self):
        return jnp.append(self.optimizer.initial_state(), 0.0)

    def step(self, h, g):
        new_h, dx = self.optimizer.step(h[:-1], h[-1] + g)
        return jnp.append(new_h, h[-1] + self.curvature * dx), dx


@takes_rule
@in_float64
def find_resting_point(optimizer: AbstractOptimizer, *, tolerance: float = 1e-10) -> Linearization:
    """Find the state and gradient at which neither state nor parameter moves, and linearize there.

    It solves `F(h, g) = h` and `dx(h, g) = 0` together. At its fixed point without a gradient, a learned optimizer
    still moves the parameter by a little; it rests on a quadratic where the gradient `g*` makes up for that. The
    solution does not depend on the curvature, which only says where that gradient is met: `x* = g* / curvature`.

    Args:
        optimizer: any component-wise optimizer; the search starts where its run without a gradient ends.
        tolerance: largest residual, in units of its largest coordinate where that exceeds 1.

    Returns:
        The linearization there, with `residual` and `update` about 0.

    Raises:
        ValueError: if there is no such point, or no derivative there (Adam at 0).

    >>> from optoscope.optimizers import Momentum
    >>> find_resting_point(Momentum(0.1, 0.9)).gradient
    0.0
    """
    check_number("tolerance", tolerance, low=0, open_low=True, hint="1e-10 is the default")
    optimizer = to_float64(optimizer)
    end = run_constant(optimizer, np.asarray(optimizer.initial_state(), np.float64), 0.0, _SETTLING_STEPS)[0][-1]
    if not np.isfinite(end).all():
        raise ValueError(f"{type(optimizer).__name__} diverges without a gradient: it rests nowhere.")
    slope = float(slopes_or_nan(optimizer, end[None], np.zeros(1))[0])
    coupled = _Coupled(optimizer, 1 / abs(slope) if np.isfinite(slope) and slope else 1.0)
    found = find_fixed_points(to_float64(coupled), gradient=0.0, seeds=np.append(end, 0.0), tolerance=tolerance)
    if not found.converged[0]:
        raise ValueError(
            f"{type(optimizer).__name__} does not come to rest together with its parameter: "
            f"{Status(found.status[0]).message}. An optimizer whose state counts iterations never does; freeze its "
            "clock, or pass a `point` made by `linearize` at a state that a run has visited."
        )
    try:
        return linearize(optimizer, found.states[0, :-1], float(found.states[0, -1]))
    except ValueError as error:
        raise ValueError(
            f"{error} For a map with that state held, pass `point=linearize(optimizer, state, gradient)`."
        ) from None


@takes_rule
@in_float64
def stability_map(
    optimizer: AbstractOptimizer, curvatures: ArrayLike, *, point: Linearization | None = None
) -> StabilityMap:
    """Compute where an optimizer is stable, how fast and how damped, against the curvature of the loss.

    Edges are found from the frequency response: on the unit circle, `det([[A, c B], [C, 1 + c D]] - z) = 0` has the
    one solution `c = (z - 1) / (D + C (z - A)^-1 B)`, which is a curvature wherever it is real and positive (the
    criterion of Nyquist, 1932). Between neighboring ones the spectral radius lies on one side of 1; where the side
    changes, the edge is refined to 1e-8 or better by Brent's method on the spectral radius.

    Args:
        optimizer: any component-wise optimizer with a linearization.
        curvatures: positive curvatures at which the spectrum is wanted [grid].
        point: where to linearize; the resting point of state and parameter if None. Adam has no derivative at its
            resting point: give it a state with a mean square, which the map then holds.

    Returns:
        The map.

    Raises:
        ValueError: if a curvature is not positive, or there is no resting point with a linearization.

    >>> from optoscope.optimizers import Momentum
    >>> found = stability_map(Momentum(learning_rate=0.1, decay=0.9), [1.0, 50.0])
    >>> found.edges.round(6).tolist(), found.stable_ranges.round(6).tolist()
    ([38.0], [[0.0, 38.0]])
    """
    grid = np.atleast_1d(np.asarray(curvatures, np.float64))
    if grid.ndim != 1:
        raise ValueError(f"`curvatures` must be a vector, got shape {grid.shape}; flatten it first.")
    check_number("curvatures", grid, low=0, open_low=True, hint="a negative curvature is never stable")
    at = find_resting_point(optimizer) if point is None else point
    leading = _leading(at, grid)
    total = _total_learning_rate(at)
    edges, kinds = _edges(at, grid, np.abs(leading), total)
    return StabilityMap(
        curvatures=grid,
        radii=np.abs(leading),
        leading=leading,
        edges=edges,
        edge_eigenvalues=_leading(at, edges),
        kinds=kinds,
        total_learning_rate=total,
        state=at.state,
        gradient=at.gradient,
        update=at.update,
        residual=at.residual,
        provenance=provenance(at="the resting point" if point is None else "a given point"),
    )


def joint_matrices(at: Linearization, curvatures: Float[np.ndarray, " grid"]) -> Float[np.ndarray, "grid rows columns"]:
    """Return `[[A, c B], [C, 1 + c D]]`, the joint system on `(h - h*, x - x*)`, for each curvature `c`."""
    n = len(at.B)
    matrices = np.zeros((len(curvatures), n + 1, n + 1))
    matrices[:, :n, :n] = at.A
    matrices[:, :n, n] = curvatures[:, None] * at.B
    matrices[:, n, :n] = at.C
    matrices[:, n, n] = 1 + curvatures * at.D
    return matrices


def _leading(at, curvatures):
    """The eigenvalue of largest magnitude at each curvature; of a pair the one in the upper half plane."""
    if not len(curvatures):
        return np.zeros(0, np.complex128)
    values = np.linalg.eigvals(joint_matrices(at, curvatures)).astype(np.complex128)
    largest = values[np.arange(len(values)), np.abs(values).argmax(1)]
    return largest.real + 1j * np.abs(largest.imag)


def _total_learning_rate(at):
    try:
        return float(-at.D - at.C @ np.linalg.solve(np.eye(len(at.B)) - at.A, at.B))
    except np.linalg.LinAlgError:  # a state that adds up gradients for ever
        return float("inf")


def _edges(at, grid, radii, total):
    """Every curvature at which the spectral radius reaches 1 or leaves it, and on which side of 1 it is in between."""

    def excess(log_curvature):
        return float(np.abs(_leading(at, np.exp([log_curvature]))[0]) - 1)

    def kind(value):
        return int(np.sign(value)) if abs(value) > _ROUNDING else 0

    candidates = np.log(_crossings(at))
    shares = np.array([0.25, 0.5, 0.75])
    between = (candidates[:-1, None] + np.diff(candidates)[:, None] * shares).ravel()
    ends = np.concatenate([candidates[:1] - 4 * shares, candidates[-1:] + 4 * shares]) if len(candidates) else []
    places = np.concatenate([np.log(grid), between, ends])
    sides = np.concatenate([radii - 1, [excess(place) for place in [*between, *ends]]])
    order = np.argsort(places, kind="stable")
    places, kinds = places[order], np.array([kind(side) for side in sides[order]])
    # Next to a crossing, and where curvatures are so small that nothing decays much, a radius is 1 to rounding on a
    # stable side too: only where it is 1 at three places in a row does a perturbation ring for ever.
    is_one = (kinds == 0) & (abs(total) * np.exp(places) > 100 * _ROUNDING)
    around = lambda mask: np.convolve(np.pad(mask, 1), np.ones(3, int), "valid")  # how many of it and its neighbors
    is_neutral = around(is_one) == 3
    kept = (kinds != 0) | (around(is_neutral) > 0) | ~kinds.any()
    places, kinds = places[kept], kinds[kept]
    edges = []
    changes = np.flatnonzero(kinds[1:] != kinds[:-1])
    for i in changes:
        if kinds[i] * kinds[i + 1]:
            edges.append(scipy.optimize.brentq(excess, places[i], places[i + 1], xtol=1e-10))
            continue
        low, high = places[i], places[i + 1]
        while high - low > 1e-10:
            middle = (low + high) / 2
            low, high = (middle, high) if kind(excess(middle)) == kinds[i] else (low, middle)
        edges.append((low + high) / 2)
    return np.exp(np.array(edges, np.float64)), np.concatenate([kinds[:1], kinds[changes + 1]])


def _crossings(at):
    """Curvatures at which some eigenvalue lies on the unit circle, in increasing order."""

    n = len(at.B)

    def inverse(angles):
        """`1 / c` as a complex number, for eigenvalues `exp(i angle)`."""
        z = np.exp(1j * np.atleast_1d(angles))
        system = z[:, None, None] * np.eye(n) - at.A
        inner = np.linalg.solve(system, np.broadcast_to(at.B[:, None], (len(z), n, 1)))[..., 0] @ at.C
        return (at.D + inner) / (z - 1)

    # Close to each other at low frequencies and around the optimizer's own ones, where the response turns quickly.
    own = np.abs(np.angle(np.linalg.eigvals(at.A))) if n else np.zeros(0)
    around = (own[:, None] + np.concatenate([s * np.geomspace(1e-6, 0.1, 12) for s in (-1, 1)])).ravel()
    angles = np.concatenate(
        [
            np.geomspace(_LOWEST_FREQUENCY, np.pi, _NUM_FREQUENCIES // 2),
            np.linspace(0, np.pi, _NUM_FREQUENCIES // 2 + 1)[1:],
            around[(around > _LOWEST_FREQUENCY) & (around < np.pi)],
        ]
    )
    angles = np.unique(angles[angles < np.pi - 1e-9])
    parts = np.array_split(angles, 1 + len(angles) * n // 10_000)
    responses: np.ndarray = np.concatenate([inverse(part) for part in parts])
    # Where waves ring for ever the response is real to rounding at every frequency.
    imaginary = np.imag(responses)
    is_complex = np.abs(imaginary) > _REAL * np.abs(responses)
    turns = np.sign(imaginary[1:]) != np.sign(imaginary[:-1])
    changes = np.flatnonzero(turns & (is_complex[1:] | is_complex[:-1]))
    roots = [
        scipy.optimize.brentq(lambda a: float(inverse(a)[0].imag), angles[i], angles[i + 1], xtol=1e-14)
        for i in changes
    ]
    values = np.array([*(inverse(root)[0].real for root in roots), inverse(np.pi)[0].real])
    with np.errstate(divide="ignore"):
        curvatures = 1 / values
    return np.unique(curvatures[(curvatures > 0) & np.isfinite(curvatures)])
