"""Everything that figures and claims rest on, computed in one place: both only read it."""

import dataclasses
import functools
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optoscope import artifacts, tasks
from optoscope._choices import check_choice
from optoscope._provenance import provenance
from optoscope._types import PRNGKeyArray
from optoscope.anatomy import (
    Dossier,
    MetaTrainingModes,
    SingleMode,
    Visits,
    modes_through_meta_training,
    run_single_mode,
    visit,
)
from optoscope.artifacts import TrainedOptimizer, TunedOptimizer
from optoscope.dynamics import UpdateFunction, update_function
from optoscope.information import Information, KnownUpdates, describe_problems, known_updates
from optoscope.optimizers import AbstractOptimizer
from optoscope.tasks import AbstractTask
from optoscope.tasks._network import num_params_of
from optoscope.training.evaluate import Evaluation, evaluate
from optoscope.training.objective import meta_objective
from optoscope.training.recipes import BASELINES

#: Worst-case optimal heavy ball for curvatures in [1e-3, 1]: learning rate and decay (Polyak, 1964; App. B).
OPTIMAL_MOMENTUM = (3.7585, 0.8811)
#: The paper's tasks, in its order.
PAPER_TASKS = ("linear_regression", "rosenbrock", "two_moons", "mnist")
#: Those whose parameters are a network's, the paper's own example of most network figures first.
NETWORKS = ("mnist", "two_moons")
#: Test problems of tasks with more parameters than the first number are at most as many as the second: a problem of
#: MNIST takes as long as 10,000 of linear regression.
BOUNDS = ((1_000, 32), (20_000, 4))
#: The optimizer that recovers momentum, and its task (App. B).
MOMENTUM_LIKE = ("momentum_like", "linear_regression")

_Report = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a figure draws.

    Attributes:
        parts: of a `Study`.
        tasks: without which it does not exist; it shows all tasks of a study if empty.
        any_of: of these tasks it shows the ones that a study has, and needs one.
    """

    parts: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()

    def shown(self, task_names: Collection[str]) -> tuple[str, ...]:
        """Return the tasks that the figure shows, of those that there are."""
        return self.tasks or tuple(name for name in self.any_of or task_names if name in task_names)


#: The figures of the paper, and what each needs.
FIGURES: dict[int, Needs] = {
    1: Needs(("evaluations", "information")),
    2: Needs(("known_updates",)),
    3: Needs(("anatomies",), ("rosenbrock",)),
    4: Needs(("anatomies",), ("rosenbrock",)),
    5: Needs(("anatomies", "tuned"), ("linear_regression",)),
    6: Needs(("anatomies", "tuned"), ("rosenbrock",)),
    7: Needs(("anatomies",), any_of=NETWORKS),
    8: Needs(("anatomies",)),
    9: Needs(("anatomies",), any_of=NETWORKS),
    10: Needs(("anatomies",)),
    11: Needs(("anatomies", "tuned")),
    12: Needs(("anatomies", "tuned")),
    13: Needs(("anatomies",), any_of=NETWORKS),
    14: Needs(("momentum_like", "tuned"), ("linear_regression",)),
    15: Needs(("meta_training", "tuned"), ("linear_regression",)),
    16: Needs(),
    17: Needs(("evaluations",)),
    18: Needs(("tuned",), ("linear_regression",)),
    19: Needs(("tuned",), ("rosenbrock",)),
    20: Needs(("tuned",), ("two_moons",)),
    21: Needs(("tuned",), ("mnist",)),
}
#: Parts without a task of their own.
_ALONE = ("known_updates", "momentum_like", "meta_training")
#: Snapshots without which there is no path through meta-training.
_LEAST_SNAPSHOTS = 5
#: What claims rest on.
CLAIM_PARTS = ("evaluations", "anatomies", "linearized", "seeds", "momentum_like", "meta_training")


@dataclasses.dataclass(frozen=True)
class Study:
    """All results behind figures and claims. Parts that were not asked for are empty.

    Attributes:
        tasks: names, in the order of the columns.
        trained: task -> learned optimizer.
        tuned: task -> rule -> tuned optimizer; also of tasks for which there is no learned optimizer.
        evaluations: task -> `learned` and the baselines on the same test problems.
        anatomies: task -> the learned optimizer taken apart.
        linearized: task -> `learned` and the `linearized` optimizer, run by itself on the same test problems.
        seeds: task -> name -> update function at the initial state of optimizers from other seeds.
        information: task -> what its problems look like, where there is a picture of it.
        known_updates: hand-designed rules.
        momentum_like: the optimizer that recovers momentum (App. B).
        momentum_like_anatomy: the same, taken apart on linear regression.
        single_mode: its leading mode, running alone.
        meta_training: name of a learned optimizer -> its modes through meta-training.
        meta_training_tasks: name of a learned optimizer -> its task.
        provenance: who made it.
    """

    tasks: tuple[str, ...]
    trained: dict[str, TrainedOptimizer]
    tuned: dict[str, dict[str, TunedOptimizer]]
    evaluations: dict[str, Evaluation]
    anatomies: dict[str, Dossier]
    linearized: dict[str, Evaluation]
    seeds: dict[str, dict[str, UpdateFunction]]
    information: dict[str, Information]
    known_updates: KnownUpdates | None
    momentum_like: TrainedOptimizer | None
    momentum_like_anatomy: Dossier | None
    single_mode: SingleMode | None
    meta_training: dict[str, MetaTrainingModes]
    meta_training_tasks: dict[str, str]
    provenance: dict[str, Any]


def tasks_with_optimizers(source: str | Path | None = None) -> tuple[str, ...]:
    """Return the paper's tasks for which there are a learned optimizer and all baselines, in the paper's order.

    >>> tasks_with_optimizers()[:2]
    ('linear_regression', 'rosenbrock')
    """
    there = _artifact_names(source)
    return tuple(name for name in PAPER_TASKS if {name, *(f"{name}/{rule}" for rule in BASELINES)} <= set(there))


def tasks_at_hand(source: str | Path | None = None) -> tuple[str, ...]:
    """Return those of `tasks_with_optimizers` whose data need no download."""
    return tuple(name for name in tasks_with_optimizers(source) if tasks.is_at_hand(name))


def figures_for(task_names: Collection[str], tuned_names: Collection[str] = ()) -> list[int]:
    """Return the numbers of the figures that exist for some tasks.

    Args:
        task_names: tasks with learned optimizers.
        tuned_names: tasks with tuned baselines only.

    >>> 6 in figures_for(["linear_regression"]), 20 in figures_for(["linear_regression"], ["two_moons"])
    (False, True)
    """

    def exists(needs: Needs) -> bool:
        there = {*task_names, *tuned_names} if needs.parts == ("tuned",) else set(task_names)
        return set(needs.tasks) <= there and (not needs.any_of or bool(there.intersection(needs.any_of)))

    return [number for number, needs in FIGURES.items() if exists(needs)]


def tasks_with_baselines(source: str | Path | None = None) -> tuple[str, ...]:
    """Return the paper's tasks for which there are all tuned baselines."""
    there = set(_artifact_names(source))
    return tuple(name for name in PAPER_TASKS if {f"{name}/{rule}" for rule in BASELINES} <= there)


def bounded_problems(task: AbstractTask, num_problems: int, *, at_most: int | None = None) -> int:
    """Return the number of test problems of a task: fewer where one takes long (`BOUNDS`)."""
    params = num_params_of(jax.eval_shape(task.sample, jax.random.key(0)).initial_params)
    limits = [most for size, most in BOUNDS if params > size]
    return min([num_problems, *limits] + ([] if at_most is None or not limits else [at_most]))


def make_study(
    task_names: Sequence[str],
    *,
    key: PRNGKeyArray,
    num_problems: int = 64,
    source: str | Path | None = None,
    figures: Collection[int] | None = None,
    claims: bool = False,
    tuned_names: Sequence[str] = (),
    report: _Report | None = None,
) -> Study:
    """Load artifacts and compute everything that figures and claims show.

    Args:
        task_names: names of tasks that have learned optimizers.
        key: draws test problems.
        num_problems: number of test problems; the paper uses 64. Network tasks have fewer (`BOUNDS`).
        source: directory with artifacts in the layout of the shipped ones, which are used if None.
        figures: compute only what these figures need; all of them if None.
        claims: whether to compute what claims need as well.
        tuned_names: tasks of which only tuned baselines are loaded, besides.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        The results.

    Raises:
        ValueError: for an unknown task, or a figure that does not exist for these tasks.
        FileNotFoundError: if an artifact is missing.
    """
    for name in task_names:
        check_choice("task", name, tasks.TASKS)
    baselines = tuple(dict.fromkeys((*task_names, *tuned_names)))
    possible = figures_for(task_names, baselines)
    for number in figures or ():
        check_choice(f"figure for {', '.join(task_names)}", str(number), map(str, possible))
    wanted = possible if figures is None else list(figures)
    work = _plan(task_names, wanted, claims)
    made = _Maker(source, key, num_problems, {name: {} for name in baselines})
    made.trained = {name: made.load(name) for name in task_names}
    made.tuned = {name: {rule: made.load(f"{name}/{rule}") for rule in BASELINES} for name in baselines}
    say = report or (lambda what, done, total: None)
    found: dict[tuple[str, str], Any] = {}
    for done, (part, name) in enumerate(work):
        say(f"{part} {name}".replace("_", " ").strip(), done, len(work))
        found[part, name] = getattr(made, part)(name) if name else getattr(made, part)()
    say("study", len(work), len(work))

    def of_tasks(part: str) -> dict[str, Any]:
        return {name: found[part, name] for name in task_names if found.get((part, name)) is not None}

    recovered, anatomy, single_mode = found.get(("momentum_like", ""), (None, None, None))
    through = found.get(("meta_training", ""), {})
    return Study(
        tasks=tuple(task_names),
        trained=made.trained,
        tuned=made.tuned,
        evaluations=of_tasks("evaluations"),
        anatomies=of_tasks("anatomies"),
        linearized=of_tasks("linearized"),
        seeds=of_tasks("seeds"),
        information=of_tasks("information"),
        known_updates=found.get(("known_updates", "")),
        momentum_like=recovered,
        momentum_like_anatomy=anatomy,
        single_mode=single_mode,
        meta_training=through,
        meta_training_tasks={name: made.load(name).task for name in through},
        provenance=provenance(tasks=list(task_names), num_problems=num_problems, source=str(source or "shipped")),
    )


class _Maker:
    """Makes the parts of a study; what several of them need is made once."""

    def __init__(self, source, key, num_problems, tuned):
        self.source, self.key, self.num_problems = source, key, num_problems
        self.trained: dict[str, TrainedOptimizer] = {}
        self.tuned: dict[str, dict[str, TunedOptimizer]] = tuned

    @functools.cache  # noqa: B019 (lives as long as a study is being made)
    def load(self, name: str) -> Any:
        return artifacts.load(name if self.source is None else Path(self.source) / f"{name}.json")

    def _problems(self, name: str, **bound: int) -> int:
        return bounded_problems(tasks.get(name), self.num_problems, **bound)

    @functools.cache  # noqa: B019
    def _visits(self, name: str) -> Visits:
        return visit(self.trained[name].optimizer, tasks.get(name), key=self.key, num_problems=self._problems(name))

    @functools.cache  # noqa: B019
    def anatomies(self, name: str) -> Dossier:
        return self._dissect(self.trained[name], self._visits(name))

    def _dissect(self, one: TrainedOptimizer, visits: Visits) -> Dossier:
        return Dossier(one.optimizer, tasks.get(one.task), key=self.key, untrained=one.untrained, visits=visits)

    def evaluations(self, name: str) -> Evaluation:
        return self._beside_learned(name, {rule: one.optimizer for rule, one in self.tuned[name].items()})

    def linearized(self, name: str) -> Evaluation | None:
        """The linearized optimizer run by itself; None if one of its modes grows."""
        modes = self.anatomies(name).modes
        if not (np.abs(modes.decays) < 1).all():
            return None
        return self._beside_learned(name, {"linearized": modes.as_optimizer()}, self._problems(name, at_most=8))

    def _beside_learned(self, name, others: dict[str, AbstractOptimizer], num_problems: int | None = None):
        """Evaluate some optimizers on the problems on which the learned one ran already."""
        losses = self._visits(name).losses[: num_problems or None]
        problems = num_problems or self._problems(name)
        if problems != self._problems(name):  # fewer problems are other problems
            rules = {"learned": self.trained[name].optimizer} | others
            return evaluate(tasks.get(name), rules, num_problems=problems, num_steps=losses.shape[1] - 1, key=self.key)
        made = evaluate(tasks.get(name), others, num_problems=problems, num_steps=losses.shape[1] - 1, key=self.key)
        objectives = np.asarray(meta_objective(jnp.asarray(losses)), np.float64)[None]
        return Evaluation(
            names=["learned", *made.names],
            task=made.task,
            losses=np.concatenate([losses[None], made.losses]),
            objectives=np.concatenate([np.where(np.isfinite(objectives), objectives, np.inf), made.objectives]),
            provenance=made.provenance,
        )

    def seeds(self, name: str) -> dict[str, UpdateFunction]:
        others = [other for other in _artifact_names(self.source) if re.fullmatch(rf"{name}_seed\d+", other)]
        gradients = self.anatomies(name).initial_update.gradients
        rules = {other: self.load(other).optimizer for other in others}
        return {n: update_function(rule, np.asarray(rule.initial_state()), gradients) for n, rule in rules.items()}

    def information(self, name: str) -> Information | None:
        return describe_problems(tasks.get(name), key=self.key)

    def known_updates(self) -> KnownUpdates:
        return known_updates()

    def momentum_like(self) -> tuple[TrainedOptimizer, Dossier, SingleMode]:
        recovered = self.load(MOMENTUM_LIKE[0])
        visits = visit(recovered.optimizer, tasks.get(recovered.task), key=self.key, num_problems=self.num_problems)
        anatomy, momentum = self._dissect(recovered, visits), self.tuned[recovered.task]["momentum"]
        single = run_single_mode(
            recovered, anatomy.modes, visits, momentum, key=self.key, num_problems=self.num_problems
        )
        return recovered, anatomy, single

    def meta_training(self) -> dict[str, MetaTrainingModes]:
        names = [name for name in _artifact_names(self.source) if "/" not in name]
        first = (MOMENTUM_LIKE[0], *PAPER_TASKS)
        names.sort(key=lambda name: (first.index(name) if name in first else len(first), name))
        loaded = {name: self.load(name) for name in names}
        enough = lambda one: one.task in self.trained and len(one.snapshot_steps) >= _LEAST_SNAPSHOTS
        kept = {name: one for name, one in loaded.items() if enough(one)}
        return {name: modes_through_meta_training(one) for name, one in kept.items()}


def _artifact_names(source: str | Path | None) -> list[str]:
    """Names of all artifacts, in the layout of the shipped ones."""
    if source is None:
        return list(artifacts.shipped())
    root = Path(source)
    paths = sorted([*root.glob("*.safetensors"), *root.glob("*/*.safetensors")])
    return [path.relative_to(root).with_suffix("").as_posix() for path in paths if path.with_suffix(".json").exists()]


def _plan(task_names: Sequence[str], wanted: Collection[int], claims: bool) -> list[tuple[str, str]]:
    """The parts to compute, each once: (part, task), with no task where a part has none."""
    work: dict[tuple[str, str], None] = {}
    for number in wanted:
        needs = FIGURES[number]
        for part in needs.parts:
            if part != "tuned":
                work |= dict.fromkeys((part, name) for name in (("",) if part in _ALONE else needs.shown(task_names)))
    for part in CLAIM_PARTS if claims else ():
        if part in _ALONE and MOMENTUM_LIKE[1] not in task_names:
            continue
        work |= dict.fromkeys((part, name) for name in (("",) if part in _ALONE else task_names))
    return list(work)
