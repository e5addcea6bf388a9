"""Everything that figures and claims rest on: each part computed when it is first asked for, and kept."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np

from optoscope import artifacts, tasks
from optoscope._core.choices import check_choice
from optoscope._core.provenance import provenance
from optoscope._core.types import PRNGKeyArray
from optoscope.anatomy import Dossier, MetaTrainingModes, SingleMode, modes_through_meta_training, run_single_mode
from optoscope.artifacts import TrainedOptimizer, TunedOptimizer
from optoscope.dynamics import UpdateFunction, update_function
from optoscope.optimizers import AbstractOptimizer
from optoscope.paper.known_updates import KnownUpdates, known_updates
from optoscope.running.evaluate import Evaluation, evaluate
from optoscope.running.problems import Purpose, meta_objective
from optoscope.tasks import AbstractTask, Description
from optoscope.training.recipes import BASELINES

#: Worst-case optimal heavy ball for curvatures in [1e-3, 1]: learning rate and decay (Polyak, 1964; App. B).
OPTIMAL_MOMENTUM = (3.7585, 0.8811)
LINEAR_REGRESSION, ROSENBROCK, TWO_MOONS, MNIST = "linear_regression", "rosenbrock", "two_moons", "mnist"
#: The paper's tasks, in its order.
PAPER_TASKS = (LINEAR_REGRESSION, ROSENBROCK, TWO_MOONS, MNIST)
#: Those whose parameters are a network's, the paper's own example of most network figures first.
NETWORKS = (MNIST, TWO_MOONS)
#: Test problems of tasks with more parameters than the first number are at most as many as the second: a problem of
#: MNIST takes as long as 10,000 of linear regression.
BOUNDS = ((1_000, 32), (20_000, 4))
#: The optimizer that recovers momentum, and its task (App. B).
MOMENTUM_LIKE = ("momentum_like", LINEAR_REGRESSION)
#: Snapshots without which there is no path through meta-training.
_LEAST_SNAPSHOTS = 5

V = TypeVar("V")


class Kept(Mapping[str, V]):
    """Values by name, each made when it is first asked for, and kept."""

    def __init__(self, names: Iterable[str], make: Callable[[str], V]):
        self._names, self._make, self._made = tuple(names), make, dict[str, V]()

    def __getitem__(self, name: str) -> V:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Study:
    """All results behind figures and claims, about optimizers that ship or of one's own.

    Attributes:
        tasks: names of the tasks that have learned optimizers, in the order of the columns.
        trained: task -> learned optimizer.
        tuned: task -> rule -> tuned optimizer; also of tasks for which there is no learned optimizer.
        dossiers: task -> the learned optimizer taken apart.
        evaluations: task -> `learned` and the baselines on the same test problems.
        linearized: task -> `learned` and the `linearized` optimizer, run by itself on the same test problems; None if
            one of its modes grows.
        seeds: task -> name -> update function at the initial state of optimizers from other seeds.
        information: task -> what its problems look like; None where there is no picture of it.
        provenance: who made it.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        key: PRNGKeyArray,
        num_problems: int = 64,
        source: str | Path | None = None,
        tuned_names: Sequence[str] = (),
    ):
        """Say what is to be studied.

        Args:
            task_names: names of tasks that have learned optimizers.
            key: draws test problems.
            num_problems: number of test problems; the paper uses 64. Network tasks have fewer (`BOUNDS`).
            source: directory with artifacts in the layout of the shipped ones, which are used if None.
            tuned_names: tasks of which there are tuned baselines only, besides.

        Raises:
            ValueError: for an unknown task.
            FileNotFoundError: if an artifact is missing.
        """
        for name in task_names:
            check_choice("task", name, tasks.TASKS)
        self.tasks, self._key, self._num_problems, self._source = tuple(task_names), key, num_problems, source
        with_baselines = tuple(dict.fromkeys((*task_names, *tuned_names)))
        self._artifacts = Kept(_artifact_names(source), self._load)
        for name in (*task_names, *(f"{name}/{rule}" for name in with_baselines for rule in BASELINES)):
            if name not in self._artifacts:
                self._load(name)  # says what is missing
        self.trained: Mapping[str, TrainedOptimizer] = Kept(self.tasks, self._artifacts.__getitem__)
        self.tuned: Mapping[str, dict[str, TunedOptimizer]] = Kept(
            with_baselines, lambda name: {rule: self._artifacts[f"{name}/{rule}"] for rule in BASELINES}
        )
        self.dossiers: Mapping[str, Dossier] = Kept(self.tasks, self._dossier_of)
        self.evaluations: Mapping[str, Evaluation] = Kept(self.tasks, self._evaluation)
        self.linearized: Mapping[str, Evaluation | None] = Kept(self.tasks, self._linearized)
        self.seeds: Mapping[str, dict[str, UpdateFunction]] = Kept(self.tasks, self._seeds)
        self.information: Mapping[str, Description | None] = Kept(
            self.tasks, lambda name: tasks.get(name).describe(Purpose.TEST.key(key))
        )
        self.provenance = provenance(tasks=list(task_names), num_problems=num_problems, source=str(source or "shipped"))

    def tuned_rate(self, task: str) -> float:
        """Return the learning rate of tuned momentum on a task."""
        return float(self.tuned[task]["momentum"].optimizer.learning_rate)  # type: ignore[attr-defined]

    @cached_property
    def known_updates(self) -> KnownUpdates:
        """Update functions of hand-designed rules."""
        return known_updates()

    @cached_property
    def momentum_like(self) -> TrainedOptimizer | None:
        """The optimizer that recovers momentum (App. B); None if there is none, or its task is not studied."""
        name, task = MOMENTUM_LIKE
        return self._artifacts[name] if name in self._artifacts and task in self.tasks else None

    @cached_property
    def momentum_like_dossier(self) -> Dossier | None:
        """The same, taken apart on its task."""
        recovered = self.momentum_like
        return None if recovered is None else self._dossier(recovered, self._num_problems)

    @cached_property
    def single_mode(self) -> SingleMode | None:
        """Its leading mode, running alone."""
        recovered, dossier = self.momentum_like, self.momentum_like_dossier
        if recovered is None or dossier is None:
            return None
        momentum, num = self.tuned[recovered.task]["momentum"], self._num_problems
        return run_single_mode(recovered, dossier.modes, dossier.visits, momentum, key=self._key, num_problems=num)

    @cached_property
    def followed(self) -> dict[str, str]:
        """Name of each learned optimizer with snapshots of its meta-training -> its task."""
        first = (MOMENTUM_LIKE[0], *PAPER_TASKS)
        names = [name for name in self._artifacts if "/" not in name]
        names.sort(key=lambda name: (first.index(name) if name in first else len(first), name))
        enough = lambda one: one.task in self.tasks and len(one.snapshot_steps) >= _LEAST_SNAPSHOTS
        return {name: self._artifacts[name].task for name in names if enough(self._artifacts[name])}

    @cached_property
    def meta_training(self) -> dict[str, MetaTrainingModes]:
        """Name of each of these optimizers -> its modes through meta-training."""
        return {name: modes_through_meta_training(self._artifacts[name]) for name in self.followed}

    def _load(self, name: str) -> Any:
        return artifacts.load(name if self._source is None else Path(self._source) / f"{name}.json")

    def _problems(self, name: str, **bound: int) -> int:
        return bounded_problems(tasks.get(name), self._num_problems, **bound)

    def _dossier(self, one: TrainedOptimizer, num_problems: int) -> Dossier:
        return Dossier(one, tasks.get(one.task), key=self._key, num_problems=num_problems)

    def _dossier_of(self, name: str) -> Dossier:
        return self._dossier(self.trained[name], self._problems(name))

    def _evaluation(self, name: str) -> Evaluation:
        return self._beside_learned(name, {rule: one.optimizer for rule, one in self.tuned[name].items()})

    def _linearized(self, name: str) -> Evaluation | None:
        modes = self.dossiers[name].modes
        if not (np.abs(modes.decays) < 1).all():
            return None
        return self._beside_learned(name, {"linearized": modes.as_optimizer()}, self._problems(name, at_most=8))

    def _beside_learned(self, name, others: dict[str, AbstractOptimizer], num_problems: int | None = None):
        """Evaluate some optimizers on the problems on which the learned one ran already."""
        losses = self.dossiers[name].visits.losses[: num_problems or None]
        problems = num_problems or self._problems(name)
        if problems != self._problems(name):  # fewer problems are other problems
            rules = {"learned": self.trained[name].optimizer} | others
            return evaluate(tasks.get(name), rules, num_problems=problems, num_steps=losses.shape[1] - 1, key=self._key)
        made = evaluate(tasks.get(name), others, num_problems=problems, num_steps=losses.shape[1] - 1, key=self._key)
        objectives = np.asarray(meta_objective(jnp.asarray(losses)), np.float64)[None]
        return Evaluation(
            names=["learned", *made.names],
            task=made.task,
            losses=np.concatenate([losses[None], made.losses]),
            objectives=np.concatenate([np.where(np.isfinite(objectives), objectives, np.inf), made.objectives]),
            provenance=made.provenance,
        )

    def _seeds(self, name: str) -> dict[str, UpdateFunction]:
        others = [other for other in self._artifacts if re.fullmatch(rf"{name}_seed\d+", other)]
        gradients = self.dossiers[name].initial_update.gradients
        rules = {other: self._artifacts[other].optimizer for other in others}
        return {n: update_function(rule, np.asarray(rule.initial_state()), gradients) for n, rule in rules.items()}


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


def tasks_with_baselines(source: str | Path | None = None) -> tuple[str, ...]:
    """Return the paper's tasks for which there are all tuned baselines."""
    there = set(_artifact_names(source))
    return tuple(name for name in PAPER_TASKS if {f"{name}/{rule}" for rule in BASELINES} <= there)


def bounded_problems(task: AbstractTask, num_problems: int, *, at_most: int | None = None) -> int:
    """Return the number of test problems of a task: fewer where one takes long (`BOUNDS`)."""
    limits = [most for size, most in BOUNDS if task.cost > size]
    return min([num_problems, *limits] + ([] if at_most is None or not limits else [at_most]))


def _artifact_names(source: str | Path | None) -> list[str]:
    """Names of all artifacts, in the layout of the shipped ones."""
    if source is None:
        return list(artifacts.shipped())
    root = Path(source)
    paths = sorted([*root.glob("*.safetensors"), *root.glob("*/*.safetensors")])
    return [path.relative_to(root).with_suffix("").as_posix() for path in paths if path.with_suffix(".json").exists()]
