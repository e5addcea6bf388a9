"""Run optimizers on the same fresh problems and compare them in pairs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from optoscope._core.checks import check_count
from optoscope._core.choices import check_choice
from optoscope._core.compiled import compiled
from optoscope._core.progress import Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.statistics import bootstrap_interval
from optoscope._core.tables import Table
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_optimizers
from optoscope.running.problems import Purpose, meta_objective, sample_problems
from optoscope.running.rollouts import rollout_batch
from optoscope.running.share_out import devices_for, share_out
from optoscope.tasks import AbstractTask, name_of


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """Paired differences between two optimizers over the same problems.

    Attributes:
        difference: mean of (first - second) meta-objective; negative if the first is better.
        difference_interval: its 95% bootstrap interval.
        log_ratio: mean of log(first / second), which rare hard problems do not rule.
        log_ratio_interval: its 95% bootstrap interval.
        wins: share of problems on which the first is better.
    """

    difference: float
    difference_interval: tuple[float, float]
    log_ratio: float
    log_ratio_interval: tuple[float, float]
    wins: float

    @property
    def first_is_better(self) -> bool:
        """Whether both intervals lie below 0."""
        return self.difference_interval[1] < 0 and self.log_ratio_interval[1] < 0


@dataclasses.dataclass(frozen=True)
class Evaluation(Result):
    """Several optimizers on the same problems.

    Attributes:
        names: the optimizers.
        task: the task's name.
        losses: `f_0 .. f_T` of each run; not finite where it diverged.
        objectives: meta-objective of each run; infinite where it diverged.
        provenance: who made it.
    """

    names: list[str]
    task: str
    losses: Float[np.ndarray, "optimizer problem step"]
    objectives: Float[np.ndarray, "optimizer problem"]
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return the optimizers, and the first one beside each other one."""
        columns = ["optimizer", "mean", "standard_error", "median", "num_diverged"]
        rows = zip(self.names, self.means, self.standard_errors, self.medians, self.num_diverged)
        title = f"Meta-objective on {self.objectives.shape[1]} problems of {self.task}"
        tables = [Table("optimizers", columns, [list(row) for row in rows], title=title)]
        if len(self.names) > 1:
            fields = [field.name for field in dataclasses.fields(PairedDifference)]
            pairs = {name: self.compare(self.names[0], name) for name in self.names[1:]}
            rows = [[self.names[0], name, *(getattr(c, field) for field in fields)] for name, c in pairs.items()]
            title = "The first minus another, paired, with 95% bootstrap intervals"
            tables.append(Table("comparisons", ["first", "other", *fields], rows, title=title))
        return tables

    def index(self, name: str) -> int:
        """Return the row of an optimizer.

        Raises:
            ValueError: for an unknown name; the message lists the known ones.
        """
        check_choice("optimizer of this evaluation", name, self.names)
        return self.names.index(name)

    @property
    def means(self) -> Float[np.ndarray, " optimizer"]:
        """Mean meta-objective."""
        return self.objectives.mean(1)

    @property
    def standard_errors(self) -> Float[np.ndarray, " optimizer"]:
        """Standard error of the mean (ddof 1); NaN where a run diverged."""
        with np.errstate(invalid="ignore"):
            return self.objectives.std(1, ddof=1) / np.sqrt(self.objectives.shape[1])

    @property
    def medians(self) -> Float[np.ndarray, " optimizer"]:
        """Median meta-objective."""
        return np.median(self.objectives, axis=1)

    @property
    def num_diverged(self) -> np.ndarray:
        """Number of runs that diverged, per optimizer."""
        return (~np.isfinite(self.objectives)).sum(1)

    def compare(self, first: str, second: str, *, seed: int = 0) -> PairedDifference:
        """Compare two optimizers problem by problem.

        Args:
            first, second: names.
            seed: of the bootstrap (10,000 resamples of problems, percentile intervals).
        """
        a, b = self.objectives[self.index(first)], self.objectives[self.index(second)]
        with np.errstate(invalid="ignore", divide="ignore"):
            differences, ratios = a - b, np.log(a) - np.log(b)
        return PairedDifference(
            difference=float(differences.mean()),
            difference_interval=_bootstrap(differences, seed),
            log_ratio=float(ratios.mean()),
            log_ratio_interval=_bootstrap(ratios, seed),
            wins=float((a < b).mean()),
        )


def evaluate(
    task: AbstractTask,
    optimizers: Mapping[str, AnyOptimizer],
    *,
    num_problems: int = 64,
    num_steps: int = 200,
    key: PRNGKeyArray,
    report: Report = silent,
) -> Evaluation:
    """Run optimizers on the same fresh test problems.

    Args:
        task: where problems come from; they are drawn apart from training, validation and tuning.
        optimizers: by name, anything that `optoscope.as_optimizer` takes.
        num_problems: number of problems; the paper uses 64.
        num_steps: length of a run; the paper uses 200.
        key: draws the problems.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        Loss curves and meta-objectives, with statistics and paired comparisons.

    Raises:
        ValueError: if there is no optimizer, or a number is out of range.
    """
    check_count("num_problems", num_problems, minimum=2, hint="the paper uses 64")
    check_count("num_steps", num_steps, hint="the paper uses 200")
    if not optimizers:
        raise ValueError("`optimizers` is empty; pass at least one, such as {'momentum': Momentum(0.1, 0.9)}.")
    optimizers = as_optimizers(optimizers)
    problems, keys = sample_problems(task, Purpose.TEST.key(key), num_problems)
    devices, losses = devices_for(num_problems), []
    for one in optimizers.values():
        report("evaluating", len(losses), len(optimizers))
        losses.append(np.asarray(_losses(task, problems, keys, one, num_steps, devices)))
    report("evaluating", len(losses), len(optimizers))
    losses = np.stack(losses)
    objectives = np.asarray(jax.vmap(meta_objective)(losses), np.float64)
    return Evaluation(
        names=list(optimizers),
        task=name_of(task),
        losses=losses,
        objectives=np.where(np.isfinite(objectives), objectives, np.inf),
        provenance=provenance(
            task=repr(task), num_problems=num_problems, num_steps=num_steps, key=jax.random.key_data(key).tolist()
        ),
    )


@compiled(eqx.filter_jit)
def _losses(task, problems, keys, optimizer, num_steps, devices):
    """Losses [problem, step]; the problems are shared out over devices."""

    def run(shared, problems, keys):
        task, optimizer = shared
        return rollout_batch(task, problems, optimizer, num_steps=num_steps, keys=keys).losses

    return share_out(run, (task, optimizer), problems, keys, devices=devices)


def _bootstrap(values: np.ndarray, seed: int) -> tuple[float, float]:
    if not np.isfinite(values).all():
        # One diverged run makes the mean infinite on its side, or undefined if both sides diverged.
        mean = float(values.mean())
        return (float("-inf"), float("inf")) if np.isnan(mean) else (mean, mean)
    if np.ptp(values) == 0:
        return (float(values[0]), float(values[0]))
    mean = lambda rows: values[rows].mean(1)
    return bootstrap_interval(mean, len(values), num_resamples=10_000, seed=seed, batch=1000)
