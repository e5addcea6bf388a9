"""Take one optimizer apart on one task: every result that the figures draw, from one call."""

import dataclasses
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from optoscope._checks import check_count
from optoscope._provenance import provenance
from optoscope._results import Result
from optoscope._types import Params, PRNGKeyArray
from optoscope.artifacts import TrainedOptimizer
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
    effective_learning_rate,
    find_fixed_points,
    linearize,
    modes,
    principal_components,
    total_variance,
    update_function,
)
from optoscope.optimizers import AbstractOptimizer
from optoscope.rollouts import Save, rollout_batch
from optoscope.tasks import AbstractTask, name_of
from optoscope.training.objective import Purpose, sample_problems


@dataclasses.dataclass(frozen=True)
class Visits(Result):
    """What an optimizer met and did on test problems; a trajectory is one component of one problem.

    Attributes:
        states: `h_k`, before gradient k is seen.
        gradients: `g_k`.
        updates: `dx_k`.
        total_variance: variance of the states across trajectories at each iteration.
        num_components: trajectories per problem; they are consecutive.
        groups: names of the groups of parameters, such as `layer 1 weights`.
        group: index of each trajectory's group.
        provenance: who made it.
    """

    states: Float[np.ndarray, "trajectory step state"]
    gradients: Float[np.ndarray, "trajectory step"]
    updates: Float[np.ndarray, "trajectory step"]
    total_variance: Float[np.ndarray, " step"]
    num_components: int
    groups: list[str]
    group: Int[np.ndarray, " trajectory"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ModeShift(Result):
    """Update functions at states displaced along one mode: does the update shift, as momentum's does?

    Attributes:
        mode: index of the mode.
        displacements: signed distances from the fixed point along the unit direction of the mode.
        states: the displaced states.
        gradients: the gradients that were tried.
        updates: `dx` at each state and gradient.
        offsets: `dx` at g = 0.
        learning_rates: minus the slope at g = 0.
        provenance: who made it.
    """

    mode: int
    displacements: Float[np.ndarray, " point"]
    states: Float[np.ndarray, "point state"]
    gradients: Float[np.ndarray, " grid"]
    updates: Float[np.ndarray, "point grid"]
    offsets: Float[np.ndarray, " point"]
    learning_rates: Float[np.ndarray, " point"]
    provenance: dict[str, Any]


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
        shift: update functions along the leading mode.
        initial_update: update function at the initial state, over the gradients met.
        autonomous: run without a gradient.
        branch: fixed points followed over the gradients met (the S-curve).
        branch_updates: update functions along its positive arm, from the center to the tail.
    """

    task: str
    visits: Visits
    components: PrincipalComponents
    resting: FixedPoints
    linearization: Linearization
    modes: Modes
    untrained_modes: Modes | None
    shift: ModeShift
    initial_update: UpdateFunction
    autonomous: AutonomousTrajectory
    branch: Branch
    branch_updates: UpdateFunction

    def save(self, directory: str | Path) -> Path:
        """Write each part as a file of its own into a directory."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Result):
                value.save(directory / f"{field.name}.npz")
        return directory


def dissect(
    optimizer: AbstractOptimizer,
    task: AbstractTask,
    *,
    key: PRNGKeyArray,
    untrained: AbstractOptimizer | None = None,
    num_problems: int = 64,
    num_steps: int = 200,
    num_seeds: int = 505,
) -> Anatomy:
    """Take an optimizer apart on a task (Maheswaranathan et al., 2021, sections 4 and 5).

    Args:
        optimizer: any component-wise optimizer that has a fixed point at g = 0 with a linearization.
        task: gives the test problems on which it runs.
        key: draws problems and seeds.
        untrained: the same network before meta-training, whose spectrum is the control.
        num_problems, num_steps: size of the runs.
        num_seeds: starts of the search for fixed points.

    Returns:
        All results; every candidate carries its own status.

    Raises:
        ValueError: if there is no attracting fixed point at g = 0, or no linearization there.
    """
    check_count("num_problems", num_problems, minimum=2)
    check_count("num_seeds", num_seeds, minimum=2)
    visits = visit(optimizer, task, key=key, num_problems=num_problems, num_steps=num_steps)
    resting = find_fixed_points(optimizer, gradient=0.0, seeds=_seeds(visits.states, key, num_seeds))
    if not resting.attracting.any():
        raise ValueError(
            f"{type(optimizer).__name__} has no attracting fixed point at g = 0 among {num_seeds} starts; "
            "an optimizer whose state counts iterations has none (freeze its clock)."
        )
    center = resting.states[np.flatnonzero(resting.attracting)[0]]
    linearization = linearize(optimizer, center)
    found = modes(linearization)
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
        shift=mode_shift(optimizer, center, found, visits.states),
        initial_update=update_function(
            optimizer, np.asarray(optimizer.initial_state()), np.linspace(-gradients, gradients, 401)
        ),
        autonomous=autonomous_trajectory(optimizer, num_steps=num_steps),
        branch=branch,
        branch_updates=update_function(optimizer, branch.states[arm], _symmetric_grid(gradients)),
    )


def visit(
    optimizer: AbstractOptimizer,
    task: AbstractTask,
    *,
    key: PRNGKeyArray,
    num_problems: int = 64,
    num_steps: int = 200,
    max_components: int = 256,
) -> Visits:
    """Run an optimizer on test problems and keep what components met; runs that diverged are left out.

    Args:
        optimizer: a component-wise rule.
        task: gives the test problems.
        key: draws the problems, and the components where not all are kept.
        num_problems, num_steps: size of the runs.
        max_components: of larger problems as many components are kept, as evenly from all groups of parameters as
            these allow, the same ones in every problem: memory is bounded whatever the network.

    Raises:
        ValueError: if every run diverged.
    """
    check_count("max_components", max_components)
    problems, keys = sample_problems(task, Purpose.TEST.key(key), num_problems)
    chosen, group, groups = choose_components(problems.initial_params, max_components, key)
    save = Save(states=True, gradients=True, updates=True, components=jnp.asarray(chosen))
    run = _run(task, problems, keys, optimizer, save, num_steps)
    # problem, component, step, ...
    states, gradients, updates = (np.moveaxis(np.asarray(a), 2, 1) for a in (run.states, run.gradients, run.updates))
    whole = np.isfinite(states).all((1, 2, 3)) & np.isfinite(gradients).all((1, 2))
    if not whole.any():
        raise ValueError(f"every run on {name_of(task)} diverged; there is nothing to take apart.")
    states = states[whole].reshape(-1, num_steps, states.shape[-1])
    return Visits(
        states=states,
        gradients=gradients[whole].reshape(-1, num_steps),
        updates=updates[whole].reshape(-1, num_steps),
        total_variance=total_variance(states),
        num_components=len(chosen),
        groups=groups,
        group=np.tile(group, int(whole.sum())),
        provenance=provenance(
            task=name_of(task),
            num_problems=num_problems,
            num_steps=num_steps,
            num_diverged=int((~whole).sum()),
        ),
    )


@eqx.filter_jit
def _run(task, problems, keys, optimizer, save, num_steps):
    return rollout_batch(task, problems, optimizer, num_steps=num_steps, keys=keys, save=save)


def choose_components(
    params: Params, max_components: int, key: PRNGKeyArray
) -> tuple[Int[np.ndarray, " picked"], Int[np.ndarray, " picked"], list[str]]:
    """Choose components of a batch of parameters, as evenly from all groups as these allow; all if there are few.

    Args:
        params: parameters with a leading problem axis; each leaf is a group.
        max_components: how many.
        key: draws them.

    Returns:
        Indices in the order of `jax.flatten_util.ravel_pytree`, the group of each, and the groups' names.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    paths, leaves = zip(*jax.tree.leaves_with_path(params))
    sizes = np.array([leaf[0].size for leaf in leaves])
    shares, left = np.zeros(len(sizes), int), max_components
    for rank, i in enumerate(np.argsort(sizes, kind="stable")):  # what small groups leave over goes to larger ones
        shares[i] = min(sizes[i], left // (len(sizes) - rank))
        left -= shares[i]
    starts = np.cumsum(sizes) - sizes
    chosen = [
        np.sort(start + rng.choice(size, share, replace=False)) for start, size, share in zip(starts, sizes, shares)
    ]
    return np.concatenate(chosen), np.repeat(np.arange(len(sizes)), shares), [_group_name(path) for path in paths]


def _group_name(path) -> str:
    words = [f"layer {part.idx + 1}" if hasattr(part, "idx") else str(getattr(part, "key", part)) for part in path]
    return " ".join(words) or "parameters"


def gradient_range(gradients: np.ndarray) -> float:
    """Return the magnitude that 99.9% of the gradients met do not exceed, rounded up to two digits."""
    largest = float(np.quantile(np.abs(gradients), 0.999))
    unit = 10 ** (np.floor(np.log10(largest)) - 1)
    return float(np.ceil(largest / unit) * unit)


def mode_shift(
    optimizer: AbstractOptimizer, center: np.ndarray, found: Modes, states: np.ndarray, *, mode: int = 0
) -> ModeShift:
    """Displace a fixed point along a mode by as much as runs do, and compute the update functions there.

    The direction is the real part of the right eigenvector, oriented so that a positive gradient pushes along it; the
    displacements span what the states visited reach along the left eigenvector (the inner 98%).
    """
    right, left = found.right[:, mode], found.left[mode]
    phase = right[np.argmax(np.abs(right))]
    direction = (right / phase * abs(phase)).real
    length = np.linalg.norm(direction)
    along = ((states.reshape(-1, states.shape[-1]) - center) @ (left * phase / abs(phase))).real * length
    reach = float(np.quantile(np.abs(along), 0.99))
    displacements = np.linspace(-reach, reach, 9)
    points = center + displacements[:, None] * (direction / length)
    rate = max(abs(found.learning_rates[mode]), np.finfo(float).tiny)
    # A range of gradients over which the direct response is of the size of the shift.
    offsets = update_function(optimizer, points, [0.0]).updates[:, 0]
    scale = max(float(np.abs(offsets).max()), np.finfo(float).tiny) / rate
    functions = update_function(optimizer, points, np.linspace(-scale, scale, 101))
    return ModeShift(
        mode=mode,
        displacements=displacements,
        states=points,
        gradients=functions.gradients,
        updates=functions.updates,
        offsets=offsets,
        learning_rates=effective_learning_rate(optimizer, points),
        provenance=provenance(mode=mode),
    )


@dataclasses.dataclass(frozen=True)
class MetaTrainingModes(Result):
    """Modes at the convergence point through meta-training (App. B.2, Fig. 15).

    Attributes:
        steps: meta-steps of the snapshots.
        decays: eigenvalues, ordered by learning rate within each snapshot; NaN where there is no fixed point.
        learning_rates: their learning rates.
        fixed_residuals: residual of each snapshot's fixed point.
        provenance: who made it.
    """

    steps: Int[np.ndarray, " snapshot"]
    decays: np.ndarray
    learning_rates: np.ndarray
    fixed_residuals: Float[np.ndarray, " snapshot"]
    provenance: dict[str, Any]


def modes_through_meta_training(trained: TrainedOptimizer) -> MetaTrainingModes:
    """Linearize every kept snapshot at the fixed point where its autonomous run ends."""
    num_states = trained.optimizer.num_units
    decays = np.full((len(trained.snapshot_steps), num_states), np.nan, complex)
    rates, residuals = decays.copy(), np.full(len(decays), np.nan)
    for i in range(len(decays)):
        snapshot = trained.snapshot(i)
        end = autonomous_trajectory(snapshot, num_steps=1000).states[-1]
        found = find_fixed_points(snapshot, gradient=0.0, seeds=end)
        residuals[i] = found.residuals[0]
        if found.converged[0]:
            at_point = modes(linearize(snapshot, found.states[0]))
            decays[i], rates[i] = at_point.decays, at_point.learning_rates
    return MetaTrainingModes(
        steps=np.asarray(trained.snapshot_steps),
        decays=decays,
        learning_rates=rates,
        fixed_residuals=residuals,
        provenance=provenance(task=trained.task, preset=trained.preset, seed=trained.seed),
    )


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


def _along_positive_arm(branch: Branch) -> np.ndarray:
    """Five points from the center to the positive tail, evenly in the logarithm of the learning rate's change."""
    center = int(np.argmin(np.abs(branch.gradients)))
    arm = np.arange(center, len(branch.gradients))
    length = np.append(0, np.cumsum(np.linalg.norm(np.diff(branch.states[arm], axis=0), axis=1)))
    return arm[np.searchsorted(length, np.linspace(0, length[-1], 5)).clip(max=len(arm) - 1)]


def _symmetric_grid(largest: float) -> np.ndarray:
    positive = np.geomspace(largest * 1e-4, largest, 120)
    return np.concatenate([-positive[::-1], [0.0], positive])
