"""What an optimizer meets and does on test problems."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from optoscope._core.checks import check_count
from optoscope._core.compiled import compiled
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.status import DivergedError
from optoscope._core.tables import Table
from optoscope._core.types import Params, PRNGKeyArray
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_rule
from optoscope.running.problems import Purpose, sample_problems
from optoscope.running.rollouts import Save, rollout_batch
from optoscope.running.share_out import devices_for, share_out
from optoscope.tasks import AbstractTask, name_of


@dataclasses.dataclass(frozen=True)
class Visits(Result):
    """What an optimizer met and did on test problems; a trajectory is one component of one problem.

    Attributes:
        states: `h_k`, before gradient k is seen.
        gradients: `g_k`.
        updates: `dx_k`.
        total_variance: variance of the states across trajectories at each iteration.
        losses: `f_0 .. f_T` of every problem, also of those that diverged.
        num_components: trajectories per problem; they are consecutive.
        groups: names of the groups of parameters, such as `layer 1 weights`.
        group: index of each trajectory's group.
        provenance: who made it.
    """

    states: Float[np.ndarray, "trajectory step state"]
    gradients: Float[np.ndarray, "trajectory step"]
    updates: Float[np.ndarray, "trajectory step"]
    total_variance: Float[np.ndarray, " step"]
    losses: Float[np.ndarray, "problem loss"]
    num_components: int
    groups: list[str]
    group: Int[np.ndarray, " trajectory"]
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return how many trajectories each group of parameters has, and the gradients it met."""
        own = [np.abs(self.gradients[self.group == i]) for i in range(len(self.groups))]
        rows = [[name, len(sizes), np.median(sizes)] for name, sizes in zip(self.groups, own)]
        return [Table("trajectories", ["group", "trajectories", "median_gradient"], rows, title="Trajectories kept")]

    @property
    def num_problems(self) -> int:
        """Number of problems whose runs did not diverge."""
        return len(self.states) // self.num_components

    @property
    def widest(self) -> int:
        """The iteration at which the variance of the states across trajectories is largest."""
        return int(np.argmax(self.total_variance))

    @property
    def variance_left(self) -> float:
        """Variance of the states across trajectories at the end, over the largest on the way."""
        return variance_ratio(self.states[:, [self.widest, -1]])

    def by_problem(self, values: np.ndarray) -> np.ndarray:
        """Return an array [trajectory, ...] as [problem, component, ...]."""
        return values.reshape(self.num_problems, self.num_components, *values.shape[1:])


def variance_ratio(states: Float[np.ndarray, "*trajectories two state"]) -> float:
    """Return the variance of states across trajectories at the last of two iterations, over that at the first."""
    from optoscope.dynamics import total_variance

    before, after = total_variance(states)
    return float(after / max(before, np.finfo(float).tiny))


def visit(
    optimizer: AnyOptimizer,
    task: AbstractTask,
    *,
    key: PRNGKeyArray,
    num_problems: int = 64,
    num_steps: int = 200,
    max_components: int = 256,
) -> Visits:
    """Run an optimizer on test problems and keep what components met; runs that diverged are left out.

    Args:
        optimizer: anything that `optoscope.as_optimizer` takes and that is component-wise.
        task: gives the test problems.
        key: draws the problems, and the components where not all are kept.
        num_problems, num_steps: size of the runs.
        max_components: of larger problems as many components are kept, as evenly from all groups of parameters as
            these allow, the same ones in every problem: memory is bounded whatever the network.

    Raises:
        DivergedError: a `ValueError`, if every run diverged.
    """
    from optoscope.dynamics import total_variance

    optimizer = as_rule(optimizer)
    check_count("max_components", max_components)
    problems, keys = sample_problems(task, Purpose.TEST.key(key), num_problems)
    chosen, group, groups = choose_components(problems.initial_params, max_components, key)
    save = Save(states=True, gradients=True, updates=True, components=jnp.asarray(chosen))
    losses, *kept = _run(task, problems, keys, optimizer, save, num_steps, devices_for(num_problems))
    states, gradients, updates = (np.moveaxis(np.asarray(a), 2, 1) for a in kept)  # problem, component, step, ...
    whole = np.isfinite(states).all((1, 2, 3)) & np.isfinite(gradients).all((1, 2))
    if not whole.any():
        raise DivergedError(f"every run on {name_of(task)} diverged; there is nothing to take apart.")
    num_trajectories = int(whole.sum()) * len(chosen)
    states = states[whole].reshape(num_trajectories, num_steps, states.shape[-1])
    return Visits(
        states=states,
        gradients=gradients[whole].reshape(num_trajectories, num_steps),
        updates=updates[whole].reshape(num_trajectories, num_steps),
        total_variance=total_variance(states),
        losses=np.asarray(losses),
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


@compiled(eqx.filter_jit)
def _run(task, problems, keys, optimizer, save, num_steps, devices):
    """Run on all problems, which are shared out over devices."""

    def run(shared, problems, keys):
        task, optimizer, save = shared
        made = rollout_batch(task, problems, optimizer, num_steps=num_steps, keys=keys, save=save)
        return made.losses, made.states, made.gradients, made.updates

    return share_out(run, (task, optimizer, save), problems, keys, devices=devices)


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
    """Return the magnitude that 99.9% of the gradients met do not exceed, rounded up to two digits.

    It is the largest of all where fewer are not 0.
    """
    sizes = np.abs(gradients)
    largest = float(np.quantile(sizes, 0.999)) or float(sizes.max())
    unit = 10 ** (np.floor(np.log10(largest)) - 1)
    return float(np.ceil(largest / unit) * unit)
