"""Weights judged on problems that are never trained on, and runs in which nothing was learned."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from optoscope._core.types import Array, Float, Keys, PRNGKeyArray
from optoscope.artifacts import TrainedOptimizer
from optoscope.optimizers import GRUOptimizer
from optoscope.running.problems import Purpose, sample_problems
from optoscope.tasks import AbstractTask, Problem
from optoscope.training.config import MetaTrainConfig
from optoscope.training.meta_step import problem_objectives


class Validation(NamedTuple):
    """What weights score on the validation problems.

    Attributes:
        objective: mean meta-objective over the problems on which it is finite; NaN if there is none.
        finite_share: share of those problems.
    """

    objective: float
    finite_share: float

    def beats(self, other: "Validation") -> bool:
        """Return whether fewer problems fail, or as many and the others do better."""
        if self.finite_share != other.finite_share:
            return self.finite_share > other.finite_share
        return self.objective < other.objective


#: Worse than anything.
NOTHING = Validation(float("inf"), 0.0)


def make_validation(
    task: AbstractTask, config: MetaTrainConfig, key: PRNGKeyArray
) -> Callable[[GRUOptimizer], Validation]:
    """Return the function from weights to their score on a run's validation problems.

    Args:
        task: where problems come from.
        config: settings.
        key: the run's key.
    """
    problems, keys = sample_problems(task, Purpose.VALIDATE.key(key), config.num_validation_problems)

    def validate(optimizer: GRUOptimizer) -> Validation:
        mean, mean_of_finite, share = map(float, _validate(optimizer, task, config, problems, keys))
        return Validation(mean if share == 1 else mean_of_finite, share)

    return validate


@eqx.filter_jit
def _validate(
    optimizer: GRUOptimizer, task: AbstractTask, config: MetaTrainConfig, problems: Problem, keys: Keys
) -> Float[Array, " part"]:
    objectives = problem_objectives(optimizer, task, config, problems, keys)
    finite = jnp.isfinite(objectives)
    return jnp.stack([jnp.mean(objectives), jnp.mean(objectives, where=finite), jnp.mean(finite, dtype=jnp.float32)])


def why_nothing_was_learned(trained: TrainedOptimizer) -> str | None:
    """Say in one sentence why what a run returns is not a trained optimizer; None if it is one.

    Weights that a run started from and never bettered are not, unless others were trained before it.
    """
    num_steps, metrics = trained.config["num_meta_steps"], trained.metrics
    num_unapplied = metrics["num_skipped"] + metrics["num_rollbacks"]
    if metrics["best_step"] > 0 or (trained.config["warm_start"] is not None and num_unapplied < num_steps):
        return None
    last = trained.curve["validations"][-1]
    return (
        "nothing was learned: on validation problems no weights did better than those before meta-training "
        f"({metrics['best_validation']:.5g}; the last: {last:.5g}). Of {num_steps} meta-steps, "
        f"{metrics['num_skipped']} were skipped, since the objective or its gradient was not finite, and "
        f"{metrics['num_rollbacks']} rolled back. Try more meta-steps or smaller ones (learning_rate), or look for "
        "problems on which the task's loss is not finite."
    )
