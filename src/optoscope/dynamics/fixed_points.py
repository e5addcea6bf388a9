"""States at which an optimizer stands still under a constant gradient."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from optoscope._core.checks import check_count, check_number
from optoscope._core.compiled import compiled
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.status import Status
from optoscope._core.types import ArrayLike
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.update_function import as_states
from optoscope.optimizers import AbstractOptimizer

#: Candidates of one compiled call: one shape for any number. Of networks with more than 64 units fewer, so that their
#: Jacobians have the room of 128 small ones: a chunk takes as long as its slowest candidate.
_CHUNK, _UNITS_OF_A_WHOLE_CHUNK = 128, 64
#: How far a seed is run forward where Newton's method finds nothing from it.
_NUM_RELAXATION_STEPS = 200
#: Eigenvalues of magnitude 1 up to this are neutral: perturbations neither grow nor die out. A gate that is closed to
#: 1e-9, as networks have under large gradients, still attracts.
NEUTRAL = 1e-10
#: Points of a continuum may lie off its tangent by this share of their distance.
_STRAIGHT = 1e-6


@dataclasses.dataclass(frozen=True)
class FixedPoints(Result):
    """Fixed points `F(h, g) = h`, one row per distinct point and input.

    Converged candidates that are the same point are merged, per input, and so are those on one straight continuum
    (a sum of all gradients stands still wherever it is): its row is the best of them. Every candidate that did not
    converge is a row of its own, with its status. Rows are ordered by input, then by status, then by basin share.

    Attributes:
        gradients: the constant gradient of each point.
        states: the states.
        residuals: `|F(h, g) - h|`, Euclidean.
        status: a `Status` code per point; `Status(code).message` says it in words.
        spectral_radii: largest magnitude of an eigenvalue of `dF/dh`; below 1 the point attracts, above 1 it repels,
            and at 1 it is neutral. NaN where the derivative is not finite or the point did not converge.
        dimensions: of the continuum of fixed points in which the point lies: 0 alone, 1 on a line, 2 on a plane ...
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
    dimensions: Int[np.ndarray, " point"]
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
        return self.converged & (self.spectral_radii < 1 - NEUTRAL)

    @property
    def neutral(self) -> Bool[np.ndarray, " point"]:
        """Which rows are converged and let a perturbation be: it neither grows nor dies out."""
        return self.converged & (np.abs(self.spectral_radii - 1) <= NEUTRAL)

    @property
    def repelling(self) -> Bool[np.ndarray, " point"]:
        """Which rows are converged and repel something of their neighborhood."""
        return self.converged & (self.spectral_radii > 1 + NEUTRAL)


@takes_rule
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

    Newton's method from every seed, in float64, each seed judged by itself. A seed that it leaves unsolved is run
    forward for a while and tried again; one that is still unsolved goes to the Levenberg-Marquardt method on
    `1/2 |F(h, g) - h|^2` (the objective of Maheswaranathan et al., 2021, section 4.2), which also ends in slow points.

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
    neutral = _neutral_spaces(optimizer, states, gradients, status == Status.CONVERGED, tolerance)
    rows, seed_points = [], np.empty((len(inputs), len(starts)), int)
    for i in range(len(inputs)):
        own = slice(i * len(starts), (i + 1) * len(starts))
        kept, members = _merge(starts, states[own], residuals[own], status[own], neutral[own], merge_distance)
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
        dimensions=np.array([neutral[row].shape[1] for row in rows]),
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
    states, iterations = _in_chunks(_newton, optimizer, seeds, gradients, max_iterations)
    residuals, broken = _residual_norms(optimizer, states, gradients)

    def rescue(candidates, solve, starts):
        new_states, more = _in_chunks(solve, optimizer, starts, gradients[candidates], max_iterations)
        new_residuals, new_broken = _residual_norms(optimizer, new_states, gradients[candidates])
        iterations[candidates] += more
        better = broken[candidates] | (new_residuals < residuals[candidates])
        chosen = candidates[better]
        states[chosen], residuals[chosen], broken[chosen] = (
            new_states[better],
            new_residuals[better],
            new_broken[better],
        )

    def unsolved():
        return np.flatnonzero(~(residuals < _limits(states, tolerance)))

    if len(left := unsolved()):
        relaxed, _ = _in_chunks(_relax, optimizer, seeds[left], gradients[left], _NUM_RELAXATION_STEPS)
        relaxed = np.where(np.isfinite(relaxed), relaxed, seeds[left])
        rescue(left, _newton, relaxed)
        left = unsolved()
    if len(left):
        states[left], residuals[left] = seeds[left], np.inf  # Newton's method may have left them anywhere
        rescue(left, _levenberg_marquardt, seeds[left])
    return states, residuals, iterations, broken


def _in_chunks(function, optimizer, states, gradients, *settings):
    """Apply a compiled function to all candidates, in chunks of one shape: any number is compiled once."""
    size = int(np.clip(_CHUNK * (_UNITS_OF_A_WHOLE_CHUNK / max(states.shape[1], 1)) ** 2, 4, _CHUNK))
    num, padding = len(states), -len(states) % size
    states = np.concatenate([states, states[-1:].repeat(padding, 0)])
    gradients = np.concatenate([gradients, gradients[-1:].repeat(padding)])
    parts = [
        function(optimizer, states[i : i + size], gradients[i : i + size], *settings)
        for i in range(0, len(states), size)
    ]
    return [np.concatenate(column)[:num] for column in zip(*parts)]


def _solver(method: str, search: str):
    @compiled(static_argnums=3)
    def solve(optimizer, seeds, gradients, max_iterations):
        import optimistix

        def residual(h, g):
            return optimizer.step(h, g)[0] - h

        def one(seed, g):
            # Goes on to near rounding; the residual judges afterwards whether it has converged.
            solver = getattr(optimistix, method)(rtol=1e-12, atol=1e-12)
            solution = getattr(optimistix, search)(residual, solver, seed, g, max_steps=max_iterations, throw=False)
            return solution.value, solution.stats["num_steps"]

        return jax.vmap(one)(seeds, gradients)

    return solve


_newton = _solver("Newton", "root_find")
_levenberg_marquardt = _solver("LevenbergMarquardt", "least_squares")


@compiled(static_argnums=3)
def _relax(optimizer, seeds, gradients, num_steps):
    def run(h, g):
        return jax.lax.fori_loop(0, num_steps, lambda _, h: optimizer.step(h, g)[0], h), num_steps

    return jax.vmap(run)(seeds, gradients)


def _residual_norms(optimizer, states, gradients):
    r, jacobians = _in_chunks(_residuals, optimizer, states, gradients)
    norms = np.linalg.norm(r, axis=1)
    return norms, ~(np.isfinite(norms) & np.isfinite(jacobians).all((1, 2)))


@compiled()
def _residuals(optimizer, states, gradients):
    def residual(h, g):
        r = optimizer.step(h, g)[0] - h
        return r, r

    jacobians, r = jax.vmap(jax.jacfwd(residual, has_aux=True))(states, gradients)
    return r, jacobians


def _limits(states, tolerance):
    return tolerance * np.maximum(1.0, np.abs(states).max(1, initial=0.0))


def _judge(states, residuals, broken, tolerance, slow_tolerance):
    status = np.full(len(states), int(Status.NOT_CONVERGED))
    status[residuals < slow_tolerance] = Status.SLOW
    status[broken] = Status.NOT_FINITE
    status[residuals < _limits(states, tolerance)] = Status.CONVERGED
    return status


def _neutral_spaces(optimizer, states, gradients, converged, tolerance):
    """For each candidate an orthonormal basis [state, dimension] of the straight continuum of points around it."""
    spaces = [np.zeros((states.shape[1], 0))] * len(states)
    if not states.shape[1] or not converged.any():
        return spaces
    rows = np.flatnonzero(converged)
    _, jacobians = _in_chunks(_residuals, optimizer, states[rows], gradients[rows])
    candidates = [
        (i, direction * max(1.0, np.abs(states[i]).max()))
        for i, jacobian in zip(rows, jacobians)
        if np.isfinite(jacobian).all()
        for size, direction in zip(*np.linalg.svd(jacobian)[1:])
        if size <= NEUTRAL
    ]
    if not candidates:
        return spaces
    owners, directions = (np.array(part) for part in zip(*candidates))
    there = np.concatenate([states[owners] + directions, states[owners] - directions])
    residuals, _ = _residual_norms(optimizer, there, gradients[np.tile(owners, 2)])
    stands = (residuals < _limits(there, tolerance)).reshape(2, -1).all(0)
    for i in np.unique(owners[stands]):
        kept = directions[(owners == i) & stands]
        spaces[i] = (kept / np.linalg.norm(kept, axis=1, keepdims=True)).T
    return spaces


def _merge(seeds, states, residuals, status, neutral, merge_distance):
    """The distinct candidates of one input, in the order of its rows, and for each candidate its place among them."""
    converged = status == Status.CONVERGED
    distance = merge_distance * max(np.abs(seeds).max(initial=0.0), np.abs(states[converged]).max(initial=0.0))
    kept, members = [], np.empty(len(states), int)
    for i in np.lexsort((residuals, status)):  # converged ones first, the best of them first
        near = []
        if converged[i] and kept:
            apart = states[kept] - states[i]
            # What lies along the continuum of both is no distance.
            off = [np.linalg.norm(a - neutral[k] @ (neutral[k].T @ a)) for a, k in zip(apart, kept)]
            far = np.linalg.norm(apart, axis=1)
            near = np.flatnonzero((far <= distance) | (neutral[i].shape[1] > 0) & (np.array(off) <= _STRAIGHT * far))
        members[i] = near[0] if len(near) else len(kept)
        if not len(near):
            kept.append(i)
    order = np.lexsort((-np.bincount(members), status[kept]))
    return np.array(kept)[order], np.argsort(order)[members]


def _spectral_radii(optimizer, states, gradients, converged):
    radii = np.full(len(states), np.nan)
    if converged.any():
        _, jacobians = _in_chunks(_residuals, optimizer, states[converged], gradients[converged])
        finite = np.isfinite(jacobians).all((1, 2))
        eigenvalues = np.linalg.eigvals(jacobians[finite]) + 1  # those of dF/dh
        radii[np.flatnonzero(converged)[finite]] = np.abs(eigenvalues).max(1, initial=0.0)
    return radii
