"""States at which an optimizer stands still under a constant gradient."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Float, Int

from optoscope._checks import check_count, check_number
from optoscope._provenance import provenance
from optoscope._results import Result
from optoscope._status import Status
from optoscope._types import ArrayLike
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.update_function import as_states
from optoscope.optimizers import AbstractOptimizer


@dataclasses.dataclass(frozen=True)
class FixedPoints(Result):
    """Fixed points `F(h, g) = h`, one row per distinct point and input.

    Converged candidates that are the same point are merged, per input; every candidate that did not converge is
    a row of its own, with its status. Rows are ordered by input, then by basin share.

    Attributes:
        gradients: the constant gradient of each point.
        states: the states.
        residuals: `|F(h, g) - h|`, Euclidean.
        status: a `Status` code per point; `Status(code).message` says it in words.
        spectral_radii: largest magnitude of an eigenvalue of `dF/dh`; below 1 the point attracts. NaN where the
            derivative is not finite or the point did not converge.
        basin_shares: share of this input's seeds that ended here.
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
    def converged(self) -> np.ndarray:
        """Which rows are fixed points to within the tolerance [point]."""
        return self.status == Status.CONVERGED

    @property
    def attracting(self) -> np.ndarray:
        """Which rows are converged and attract their neighborhood [point]."""
        return self.converged & (self.spectral_radii < 1)


@in_float64
def find_fixed_points(
    optimizer: AbstractOptimizer,
    *,
    gradient: ArrayLike,
    seeds: ArrayLike,
    tolerance: float = 1e-10,
    slow_tolerance: float = 1e-4,
    max_iterations: int = 200,
    merge_distance: float = 1e-6,
) -> FixedPoints:
    """Find states with `F(h, g) = h` for one or several constant gradients.

    Newton's method from every seed, and Powell's dogleg (damped) for those it leaves unsolved, in float64, each seed
    judged by itself
    (Maheswaranathan et al., 2021, section 4.2, minimize `1/2 |F(h, g) - h|^2`, whose zeros these are).

    Args:
        optimizer: any component-wise optimizer.
        gradient: the constant input: a number, or several [grid].
        seeds: states to start from [seed, state], or one [state].
        tolerance: largest residual of a fixed point.
        slow_tolerance: a candidate with a residual below this, but not below `tolerance`, is a slow point.
        max_iterations: per seed.
        merge_distance: converged candidates closer than this times the size of the states are one point.

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
    check_number("gradient", inputs, hint="use finite numbers")
    check_number("tolerance", tolerance, low=0, open_low=True, hint="1e-10 is the default")
    check_count("max_iterations", max_iterations)
    if not np.all(np.isfinite(starts)):
        raise ValueError("`seeds` must be finite; some are not. Drop the states of diverged runs first.")
    optimizer = to_float64(optimizer)
    states, residuals, iterations = _solve(optimizer, starts, inputs, max_iterations, tolerance)
    rows, seed_points, offset = [], [], 0
    for i, g in enumerate(inputs):
        row, members = _merge(states[i], residuals[i], iterations[i], tolerance, slow_tolerance, merge_distance)
        rows.append({"gradients": np.full(len(row["states"]), g), **row})
        seed_points.append(members + offset)
        offset += len(row["states"])
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    radii = _spectral_radii(optimizer, columns["states"], columns["gradients"], columns["status"])
    return FixedPoints(
        **columns,
        spectral_radii=radii,
        seed_points=np.stack(seed_points),
        provenance=provenance(
            tolerance=tolerance, slow_tolerance=slow_tolerance, merge_distance=merge_distance, num_seeds=len(starts)
        ),
    )


def _solve(optimizer, seeds, inputs, max_iterations, tolerance):
    """Candidates [grid, seed, ...]: Newton's method, and Powell's dogleg for the seeds that it leaves unsolved."""
    gradients, starts = np.repeat(inputs, len(seeds)), np.tile(seeds, (len(inputs), 1))
    states, residuals, iterations = map(np.array, _newton(optimizer, starts, gradients, max_iterations))
    left = np.flatnonzero(~(residuals < tolerance))
    if len(left):
        # Padded to a power of two, so that few sizes are ever compiled.
        padded = np.resize(left, 1 << (len(left) - 1).bit_length())
        damped = map(np.array, _dogleg(optimizer, starts[padded], gradients[padded], max_iterations))
        better_states, better_residuals, more_iterations = (array[: len(left)] for array in damped)
        better = ~(better_residuals >= residuals[left])
        states[left[better]], residuals[left[better]] = better_states[better], better_residuals[better]
        iterations[left] += more_iterations
    shape = (len(inputs), len(seeds))
    return states.reshape(*shape, -1), residuals.reshape(shape), iterations.reshape(shape)


def _compiled_with(make_solver):
    @jax.jit(static_argnums=3)
    def solve_all(optimizer, seeds, gradients, max_iterations):
        def residual(h, g):
            return optimizer.step(h, g)[0] - h

        # The solver goes on to near rounding; whether it has converged is judged by the residual, afterwards.
        solver = make_solver(rtol=0.0, atol=1e-13, norm=optimistix.max_norm)

        def solve(seed, g):
            solution = optimistix.root_find(residual, solver, seed, g, max_steps=max_iterations, throw=False)
            return solution.value, jnp.linalg.norm(residual(solution.value, g)), solution.stats["num_steps"]

        return jax.vmap(solve)(seeds, gradients)

    return solve_all


_newton = _compiled_with(optimistix.Newton)
_dogleg = _compiled_with(optimistix.Dogleg)


def _merge(states, residuals, iterations, tolerance, slow_tolerance, merge_distance):
    """Group the candidates of one input; returns columns of the distinct rows, and each candidate's row."""
    status = np.full(len(states), Status.NOT_CONVERGED)
    status[residuals < slow_tolerance] = Status.SLOW
    status[residuals < tolerance] = Status.CONVERGED
    status[~np.isfinite(residuals) | ~np.isfinite(states).all(1)] = Status.NOT_FINITE
    converged = status == Status.CONVERGED
    scale = max(1.0, float(np.abs(states[converged]).max(initial=0.0)))
    members = np.full(len(states), -1)
    kept: list[int] = []
    for i in np.argsort(np.where(converged, residuals, np.inf), kind="stable"):
        if converged[i]:
            distances = np.linalg.norm(states[kept] - states[i], axis=1) if kept else np.zeros(0)
            same = np.flatnonzero((distances < merge_distance * scale) & converged[kept]) if kept else []
            if len(same):
                members[i] = same[0]
                continue
        members[i] = len(kept)
        kept.append(int(i))
    shares = np.bincount(members, minlength=len(kept)) / len(states)
    most_iterations = np.zeros(len(kept), int)
    np.maximum.at(most_iterations, members, iterations)
    order = np.lexsort((-shares, status[kept]))  # converged first, then by basin share
    rank = np.empty(len(kept), int)
    rank[order] = np.arange(len(kept))
    kept_in_order = np.asarray(kept, int)[order]
    columns = {
        "states": states[kept_in_order],
        "residuals": residuals[kept_in_order],
        "status": status[kept_in_order],
        "basin_shares": shares[order],
        "iterations": most_iterations[order],
    }
    return columns, rank[members]


def _spectral_radii(optimizer, states, gradients, status):
    radii = np.full(len(states), np.nan)
    chosen = status == Status.CONVERGED
    if states.shape[1] == 0:
        radii[chosen] = 0.0
    elif chosen.any():
        jacobians = np.asarray(_jacobians(optimizer, states[chosen], gradients[chosen]))
        finite = np.isfinite(jacobians).all((1, 2))
        chosen[chosen] = finite
        radii[chosen] = np.abs(np.linalg.eigvals(jacobians[finite])).max(1)
    return radii


@jax.jit
def _jacobians(optimizer, states, gradients):
    return jax.vmap(jax.jacfwd(lambda h, g: optimizer.step(h, g)[0]))(states, gradients)
