"""From a learned optimizer to one that can be read: a path of nested formulas, measured beside what they stand for."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Float, Int

from optoscope._core.checks import check_count
from optoscope._core.choices import check_choice
from optoscope._core.json_data import to_json
from optoscope._core.progress import Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.statistics import bootstrap_interval
from optoscope._core.tables import Table
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts import load, shipped
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_rule, name_of_optimizer
from optoscope.distillation.faithful import find_faithful
from optoscope.distillation.fit import (
    Scorer,
    Trajectories,
    draw_lanes,
    fit_updates,
    join,
    r_squared,
    record_trajectories,
)
from optoscope.distillation.formula import Formula, formula_of
from optoscope.distillation.measures import generalize, nearness, running_r2, update_functions
from optoscope.distillation.readable import PIECES, ReadableOptimizer, numbers_of
from optoscope.distillation.search import evolve
from optoscope.optimizers import AbstractOptimizer, lift
from optoscope.running import evaluate
from optoscope.running.problems import Purpose
from optoscope.tasks import AbstractTask, name_of

#: What is added to momentum, step by step.
PATH: tuple[tuple[str, ...], ...] = (
    ("momentum",),
    ("saturation", "power"),
    ("gain",),
    ("schedule",),
    ("forgetting", "persistence"),
    ("agreement", "alignment"),
    ("complex mode",),
    ("retention", "asymmetry"),
)
#: A larger optimizer is preferred only if its validation score is lower by this share.
MARGIN = 0.01


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """How hard a distillation tries.

    Attributes:
        path: groups of pieces in the order in which they are added.
        max_numbers: constants that the chosen formula may have.
        num_lanes: fits to updates beside each other, per size.
        num_starts: of those, how many are searched from; one more search begins with the smaller size's numbers.
        num_fits: steps of the fit to updates.
        num_generations: of each search on the meta-objective, per number that the size has.
        num_polishes: generations of a last search for the chosen size, larger ones on twice the problems.
        num_problems: problems per generation.
        num_validation: validation problems.
        num_test: test problems.
        num_steps: updates per run.

    Raises:
        ValueError: for an unknown piece, or a path that does not begin with momentum.
    """

    path: tuple[tuple[str, ...], ...] = PATH
    max_numbers: int = 30
    num_lanes: int = 8
    num_starts: int = 2
    num_fits: int = 250
    num_generations: int = 30
    num_polishes: int = 1500
    num_problems: int = 48
    num_validation: int = 2048
    num_test: int = 4096
    num_steps: int = 200

    def __post_init__(self):
        pieces = sum(self.path, ())
        for i, piece in enumerate(pieces):
            check_choice("piece", piece, PIECES)
            if piece in pieces[:i]:
                raise ValueError(f"`path` has {piece!r} twice; each piece is added once.")
        if not self.path or "momentum" not in self.path[0]:
            raise ValueError("`path` must begin with a group that has 'momentum'; every formula is built on it.")

    def with_effort(self, effort: float) -> "DistillConfig":
        """Return the same with the lengths of all searches multiplied."""
        times = lambda length: max(1, round(length * effort))
        return dataclasses.replace(
            self, num_generations=times(self.num_generations), num_polishes=times(self.num_polishes)
        )


@dataclasses.dataclass(frozen=True)
class Distilled(Result):
    """Readable optimizers that stand for another, and how well: the best one, and the most faithful one.

    Sizes of one aim are nested: each has the pieces of the one before and more. All measures are on test problems, with
    numbers rounded to the four significant digits that are printed.

    Attributes:
        task: the task's name.
        source: what was distilled.
        pieces: of each size, all of them.
        numbers: of each size, by name.
        num_numbers: how many constants each size's formula has.
        aims: what each size was made for: "objective", to do as well, or "updates", to do the same.
        chosen: index of the best one: of the size with the first aim that validation chose.
        faithful: index of the most faithful one: of the last size with the second aim.
        validations: mean meta-objective of each size on validation problems.
        one_step_r2: of each size's updates, fed with the source's gradients.
        running_r2: of each size's updates on its own runs, against the source's on the same problems.
        names: whose meta-objectives are in `objectives`: `source`, `baseline`, then the sizes.
        objectives: meta-objective of each run on the same test problems.
        baseline: the best tuned baseline, or empty.
        moments: iterations at which update functions are compared.
        gradients: where they are.
        update_functions: of the source and of the chosen one, at the states to which the first test component's
            gradients led.
        generalization: rows with `task`, `num_steps`, and medians and means of `source`, `distilled`, `baseline`.
        provenance: who made it.
    """

    task: str
    source: str
    pieces: list[list[str]]
    numbers: list[dict[str, float]]
    num_numbers: Int[np.ndarray, " size"]
    aims: list[str]
    chosen: int
    faithful: int
    validations: Float[np.ndarray, " size"]
    one_step_r2: Float[np.ndarray, " size"]
    running_r2: Float[np.ndarray, " size"]
    names: list[str]
    objectives: Float[np.ndarray, "optimizer problem"]
    baseline: str
    moments: Int[np.ndarray, " moment"]
    gradients: Float[np.ndarray, " grid"]
    update_functions: Float[np.ndarray, "pair moment grid"]
    generalization: list[dict[str, Any]]
    provenance: dict[str, Any]

    def size(self, index: int) -> ReadableOptimizer:
        """Return the optimizer of a size."""
        return ReadableOptimizer(tuple(self.pieces[index]), self.numbers[index])

    @property
    def optimizer(self) -> ReadableOptimizer:
        """The chosen one."""
        return self.size(self.chosen)

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The chosen one as an optax transformation."""
        return lift(self.optimizer)

    @property
    def faithful_optimizer(self) -> ReadableOptimizer:
        """The most faithful one."""
        return self.size(self.faithful)

    def formula(self, index: int | None = None) -> Formula:
        """Return a size's step as sympy expressions, with `text()` and `latex()`; the chosen one's if None."""
        return formula_of(self.size(self.chosen if index is None else index))

    def fidelity(self, index: int) -> str:
        """Say how near a size comes to the source: its updates under the same gradients, and its own runs."""
        under, running = float(self.one_step_r2[index]), float(self.running_r2[index])
        return f"under the same gradients its updates are {nearness(under)}, on runs of its own {nearness(running)}"

    def advantage_kept(self, index: int | None = None) -> dict[str, float]:
        """Return the share of the source's advantage over the baseline that a size keeps; the chosen one if None.

        Returns:
            `mean`: by mean meta-objectives; `median`: by medians; `log`: by means of logarithms. 1 is all of it.
        """
        row = 2 + (self.chosen if index is None else index)
        shares = {}
        with np.errstate(all="ignore"):
            for name, value in (
                ("mean", self.objectives.mean(1)),
                ("median", np.median(self.objectives, 1)),
                ("log", np.log(self.objectives).mean(1)),
            ):
                shares[name] = float((value[1] - value[row]) / (value[1] - value[0]))
        return shares

    def advantage_interval(self, index: int | None = None) -> tuple[float, float]:
        """Return the 95% interval of `advantage_kept`'s `mean`, from a paired bootstrap over test problems."""
        source, baseline, distilled = self.objectives[[0, 1, 2 + (self.chosen if index is None else index)]]
        if not self.baseline:
            return (-np.inf, np.inf)

        def share(rows):
            source_mean, baseline_mean, own = (values[rows].mean(1) for values in (source, baseline, distilled))
            return (baseline_mean - own) / (baseline_mean - source_mean)

        return bootstrap_interval(share, len(source), num_resamples=2000, batch=100)

    @property
    def headline(self) -> str:
        """Both formulas, each with its fidelity."""
        parts = []
        for what, index in (("The most faithful formula", self.faithful), ("The best formula", self.chosen)):
            head = f"{what} ({self.num_numbers[index]} numbers; {self.fidelity(index)}):"
            parts.append(f"{head}\n{self.formula(index).text()}")
        return "\n\n".join(parts)

    def tables(self) -> list[Table]:
        """Return the sizes, smallest first."""
        columns = ["chosen", "faithful", "aim", "pieces", "num_numbers", "one_step_r2", "running_r2", "validation",
                   "mean", "median", "advantage_kept", "advantage_interval"]  # fmt: skip
        rows = [
            [i == self.chosen, i == self.faithful, self.aims[i], self.pieces[i], self.num_numbers[i],
             self.one_step_r2[i], self.running_r2[i], self.validations[i], self.objectives[2 + i].mean(),
             np.median(self.objectives[2 + i]), self.advantage_kept(i), self.advantage_interval(i)]
            for i in range(len(self.pieces))
        ]  # fmt: skip
        title = (
            f"Sizes (kept: share of the advantage over the baseline; source {self.objectives[0].mean():.4g}, "
            f"{self.baseline or 'no baseline'} {self.objectives[1].mean():.4g})"
        )
        return [Table("sizes", columns, rows, title=title)]

    def to_json(self) -> dict[str, Any]:
        """Return everything but single problems, as JSON data."""
        means = {"source_mean": self.objectives[0].mean(), "baseline_mean": self.objectives[1].mean()}
        formula = {"formula": self.formula().text().splitlines(), "latex": self.formula().latex()}
        faithful = self.formula(self.faithful)
        formula |= {"faithful_formula": faithful.text().splitlines(), "faithful_latex": faithful.latex()}
        formula |= {"fidelity": self.fidelity(self.chosen), "faithful_fidelity": self.fidelity(self.faithful)}
        return super().to_json() | to_json({**means, **formula, "test_problems": self.objectives.shape[1]})


def distill(
    optimizer: AnyOptimizer,
    task: AbstractTask,
    *,
    key: PRNGKeyArray,
    source: str = "",
    config: DistillConfig | None = None,
    report: Report = silent,
) -> Distilled:
    """Distill an optimizer into a formula.

    For each size of a nested path, numbers are fitted to the updates that the optimizer makes on training problems,
    then tuned on the meta-objective with tuning problems by a search without derivatives: runs of a half-tuned
    optimizer are chaotic. There are several searches per size, from the smaller size's numbers and from fresh ones:
    what is best with few pieces may be a dead end with more. Validation problems say which start, which moment of a
    search and which size is best; a larger size is chosen only if it is better by `MARGIN`. The chosen one is searched
    once more.

    Beside these, pieces are added one by one for the most faithful formula, each time the one that leaves least of the
    updates, fitted by least squares; other problems say whether it stays.

    Args:
        optimizer: what to distill: anything that `optoscope.as_optimizer` takes and that is component-wise.
        task: where its problems come from.
        key: draws problems and starts.
        source: its name, for the record; the text that names it if empty.
        config: how hard to try.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        The sizes, the chosen one, and what they are worth on test problems.

    Raises:
        ValueError: if the optimizer diverges on the task, a number is out of range, or nothing fits `max_numbers`.
    """
    config, source = config or DistillConfig(), source or name_of_optimizer(optimizer) or ""
    check_count("num_starts", config.num_starts)
    check_count("num_lanes", config.num_lanes, minimum=config.num_starts)
    optimizer = as_rule(optimizer)
    trajectories, held_out = (
        record_trajectories(
            task, optimizer, num_problems=config.num_problems, num_steps=min(50, config.num_steps), purpose=purpose,
            key=key,
        )
        for purpose in (Purpose.TRAIN, Purpose.VALIDATE)
    )  # fmt: skip
    scorer = Scorer(
        task, num_problems=config.num_validation, num_steps=config.num_steps, purpose=Purpose.VALIDATE, key=key
    )
    sizes, scores = _search(task, trajectories, scorer, config, key, report)
    chosen = choose_size(scores, [size.num_numbers for size in sizes], max_numbers=config.max_numbers)
    polished, score = _polish(task, sizes[chosen], trajectories, scorer, config, key, report)
    if score < scores[chosen]:
        sizes[chosen], scores[chosen] = polished, score
    alike = find_faithful(trajectories, held_out, max_numbers=config.max_numbers, key=key)
    aims = ["objective"] * len(sizes) + ["updates"] * len(alike)
    validations = np.array(scores + [scorer.one(size) for size in alike])
    return measure(
        optimizer, task, [*sizes, *alike], validations, chosen, aims=aims, key=key, source=source, config=config,
        report=report,
    )  # fmt: skip


def choose_size(validations: Sequence[float], num_numbers: Sequence[int], *, max_numbers: int) -> int:
    """Return the smallest size after which no larger one is better by `MARGIN`.

    Raises:
        ValueError: if no size has at most `max_numbers` numbers.

    >>> choose_size([0.05, 0.04, 0.0399], [2, 4, 8], max_numbers=30)
    1
    """
    chosen = None
    for i in np.argsort(num_numbers, kind="stable"):
        if num_numbers[i] <= max_numbers and (chosen is None or validations[i] < (1 - MARGIN) * validations[chosen]):
            chosen = int(i)
    if chosen is None:
        raise ValueError(f"every size has more than {max_numbers} numbers; allow more, or begin with fewer pieces.")
    return chosen


def _search(task, trajectories: Trajectories, scorer, config, key, report):
    sizes: list[ReadableOptimizer] = []
    scores: list[float] = []
    known: dict[str, float] = {}
    paths = [sum(config.path[: i + 1], ()) for i in range(len(config.path))]
    allowed = [pieces for pieces in paths if len(numbers_of(pieces)) <= config.max_numbers]
    for index, pieces in enumerate(allowed):
        one = jax.random.fold_in(Purpose.INITIALIZE.key(key), index)
        fresh = draw_lanes(pieces, {}, trajectories, num_lanes=config.num_lanes, key=one)
        fitted, _ = fit_updates(fresh, trajectories, num_steps=config.num_fits)
        lanes = join([fitted, fresh])
        order = np.argsort(scorer.lanes(lanes), kind="stable")
        starts = [lanes.optimizer(int(lane)) for lane in order[: config.num_starts]]
        if known:
            starts.append(draw_lanes(pieces, known, trajectories, num_lanes=1, key=one).optimizer(0))
        found = [
            evolve(
                task, start, trajectories, scorer.one, key=jax.random.fold_in(one, i),
                num_generations=config.num_generations * len(numbers_of(pieces)), num_problems=config.num_problems,
                num_steps=config.num_steps,
            )
            for i, start in enumerate(starts)
        ]  # fmt: skip
        best, score = min(found, key=lambda pair: pair[1])
        sizes.append(best)
        scores.append(score)
        known = {name: float(value) for name, value in best.numbers.items()}
        report("sizes", index + 1, len(allowed))
    return sizes, scores


def _polish(task, size, trajectories, scorer, config, key, report):
    """Search once more about the chosen numbers."""
    return evolve(
        task, size, trajectories, scorer.one, key=jax.random.fold_in(key, len(config.path)),
        num_generations=config.num_polishes, num_problems=2 * config.num_problems, num_steps=config.num_steps,
        sigma=0.1, population=32, report=report,
    )  # fmt: skip


def measure(
    optimizer: AbstractOptimizer,
    task: AbstractTask,
    sizes: Sequence[ReadableOptimizer],
    validations: Float[np.ndarray, " size"],
    chosen: int,
    *,
    aims: Sequence[str],
    key: PRNGKeyArray,
    source: str = "",
    config: DistillConfig | None = None,
    report: Report = silent,
) -> Distilled:
    """Measure formulas beside the optimizer that they stand for, on test problems.

    Args:
        optimizer: what was distilled.
        task: where test problems come from.
        sizes: formulas; of each aim, each with the pieces of the one before and more.
        validations: their scores, for the record.
        chosen: index of the size that they chose.
        aims: of each size, "objective" or "updates"; the last of these is the most faithful.
        key, source, config, report: as in `distill`.

    Returns:
        What `distill` returns.
    """
    config = config or DistillConfig()
    baselines = {
        name: artifact.optimizer for name in shipped() if name.startswith(f"{task.kind}/") for artifact in (load(name),)
    }
    contenders = {"source": optimizer, **baselines, **{f"size {i}": size.completed for i, size in enumerate(sizes)}}
    found = evaluate(task, contenders, num_problems=config.num_test, num_steps=config.num_steps, key=key)
    best = min(baselines, key=lambda name: found.means[found.index(name)], default="")
    rows = ["source", best or "source", *(f"size {i}" for i in range(len(sizes)))]
    report("measuring", 1, 2)
    replayed = record_trajectories(
        task,
        optimizer,
        num_problems=min(64, config.num_test),
        num_steps=config.num_steps,
        purpose=Purpose.TEST,
        key=key,
    )
    moments = np.unique(np.minimum([0, 5, 20, 80], config.num_steps - 1))
    largest = float(np.quantile(np.abs(replayed.gradients), 0.99))
    grid = np.linspace(-largest, largest, 201)
    running = running_r2(task, optimizer, sizes, key, config)
    general = generalize(task, optimizer, sizes[chosen], baselines.get(best), key, config)
    report("measuring", 2, 2)
    return Distilled(
        task=name_of(task),
        source=source,
        pieces=[list(size.pieces) for size in sizes],
        numbers=[{name: float(value) for name, value in size.numbers.items()} for size in sizes],
        num_numbers=np.array([size.num_numbers for size in sizes]),
        aims=list(aims),
        chosen=chosen,
        faithful=len(aims) - 1 - list(aims)[::-1].index("updates") if "updates" in aims else chosen,
        validations=validations,
        one_step_r2=np.array([r_squared(size.completed, replayed) for size in sizes]),
        running_r2=running,
        names=["source", "baseline", *rows[2:]],
        objectives=found.objectives[[found.index(row) for row in rows]],
        baseline=best,
        moments=moments,
        gradients=grid,
        update_functions=np.stack([update_functions(o, replayed, moments, grid) for o in (optimizer, sizes[chosen])]),
        generalization=general,
        provenance=provenance(task=repr(task), source=source, config=dataclasses.asdict(config)),
    )
