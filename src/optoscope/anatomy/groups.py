"""Layers, weights and biases: what an optimizer does with each group of parameters (section 5.5)."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics import effective_learning_rate, flatten_states
from optoscope.optimizers import AbstractOptimizer
from optoscope.running.visits import Visits


@dataclasses.dataclass(frozen=True)
class GroupPaths(Result):
    """Mean states of each group of parameters over a run, and their learning rates (Fig. 7).

    Attributes:
        groups: names, such as `layer 1 weights`.
        states: mean state of each group's components over all problems.
        learning_rates: slope of the update function at those states.
        problem_learning_rates: the same for the mean states of each problem, averaged over iterations.
        first_magnitudes: geometric mean of |g| over each group's components at the first iteration, per problem.
        provenance: who made it.
    """

    groups: list[str]
    states: Float[np.ndarray, "group step state"]
    learning_rates: Float[np.ndarray, "group step"]
    problem_learning_rates: Float[np.ndarray, "problem group"]
    first_magnitudes: Float[np.ndarray, "problem group"]
    provenance: dict[str, Any]

    def layers(self, kind: str) -> list[int]:
        """Return the indices of the groups of one kind (`weights` or `biases`), in the order of the layers."""
        return [i for i, name in enumerate(self.groups) if name.split()[-1] == kind]


@takes_rule
def group_paths(optimizer: AbstractOptimizer, visits: Visits) -> GroupPaths:
    """Average states within groups of parameters, and measure the learning rate along each path.

    Args:
        optimizer: a component-wise rule.
        visits: what it met on a task whose parameters fall into groups.
    """
    num_steps = visits.states.shape[1]
    group = visits.group[: visits.num_components]
    members = [group == i for i in range(len(visits.groups))]
    states = visits.by_problem(visits.states)
    paths = np.stack([states[:, chosen].mean(1, dtype=np.float64) for chosen in members], axis=1)  # problem, group, ...
    rates = effective_learning_rate(optimizer, flatten_states(paths))
    mean = paths.mean(0)
    first = np.abs(visits.by_problem(visits.gradients[:, 0]).astype(np.float64))
    smallest = np.finfo(np.float32).tiny
    return GroupPaths(
        groups=list(visits.groups),
        states=mean,
        learning_rates=np.reshape(effective_learning_rate(optimizer, flatten_states(mean)), (-1, num_steps)),
        problem_learning_rates=np.reshape(rates, paths.shape[:3]).mean(2),
        first_magnitudes=np.stack(
            [np.exp(np.log(np.maximum(first[:, chosen], smallest)).mean(1)) for chosen in members], axis=1
        ),
        provenance=provenance(num_problems=visits.num_problems),
    )
