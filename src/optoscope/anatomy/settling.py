"""Where an optimizer goes without a gradient: to one point, to several, or to a line of slow points."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from optoscope._core.checks import check_count
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics import (
    SETTLING_STEPS,
    effective_learning_rate,
    find_fixed_points,
    flatten_states,
    principal_components,
    settle,
)
from optoscope.optimizers import AbstractOptimizer, GRUOptimizer
from optoscope.running.visits import Visits


@dataclasses.dataclass(frozen=True)
class Rest(Result):
    """Runs without a gradient, from states that runs visited and from random states of the reachable box.

    Attributes:
        starts: where each begins: visited states first.
        from_box: which start in the reachable box.
        held: where each is after `num_held` steps, the length of a run: what is still apart there is remembered.
        held_speeds: `|F(h, 0) - h|` there.
        held_learning_rates: effective learning rate there.
        num_held: that number of steps.
        ends: where each is after many more.
        attractors: the distinct fixed points near those ends, most visited first.
        attractor: for each start, the attractor where it ended; -1 where it is not yet at any.
        provenance: who made it.
    """

    starts: Float[np.ndarray, "point state"]
    from_box: Bool[np.ndarray, " point"]
    held: Float[np.ndarray, "point state"]
    held_speeds: Float[np.ndarray, " point"]
    held_learning_rates: Float[np.ndarray, " point"]
    num_held: int
    ends: Float[np.ndarray, "point state"]
    attractors: Float[np.ndarray, "attractor state"]
    attractor: Int[np.ndarray, " point"]
    provenance: dict[str, Any]

    @property
    def share_at_first(self) -> float:
        """Share of all starts that end at the most visited attractor."""
        return float((self.attractor == 0).mean())

    @property
    def spread_held(self) -> float:
        """Variance of the held states of visited starts, over the variance of those starts."""
        return _variance(self.held[~self.from_box]) / max(_variance(self.starts[~self.from_box]), _TINY)

    @property
    def line_share(self) -> float:
        """Share of the variance of held states that lies along one line."""
        return float(principal_components(self.held[~self.from_box]).explained_variance_ratio[0])


_TINY = np.finfo(float).tiny


def _variance(states: np.ndarray) -> float:
    return float(states.var(0).sum())


def reachable_box(optimizer: AbstractOptimizer, visits: Visits) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest corner of the states that an optimizer can reach.

    The state of a GRU is a convex combination of its initial state and of values in (-1, 1). Of other optimizers the
    box of the states that they visited, twice as wide.
    """
    if isinstance(optimizer, GRUOptimizer):
        start = np.asarray(optimizer.initial_state(), np.float64)
        return np.minimum(start, -1.0), np.maximum(start, 1.0)
    flat = flatten_states(visits.states).astype(np.float64)
    low, high = flat.min(0), flat.max(0)
    return low - (high - low) / 2, high + (high - low) / 2


@takes_rule
def let_rest(
    optimizer: AbstractOptimizer,
    visits: Visits,
    *,
    key: PRNGKeyArray,
    num_starts: int = 512,
    num_steps: int = SETTLING_STEPS,
) -> Rest:
    """Run an optimizer without a gradient from many states.

    Args:
        optimizer: a component-wise rule.
        visits: what it met; half of the starts are among its states.
        key: draws the starts.
        num_starts: how many.
        num_steps: length of the runs; states held are taken after as many steps as `visits` has.
    """
    check_count("num_starts", num_starts, minimum=2)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    flat = flatten_states(visits.states)
    num_box = num_starts // 2
    visited = flat[rng.choice(len(flat), num_starts - num_box, replace=len(flat) < num_starts)]
    low, high = reachable_box(optimizer, visits)
    starts = np.concatenate([visited.astype(np.float64), rng.uniform(low, high, (num_box, len(low)))])
    num_held = min(visits.states.shape[1], num_steps)
    held = settle(optimizer, starts, num_steps=num_held)
    ends = settle(optimizer, held, num_steps=num_steps - num_held)
    attractors, attractor = _attractors(optimizer, ends)
    return Rest(
        starts=starts,
        from_box=np.arange(num_starts) >= num_starts - num_box,
        held=held,
        held_speeds=np.linalg.norm(settle(optimizer, held, num_steps=1) - held, axis=1),
        held_learning_rates=np.asarray(effective_learning_rate(optimizer, held)),
        num_held=num_held,
        ends=ends,
        attractors=attractors,
        attractor=attractor,
        provenance=provenance(num_starts=num_starts, num_steps=num_steps),
    )


@dataclasses.dataclass(frozen=True)
class InputAttractors(Result):
    """Fixed points under constant gradients, and how far a run gets towards them (section 5.4).

    Where a gradient closes the gates, a state hardly moves: there are attractors that no run reaches.

    Attributes:
        gradients: the constant gradients.
        num_attractors: distinct attracting fixed points, searched for from random states of the reachable box.
        num_repelling: distinct fixed points that repel something of their neighborhood.
        unsolved: share of the starts from which the search found no fixed point.
        remaining: after a run of `num_steps` from the fixed point at g = 0, the distance that is left to the nearest
            attractor, over what it was; 1 where there is no attractor.
        num_steps: that length.
        provenance: who made it.
    """

    gradients: Float[np.ndarray, " grid"]
    num_attractors: Int[np.ndarray, " grid"]
    num_repelling: Int[np.ndarray, " grid"]
    unsolved: Float[np.ndarray, " grid"]
    remaining: Float[np.ndarray, " grid"]
    num_steps: int
    provenance: dict[str, Any]


@takes_rule
def find_input_attractors(
    optimizer: AbstractOptimizer, rest: Rest, center: np.ndarray, gradients: np.ndarray, *, num_starts: int = 64
) -> InputAttractors:
    """Search for fixed points under constant gradients from the random starts of `rest`.

    Args:
        optimizer: a component-wise rule.
        rest: its runs without a gradient.
        center: its fixed point at g = 0.
        gradients: the constant gradients [grid].
        num_starts: how many starts per gradient.
    """
    gradients = np.asarray(gradients, np.float64)
    found = find_fixed_points(optimizer, gradient=gradients, seeds=rest.starts[rest.from_box][:num_starts])
    reached = settle(optimizer, center, gradients=gradients, num_steps=rest.num_held)
    attractors, repelling, unsolved, remaining = [], [], [], []
    for gradient, state in zip(gradients, reached):
        here = found.gradients == gradient
        points = found.states[here & found.attracting]
        attractors.append(len(points))
        repelling.append(int((here & found.repelling).sum()))
        unsolved.append(float(found.basin_shares[here & ~found.converged].sum()))
        before, after = (np.linalg.norm(points - at, axis=1) for at in (center, state))
        remaining.append(float(after.min() / max(before[after.argmin()], _TINY)) if len(points) else 1.0)
    return InputAttractors(
        gradients=gradients,
        num_attractors=np.array(attractors),
        num_repelling=np.array(repelling),
        unsolved=np.array(unsolved),
        remaining=np.array(remaining),
        num_steps=rest.num_held,
        provenance=provenance(num_starts=num_starts),
    )


def _attractors(optimizer, ends):
    """Distinct fixed points at which ends lie, and the one of each end."""
    found = find_fixed_points(optimizer, gradient=0.0, seeds=ends)
    size = max(1.0, float(np.abs(ends).max()))
    point = found.seed_points[0]
    near = np.linalg.norm(found.states[point] - ends, axis=1) < 1e-3 * size
    arrived = near & found.converged[point]
    rows, counts = np.unique(point[arrived], return_counts=True)
    rows = rows[np.argsort(-counts, kind="stable")]
    place = np.full(len(found.states), -1)
    place[rows] = np.arange(len(rows))
    return found.states[rows], np.where(arrived, place[point], -1)
