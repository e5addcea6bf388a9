"""What a step costs: loss against time, not only against steps."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from optoscope._core.checks import check_count
from optoscope._core.compiled import compiled
from optoscope._core.progress import Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_optimizers
from optoscope.running.evaluate import Evaluation
from optoscope.running.problems import Purpose, sample_problems
from optoscope.running.rollouts import rollout_batch
from optoscope.tasks import AbstractTask, name_of


@dataclasses.dataclass(frozen=True)
class StepCosts(Result):
    """Seconds per step of one problem, for several optimizers on one task.

    Attributes:
        names: the optimizers.
        task: the task's name.
        seconds: of each repetition, with the optimizers taken in turn; medians are what to quote.
        provenance: who made it, and on what machine.
    """

    names: list[str]
    task: str
    seconds: Float[np.ndarray, "optimizer repetition"]
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return what a step of each optimizer costs."""
        rows = [[name, 1e6 * seconds, seconds / self.medians.min()] for name, seconds in zip(self.names, self.medians)]
        columns = ["optimizer", "microseconds_per_step", "times_the_cheapest"]
        return [Table("optimizers", columns, rows, title=f"Cost of a step on {self.task}")]

    @property
    def medians(self) -> Float[np.ndarray, " optimizer"]:
        """Median seconds per step."""
        return np.median(self.seconds, axis=1)

    def times(self, evaluation: Evaluation) -> Float[np.ndarray, "optimizer step"]:
        """Return when each optimizer of an evaluation has which loss: seconds after the start of a run."""
        steps = np.arange(evaluation.losses.shape[-1])
        return np.array([self.medians[self.names.index(name)] * steps for name in evaluation.names])

    def at_equal_time(self, evaluation: Evaluation) -> Float[np.ndarray, "optimizer problem"]:
        """Return each run's loss at the time when the fastest optimizer has made all its steps.

        A run is read at the last step that it has finished by then.
        """
        times = self.times(evaluation)
        ends = times[:, -1].min() * (1 + 1e-9)
        last = (times <= ends).sum(1) - 1
        return np.stack([losses[:, k] for losses, k in zip(evaluation.losses, last)])


def measure_costs(
    task: AbstractTask,
    optimizers: Mapping[str, AnyOptimizer],
    *,
    num_steps: int = 20,
    num_problems: int = 1,
    num_repetitions: int = 7,
    key: PRNGKeyArray,
    report: Report = silent,
) -> StepCosts:
    """Measure what one step of each optimizer takes, gradient included, compilation excluded.

    Args:
        task: gives the loss.
        optimizers: by name, anything that `optoscope.as_optimizer` takes.
        num_steps: steps of one timed run.
        num_problems: problems worked on at once; the time is divided by their number.
        num_repetitions: timed runs of each, taken in turn, so that a machine's moods hit all alike.
        key: draws the problems.
        report: called with what is being done, how much is done and how much there is.

    Raises:
        ValueError: if there is no optimizer, or a number is out of range.
    """
    check_count("num_steps", num_steps)
    check_count("num_problems", num_problems)
    check_count("num_repetitions", num_repetitions)
    if not optimizers:
        raise ValueError("`optimizers` is empty; pass at least one, such as {'momentum': Momentum(0.1, 0.9)}.")
    optimizers = as_optimizers(optimizers)
    problems, keys = sample_problems(task, Purpose.TEST.key(key), num_problems)
    seconds = np.empty((len(optimizers), num_repetitions))
    for repetition in range(-1, num_repetitions):  # the first round compiles
        for i, optimizer in enumerate(optimizers.values()):
            began = time.perf_counter()
            jax.block_until_ready(_run(task, problems, keys, optimizer, num_steps))
            if repetition >= 0:
                seconds[i, repetition] = (time.perf_counter() - began) / (num_steps * num_problems)
        report("timing steps", repetition + 2, num_repetitions + 1)
    return StepCosts(
        names=list(optimizers),
        task=name_of(task),
        seconds=seconds,
        provenance=provenance(task=repr(task), num_steps=num_steps, num_problems=num_problems),
    )


@compiled(eqx.filter_jit)
def _run(task, problems, keys, optimizer, num_steps):
    return rollout_batch(task, problems, optimizer, num_steps=num_steps, keys=keys).losses
