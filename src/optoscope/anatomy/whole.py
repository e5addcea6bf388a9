"""Take one optimizer apart on one task: every result that the figures draw, from one call."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from optoscope._as_optimizer import AnyOptimizer, as_rule
from optoscope._checks import check_count
from optoscope._results import Result
from optoscope._status import Status
from optoscope._types import PRNGKeyArray
from optoscope.anatomy.groups import GroupPaths, group_paths
from optoscope.anatomy.linear import LinearUpdates, linear_updates
from optoscope.anatomy.rest import InputAttractors, Rest, find_input_attractors, let_rest
from optoscope.anatomy.shifts import ModeShift, mode_shift
from optoscope.anatomy.thresholds import Thresholds, find_thresholds
from optoscope.anatomy.visits import Visits, gradient_range, visit
from optoscope.dynamics import (
    AutonomousTrajectory,
    Branch,
    FixedPoints,
    Linearization,
    Modes,
    PrincipalComponents,
    UpdateFunction,
    autonomous_trajectory,
    continue_fixed_points,
    find_fixed_points,
    linearize,
    modes,
    principal_components,
    update_function,
)
from optoscope.optimizers import AbstractOptimizer
from optoscope.tasks import AbstractTask, name_of

#: Modes along which update functions are computed.
NUM_SHIFTS = 4
#: Constant gradients at which fixed points are searched for from everywhere, in units of the largest one met.
INPUTS = np.array([-1.0, -0.1, -0.01, 0.01, 0.1, 1.0])


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """One optimizer on one task, taken apart.

    Attributes:
        task: the task's name.
        visits: runs on test problems.
        components: principal components of the states visited.
        resting: fixed points at g = 0, from visited states and from random ones of the reachable box.
        linearization: at the attracting fixed point with the largest basin.
        modes: its eigenmodes.
        untrained_modes: those of the same network before meta-training, None for other optimizers.
        shifts: update functions along the first modes, the leading one first (one of each conjugate pair).
        initial_update: update function at the initial state, over the gradients met.
        autonomous: run without a gradient.
        branch: fixed points followed over the gradients met (the S-curve).
        branch_updates: update functions along its positive arm, from the center to the tail.
        rest: runs without a gradient from everywhere.
        rest_updates: update functions at some states held without a gradient, from the lowest to the highest learning
            rate.
        inputs: where runs under constant gradients end, from everywhere.
        thresholds: from which gradient on updates saturate, at visited states.
        linear: updates of the linearized optimizer on the gradients met.
        groups: mean states of each group of parameters; None where there is one group.
    """

    task: str
    visits: Visits
    components: PrincipalComponents
    resting: FixedPoints
    linearization: Linearization
    modes: Modes
    untrained_modes: Modes | None
    shifts: tuple[ModeShift, ...]
    initial_update: UpdateFunction
    autonomous: AutonomousTrajectory
    branch: Branch
    branch_updates: UpdateFunction
    rest: Rest
    rest_updates: UpdateFunction
    inputs: InputAttractors
    thresholds: Thresholds
    linear: LinearUpdates
    groups: GroupPaths | None

    @property
    def shift(self) -> ModeShift:
        """Update functions along the leading mode."""
        return self.shifts[0]

    def save(self, directory: str | Path) -> Path:
        """Write each part as a file of its own into a directory."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Result):
                value.save(directory / f"{field.name}.npz")
            elif isinstance(value, tuple):
                for i, one in enumerate(value):
                    one.save(directory / f"{field.name}_{i + 1}.npz")
        return directory


def dissect(
    optimizer: AnyOptimizer,
    task: AbstractTask,
    *,
    key: PRNGKeyArray,
    untrained: AbstractOptimizer | None = None,
    num_problems: int = 64,
    num_steps: int = 200,
    num_seeds: int = 505,
    visits: Visits | None = None,
) -> Anatomy:
    """Take an optimizer apart on a task (Maheswaranathan et al., 2021, sections 4 and 5).

    Args:
        optimizer: anything that `optoscope.as_optimizer` takes and that is component-wise, with a fixed point at
            g = 0 and a linearization there.
        task: gives the test problems on which it runs.
        key: draws problems and seeds.
        untrained: the same network before meta-training, whose spectrum is the control.
        num_problems, num_steps: size of the runs.
        num_seeds: starts of the search for fixed points.
        visits: runs on test problems that were made before; made here if None.

    Returns:
        All results; every candidate carries its own status.

    Raises:
        ValueError: if there is neither a fixed point nor a slow point at g = 0, or no linearization there.
    """
    optimizer = as_rule(optimizer)
    check_count("num_problems", num_problems, minimum=2)
    check_count("num_seeds", num_seeds, minimum=2)
    if visits is None:
        visits = visit(optimizer, task, key=key, num_problems=num_problems, num_steps=num_steps)
    resting = find_fixed_points(optimizer, gradient=0.0, seeds=_seeds(visits.states, key, num_seeds))
    center = _center(optimizer, resting)
    linearization = linearize(optimizer, center)
    found = modes(linearization)
    rest = let_rest(optimizer, visits, key=key)
    gradients = gradient_range(visits.gradients)
    branch = continue_fixed_points(optimizer, gradients=(-gradients, gradients), start=center)
    arm = _along_positive_arm(branch)
    return Anatomy(
        task=name_of(task),
        visits=visits,
        components=principal_components(visits.states),
        resting=resting,
        linearization=linearization,
        modes=found,
        untrained_modes=None if untrained is None else _untrained_modes(untrained),
        shifts=tuple(
            mode_shift(optimizer, center, found, visits.states, mode=mode)
            for mode in np.flatnonzero(np.imag(found.decays) >= 0)[:NUM_SHIFTS].tolist()
        ),
        initial_update=update_function(
            optimizer, np.asarray(optimizer.initial_state()), np.linspace(-gradients, gradients, 401)
        ),
        autonomous=autonomous_trajectory(optimizer, num_steps=visits.states.shape[1]),
        branch=branch,
        branch_updates=update_function(optimizer, branch.states[arm], _symmetric_grid(gradients)),
        rest=rest,
        rest_updates=update_function(optimizer, _along_rates(rest), np.linspace(-gradients, gradients, 201)),
        inputs=find_input_attractors(optimizer, rest, center, gradients * INPUTS),
        thresholds=find_thresholds(optimizer, visits, key=key),
        linear=linear_updates(linearization, found, visits),
        groups=group_paths(optimizer, visits) if len(visits.groups) > 1 else None,
    )


def _center(optimizer: AbstractOptimizer, resting: FixedPoints) -> np.ndarray:
    """The attracting fixed point with the largest basin; else one that does not attract, else the slowest point."""
    if resting.attracting.any():
        return resting.states[np.flatnonzero(resting.attracting)[0]]
    if resting.converged.any():
        return resting.states[np.flatnonzero(resting.converged)[0]]
    slow = np.flatnonzero(resting.status == Status.SLOW)
    if not len(slow):
        raise ValueError(
            f"{type(optimizer).__name__} has neither a fixed point nor a slow point at g = 0 among "
            f"{resting.seed_points.size} starts; if its state counts iterations, freeze its clock."
        )
    return resting.states[slow[np.argmin(resting.residuals[slow])]]


def _seeds(states: np.ndarray, key: PRNGKeyArray, num_seeds: int) -> np.ndarray:
    """Half visited states, half random states of the box that visited states span, twice as wide."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    flat = states.reshape(-1, states.shape[-1])
    visited = flat[rng.choice(len(flat), size=num_seeds - num_seeds // 2, replace=len(flat) < num_seeds)]
    low, high = flat.min(0), flat.max(0)
    margin = (high - low) / 2
    box = rng.uniform(low - margin, high + margin, size=(num_seeds // 2, flat.shape[1]))
    return np.concatenate([visited, box])


def _untrained_modes(untrained: AbstractOptimizer) -> Modes | None:
    end = autonomous_trajectory(untrained, num_steps=1000).states[-1]
    found = find_fixed_points(untrained, gradient=0.0, seeds=end)
    return modes(linearize(untrained, found.states[0])) if found.converged[0] else None


def _along_rates(rest: Rest) -> np.ndarray:
    """Seven of the visited states held without a gradient, evenly from the lowest to the highest learning rate."""
    states, rates = rest.held[~rest.from_box], rest.held_learning_rates[~rest.from_box]
    targets = np.linspace(rates.min(), rates.max(), 7)
    return states[np.abs(rates[:, None] - targets).argmin(0)]


def _along_positive_arm(branch: Branch) -> np.ndarray:
    """Five points from the center to the positive tail, evenly in the logarithm of the learning rate's change."""
    center = int(np.argmin(np.abs(branch.gradients)))
    arm = np.arange(center, len(branch.gradients))
    length = np.append(0, np.cumsum(np.linalg.norm(np.diff(branch.states[arm], axis=0), axis=1)))
    return arm[np.searchsorted(length, np.linspace(0, length[-1], 5)).clip(max=len(arm) - 1)]


def _symmetric_grid(largest: float) -> np.ndarray:
    positive = np.geomspace(largest * 1e-4, largest, 120)
    return np.concatenate([-positive[::-1], [0.0], positive])
