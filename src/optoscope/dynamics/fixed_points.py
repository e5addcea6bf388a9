"""States at which an optimizer stands still under a constant gradient."""

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
from optoscope.dynamics.update_function import as_states
from optoscope.optimizers import AbstractOptimizer

#: Candidates that are worked on together, and that are evaluated in one call: one compiled shape for any number.
_BLOCK, _CHUNK = 512, 64


@dataclasses.dataclass(frozen=True)
class FixedPoints(Result):
    """Fixed points `F(h, g) = h`, one row per distinct point and input.

    Converged candidates that are the same point are merged, per input; every candidate that did not converge is
    a row of its own, with its status. Rows are ordered by input, then by status, then by basin share.

    Attributes:
        gradients: the constant gradient of each point.
        states: the states.
        residuals: `|F(h, g) - h|`, Euclidean.
        status: a `Status` code per point; `Status(code).message` says it in words.
        spectral_radii: largest magnitude of an eigenvalue of `dF/dh`; below 1 the point attracts. NaN where the
            derivative is not finite or the point did not converge.
        basin_shares: share of this input's seeds whose search ended here. These are the basins of the search, which
            also finds saddles; where the optimizer itself goes, `autonomous_trajectory` tells.
        iterations: most iterations that a seed took to get here.
        seed_points: for each input and seed, the row where it ended.
        provenance: who made it, with the tolerances.
    """

    gradients: Float[np.ndarray, " point"]
    states: Float[np.ndarray, "point state"]
    residuals: Float[np.ndarray, " point"]
    status: Int[np.ndarray, " point"]
    spectral_radii: Float[np.ndarray, " point"]
    basin_shares: Float[np.ndarray, " point"]
    iterations: Int[np.ndarray, " point"]
    seed_points: Int[np.ndarray, "grid seed"]
    provenance: dict[str, Any]

    @property
    def converged(self) -> Bool[np.ndarray, " point"]:
        """Which rows are fixed points to within the tolerance."""
        return self.status == Status.CONVERGED

    @property
    def attracting(self) -> Bool[np.ndarray, " point"]:
        """Which rows are converged and attract their neighborhood."""
        return self.converged & (self.spectral_radii < 1)


@in_float64
def find_fixed_points(
    optimizer: AbstractOptimizer,
    *,
    gradient: ArrayLike | float | int,
    seeds: ArrayLike,
    tolerance: float = 1e-10,
    slow_tolerance: float = 1e-4,
    max_iterations: int = 200,
    merge_distance: float = 1e-6,
) -> FixedPoints:
    """Find states with `F(h, g) = h` for one or several constant gradients.

    The Levenberg-Marquardt method on `1/2 |F(h, g) - h|^2` (the objective of Maheswaranathan et al., 2021, section
    4.2) from every seed, in float64, each seed judged by itself. Near a fixed point it is Newton's method, near a
    line attractor it converges as fast (damping `~ |F - h|^2`: Yamashita and Fukushima, 2001), and where nothing
    stands still it ends in the slowest point nearby.

    Args:
        optimizer: any component-wise optimizer.
        gradient: the constant input: a number, or several [grid].
        seeds: states to start from [seed, state], or one [state]; best those that runs visit. Far outside of them a
            network's gates saturate, and there are slow points that no run comes near.
        tolerance: largest residual of a fixed point, in units of its largest coordinate where that exceeds 1.
            The search goes on to rounding; the tolerance only judges.
        slow_tolerance: a candidate with a residual below this, but not below `tolerance`, is a slow point.
        max_iterations: per seed.
        merge_distance: converged candidates closer than this, in units of the largest coordinate among them and
            their seeds, are one point.

    Returns:
        Every candidate with its status.

    Raises:
        ValueError: if a shape or a number does not fit.

    >>> from optoscope.optimizers import Momentum
    >>> points = find_fixed_points(Momentum(0.1, 0.5), gradient=1.0, seeds=[[0.0], [5.0]])
    >>> points.states.round(6).tolist(), points.basin_shares.tolist()
    ([[2.0]], [1.0])
    """
    starts = as_states(optimizer, seeds)
    inputs = np.atleast_1d(np.asarray(gradient, np.float64))
    if inputs.ndim != 1 or not len(inputs) or not len(starts):
        raise ValueError(f"`gradient` and `seeds` must not be empty, got shapes {inputs.shape} and {starts.shape}.")
    check_number("gradient", inputs, hint="use finite numbers")
    check_number("tolerance", tolerance, low=0, open_low=True, hint="1e-10 is the default")
    check_number("slow_tolerance", slow_tolerance, low=0, hint="1e-4 is the default, 0 asks for no slow points")
    check_number("merge_distance", merge_distance, low=0, hint="1e-6 is the default")
    check_count("max_iterations", max_iterations)
    if not np.isfinite(starts).all():
        raise ValueError("`seeds` must be finite; some are not. Drop the states of diverged runs first.")
    optimizer = to_float64(optimizer)
    gradients = inputs.repeat(len(starts))
    states, residuals, iterations, broken = _search(
        optimizer, np.tile(starts, (len(inputs), 1)), gradients, max_iterations, tolerance
    )
    status = _judge(states, residuals, broken, tolerance, slow_tolerance)
    rows, seed_points = [], np.empty((len(inputs), len(starts)), int)
    for i in range(len(inputs)):
        own = slice(i * len(starts), (i + 1) * len(starts))
        kept, members = _merge(starts, states[own], residuals[own], status[own], merge_distance)
        seed_points[i] = members + len(rows)
        rows.extend(kept + own.start)
    rows = np.array(rows)
    most_iterations = np.zeros(len(rows), int)
    np.maximum.at(most_iterations, seed_points.ravel(), iterations)
    return FixedPoints(
        gradients=gradients[rows],
        states=states[rows],
        residuals=residuals[rows],
        status=status[rows],
        spectral_radii=_spectral_radii(optimizer, states[rows], gradients[rows], status[rows] == Status.CONVERGED),
        basin_shares=np.bincount(seed_points.ravel(), minlength=len(rows)) / len(starts),
        iterations=most_iterations,
        seed_points=seed_points,
        provenance=provenance(
            tolerance=tolerance,
            slow_tolerance=slow_tolerance,
            merge_distance=merge_distance,
            num_seeds=len(starts),
        ),
    )


def _search(optimizer, seeds, gradients, max_iterations, tolerance):
    """Candidates [candidate, ...]: states, residuals, iterations, and where a derivative was not finite."""
    blocks = [
        _levenberg_marquardt(optimizer, seeds[i : i + _BLOCK], gradients[i : i + _BLOCK], max_iterations, tolerance)
        for i in range(0, len(seeds), _BLOCK)
    ]
    return [np.concatenate(column) for column in zip(*blocks)]


def _levenberg_marquardt(optimizer, seeds, gradients, max_iterations, tolerance):
    """Minimize `|r|^2`, `r = F(h, g) - h`; only candidates that still move are worked on."""
    states, iterations = seeds.copy(), np.zeros(len(seeds), int)
    r, jacobians = _evaluate(optimizer, states, gradients)
    first_norms = np.linalg.norm(r, axis=1)
    norms, damping = first_norms.copy(), np.full(len(seeds), 1e-2)
    stalled = np.zeros(len(seeds), int)
    broken = ~(np.isfinite(norms) & np.isfinite(jacobians).all((1, 2)))
    active = np.flatnonzero(~broken & (norms > _rounding(states, tolerance)))
    for _ in range(max_iterations):
        if not len(active):
            break
        with np.errstate(over="ignore", invalid="ignore"):
            share = damping[active] * (norms[active] / first_norms[active]) ** 2
            step, predicted = _step(r[active], jacobians[active], share)
            new_r, new_jacobians = _evaluate(optimizer, states[active] + step, gradients[active])
            new_norms = np.linalg.norm(new_r, axis=1)
            better = new_norms < norms[active]
            gain = (norms[active] ** 2 - new_norms**2) / np.maximum(predicted, np.finfo(float).tiny)
        stalled[active] = np.where(new_norms < 0.999 * norms[active], 0, stalled[active] + 1)
        iterations[active] += 1
        damping[active] *= np.select([~better | (gain < 0.25), gain > 0.75], [4.0, 0.1], 1.0)
        moved = active[better]
        states[moved] += step[better]
        r[moved], jacobians[moved], norms[moved] = new_r[better], new_jacobians[better], new_norms[better]
        broken[moved] = ~np.isfinite(new_jacobians[better]).all((1, 2))
        at_rounding = (norms[active] <= _rounding(states[active], tolerance)) | (
            ~better & (norms[active] < _limits(states[active], tolerance))
        )
        active = active[~(at_rounding | broken[active] | (stalled[active] >= 10))]
    return states, norms, iterations, broken


def _step(r, jacobians, damping):
    """The damped Gauss-Newton step and the decrease of `|r|^2` that the linear model predicts."""
    transposed = np.swapaxes(jacobians, 1, 2)
    normal = transposed @ jacobians
    diagonal = np.einsum("kii->ki", normal)
    # Damping is a share of the mean diagonal. Its floor keeps a singular matrix solvable in rounding.
    diagonal += ((damping + 1e-14) * diagonal.mean(1) + np.finfo(float).tiny)[:, None]
    step = -np.linalg.solve(normal, transposed @ r[..., None])
    return step[..., 0], (r**2).sum(1) - ((r + (jacobians @ step)[..., 0]) ** 2).sum(1)


def _evaluate(optimizer, states, gradients):
    """Residual vectors and their Jacobians, in chunks of one shape."""
    num, padding = len(states), -len(states) % _CHUNK
    states = np.concatenate([states, states[-1:].repeat(padding, 0)])
    gradients = np.concatenate([gradients, gradients[-1:].repeat(padding)])
    parts = [
        _residuals(optimizer, states[i : i + _CHUNK], gradients[i : i + _CHUNK]) for i in range(0, len(states), _CHUNK)
    ]
    return [np.concatenate(column)[:num] for column in zip(*parts)]


@jax.jit
def _residuals(optimizer, states, gradients):
    def residual(h, g):
        r = optimizer.step(h, g)[0] - h
        return r, r

    jacobians, r = jax.vmap(jax.jacfwd(residual, has_aux=True))(states, gradients)
    return r, jacobians


def _limits(states, tolerance):
    return tolerance * np.maximum(1.0, np.abs(states).max(1, initial=0.0))


def _rounding(states, tolerance):
    return np.maximum(1e-5 * tolerance, 4 * np.finfo(float).eps * np.abs(states).max(1, initial=0.0))


def _judge(states, residuals, broken, tolerance, slow_tolerance):
    status = np.full(len(states), int(Status.NOT_CONVERGED))
    status[residuals < slow_tolerance] = Status.SLOW
    status[broken] = Status.NOT_FINITE
    status[residuals < _limits(states, tolerance)] = Status.CONVERGED
    return status


def _merge(seeds, states, residuals, status, merge_distance):
    """The distinct candidates of one input, in the order of its rows, and for each candidate its place among them."""
    converged = status == Status.CONVERGED
    distance = merge_distance * max(np.abs(seeds).max(initial=0.0), np.abs(states[converged]).max(initial=0.0))
    kept, members = [], np.empty(len(states), int)
    for i in np.lexsort((residuals, status)):  # converged ones first, the best of them first
        near = []
        if converged[i] and kept:
            near = np.flatnonzero(np.linalg.norm(states[kept] - states[i], axis=1) <= distance)
        members[i] = near[0] if len(near) else len(kept)
        if not len(near):
            kept.append(i)
    order = np.lexsort((-np.bincount(members), status[kept]))
    return np.array(kept)[order], np.argsort(order)[members]


def _spectral_radii(optimizer, states, gradients, converged):
    radii = np.full(len(states), np.nan)
    if converged.any():
        _, jacobians = _evaluate(optimizer, states[converged], gradients[converged])
        finite = np.isfinite(jacobians).all((1, 2))
        eigenvalues = np.linalg.eigvals(jacobians[finite]) + 1  # those of dF/dh
        radii[np.flatnonzero(converged)[finite]] = np.abs(eigenvalues).max(1, initial=0.0)
    return radii
