"""Everything that the paper's figures show, computed in one place: figures only draw."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Complex, Float, Int

from optoscope import artifacts, tasks
from optoscope._choices import check_choice
from optoscope._provenance import provenance
from optoscope._results import Result
from optoscope._types import PRNGKeyArray
from optoscope.anatomy import (
    Anatomy,
    MetaTrainingModes,
    Visits,
    dissect,
    modes_through_meta_training,
    visit,
)
from optoscope.artifacts import TrainedOptimizer, TunedOptimizer
from optoscope.dynamics import Modes, UpdateFunction, update_function
from optoscope.optimizers import GradientDescent, Momentum, RMSProp, from_optax
from optoscope.tasks import (
    AbstractTask,
    LinearRegression,
    LinearRegressionProblem,
    Rosenbrock,
    TwoMoons,
    name_of,
)
from optoscope.tasks._images import AbstractImageTask
from optoscope.tasks._network import num_params_of
from optoscope.training.evaluate import Evaluation, evaluate
from optoscope.training.objective import Purpose, sample_problems
from optoscope.training.recipes import BASELINES

#: Worst-case optimal heavy ball for curvatures in [1e-3, 1]: learning rate and decay (Polyak, 1964; App. B).
OPTIMAL_MOMENTUM = (3.7585, 0.8811)

_Report = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a figure draws: parts of a `Study`, and the tasks without which it does not exist (any task if empty)."""

    parts: tuple[str, ...]
    tasks: tuple[str, ...] = ()


#: The figures of the paper that can be drawn, and what each needs.
FIGURES: dict[int, Needs] = {
    1: Needs(("evaluations", "information")),
    2: Needs(("known_updates",)),
    3: Needs(("anatomies",), ("rosenbrock",)),
    4: Needs(("anatomies",), ("rosenbrock",)),
    5: Needs(("anatomies", "tuned"), ("linear_regression",)),
    6: Needs(("anatomies", "tuned"), ("rosenbrock",)),
    8: Needs(("anatomies",)),
    10: Needs(("anatomies",)),
    11: Needs(("anatomies", "tuned")),
    12: Needs(("anatomies", "tuned")),
    14: Needs(("momentum_like", "tuned"), ("linear_regression",)),
    15: Needs(("meta_training", "tuned"), ("linear_regression",)),
    17: Needs(("evaluations",)),
    18: Needs(("tuned",), ("linear_regression",)),
    19: Needs(("tuned",), ("rosenbrock",)),
    20: Needs(("tuned",), ("two_moons",)),
    21: Needs(("tuned",), ("mnist",)),
}


@dataclasses.dataclass(frozen=True)
class ConditionNumbers(Result):
    """Condition numbers of random problems (bottom of Fig. 1a).

    Attributes:
        values: largest over smallest eigenvalue of each problem's Hessian.
        provenance: who made it.
    """

    values: Float[np.ndarray, " problem"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LossSurface(Result):
    """The loss over a plane, and where runs start (bottom of Fig. 1b).

    Attributes:
        x, y: the coordinates.
        losses: loss at each.
        starts: starts of random problems.
        provenance: who made it.
    """

    x: Float[np.ndarray, " x"]
    y: Float[np.ndarray, " y"]
    losses: Float[np.ndarray, "y x"]
    starts: Float[np.ndarray, "problem two"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LabeledPoints(Result):
    """A dataset in the plane (bottom of Fig. 1c).

    Attributes:
        points: coordinates.
        labels: -1 or 1.
        provenance: who made it.
    """

    points: Float[np.ndarray, "example 2"]
    labels: Float[np.ndarray, " example"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Architecture(Result):
    """The layers of a convolutional network (bottom of Fig. 1d).

    Attributes:
        shapes: height, width and channels of the input and of what each convolution puts out.
        num_classes: outputs of the dense layer.
        kernel_size: of every convolution.
        num_params: parameters in all.
        provenance: who made it.
    """

    shapes: Int[np.ndarray, "layer 3"]
    num_classes: int
    kernel_size: int
    num_params: int
    provenance: dict[str, Any]


#: What a task's problems look like.
Information = ConditionNumbers | LossSurface | LabeledPoints | Architecture


@dataclasses.dataclass(frozen=True)
class KnownUpdates:
    """Update functions of hand-designed rules at several of their states (Fig. 2).

    Attributes:
        gradient_descent, gradient_clipping: one curve, for they have no state.
        momentum: one curve per velocity.
        rmsprop: one curve per accumulated squared gradient.
    """

    gradient_descent: UpdateFunction
    gradient_clipping: UpdateFunction
    momentum: UpdateFunction
    rmsprop: UpdateFunction


@dataclasses.dataclass(frozen=True)
class SingleMode(Result):
    """The leading mode of an optimizer, running alone, beside the whole optimizer (App. B.1).

    Attributes:
        modes: indices of the mode, and of its conjugate if it is complex.
        decays, learning_rates: its numbers.
        updates: those of the whole optimizer on test problems.
        driven_updates: those of the mode alone, fed the gradients that the whole optimizer met.
        r_squared: share of the variance of `updates` explained by those of the mode alone, running by itself on the
            same problems; NaN if a run diverged.
        driven_r_squared: the same for `driven_updates`.
        evaluation: `momentum_like`, `single_mode` and tuned `momentum` on the same problems.
        provenance: who made it.
    """

    modes: Int[np.ndarray, " mode"]
    decays: Complex[np.ndarray, " mode"]
    learning_rates: Complex[np.ndarray, " mode"]
    updates: Float[np.ndarray, "trajectory step"]
    driven_updates: Float[np.ndarray, "trajectory step"]
    r_squared: float
    driven_r_squared: float
    evaluation: Evaluation
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Study:
    """All results behind the figures. Parts that were not asked for are empty.

    Attributes:
        tasks: names, in the order of the columns.
        trained: task -> learned optimizer.
        tuned: task -> rule -> tuned optimizer.
        evaluations: task -> `learned` and the baselines on the same test problems.
        anatomies: task -> the learned optimizer taken apart.
        information: task -> what its problems look like, where there is a picture of it.
        known_updates: hand-designed rules.
        momentum_like: the optimizer that recovers momentum (App. B).
        momentum_like_anatomy: the same, taken apart on linear regression.
        single_mode: its leading mode, running alone.
        meta_training: name of a learned optimizer -> its modes through meta-training.
        provenance: who made it.
    """

    tasks: tuple[str, ...]
    trained: dict[str, TrainedOptimizer]
    tuned: dict[str, dict[str, TunedOptimizer]]
    evaluations: dict[str, Evaluation]
    anatomies: dict[str, Anatomy]
    information: dict[str, Information]
    known_updates: KnownUpdates | None
    momentum_like: TrainedOptimizer | None
    momentum_like_anatomy: Anatomy | None
    single_mode: SingleMode | None
    meta_training: dict[str, MetaTrainingModes]
    provenance: dict[str, Any]


def figures_for(task_names: Collection[str]) -> list[int]:
    """Return the numbers of the figures that exist for some tasks.

    >>> 6 in figures_for(["linear_regression"])
    False
    """
    return [number for number, needs in FIGURES.items() if set(needs.tasks) <= set(task_names)]


def make_study(
    task_names: Sequence[str],
    *,
    key: PRNGKeyArray,
    num_problems: int = 64,
    source: str | Path | None = None,
    figures: Collection[int] | None = None,
    report: _Report | None = None,
) -> Study:
    """Load artifacts and compute everything that figures show.

    Args:
        task_names: names of tasks.
        key: draws test problems.
        num_problems: number of test problems; the paper uses 64.
        source: directory with artifacts in the layout of the shipped ones, which are used if None.
        figures: compute only what these figures need; all of them if None.
        report: called with what is being done, how much is done and how much there is.

    Returns:
        The results.

    Raises:
        ValueError: for an unknown task, or a figure that does not exist for these tasks.
        FileNotFoundError: if an artifact is missing.
    """
    for name in task_names:
        check_choice("task", name, tasks.TASKS)
    possible = figures_for(task_names)
    for number in figures or ():
        check_choice(f"figure for {', '.join(task_names)}", str(number), map(str, possible))
    wanted = possible if figures is None else list(figures)
    work = _plan(task_names, wanted)
    say = report or (lambda what, done, total: None)

    def load(name: str) -> Any:
        return artifacts.load(name if source is None else Path(source) / f"{name}.json")

    trained: dict[str, TrainedOptimizer] = {name: load(name) for name in task_names}
    tuned: dict[str, dict[str, TunedOptimizer]] = {
        name: {rule: load(f"{name}/{rule}") for rule in BASELINES} for name in task_names
    }
    recovered: TrainedOptimizer | None = None
    if {"momentum_like", "meta_training"} & {part for part, _ in work}:
        recovered = load("momentum_like")

    def dissect_one(one: TrainedOptimizer) -> Anatomy:
        task, untrained = tasks.get(one.task), one.snapshot(0)
        return dissect(one.optimizer, task, key=key, untrained=untrained, num_problems=num_problems)

    found: dict[tuple[str, str], Any] = {}
    for done, (part, name) in enumerate(work):
        say(f"{part} {name}".replace("_", " ").strip(), done, len(work))
        if part == "evaluations":
            rules = {"learned": trained[name].optimizer} | {rule: one.optimizer for rule, one in tuned[name].items()}
            found[part, name] = evaluate(tasks.get(name), rules, num_problems=num_problems, key=key)
        elif part == "anatomies":
            found[part, name] = dissect_one(trained[name])
        elif part == "information":
            found[part, name] = describe_problems(tasks.get(name), key=key)
        elif part == "known_updates":
            found[part, name] = known_updates()
        elif part == "meta_training" and recovered:
            found[part, name] = {"momentum_like": modes_through_meta_training(recovered)}
        elif part == "momentum_like" and recovered:
            anatomy, momentum = dissect_one(recovered), tuned[recovered.task]["momentum"]
            single_mode = run_single_mode(recovered, anatomy, momentum, key=key, num_problems=num_problems)
            found[part, name] = (anatomy, single_mode)
    say("study", len(work), len(work))

    def of_tasks(part: str) -> dict[str, Any]:
        return {name: found[part, name] for name in task_names if found.get((part, name)) is not None}

    anatomy, single_mode = found.get(("momentum_like", ""), (None, None))
    return Study(
        tasks=tuple(task_names),
        trained=trained,
        tuned=tuned,
        evaluations=of_tasks("evaluations"),
        anatomies=of_tasks("anatomies"),
        information=of_tasks("information"),
        known_updates=found.get(("known_updates", "")),
        momentum_like=recovered,
        momentum_like_anatomy=anatomy,
        single_mode=single_mode,
        meta_training=found.get(("meta_training", ""), {}),
        provenance=provenance(tasks=list(task_names), num_problems=num_problems, source=str(source or "shipped")),
    )


def _plan(task_names: Sequence[str], wanted: Collection[int]) -> list[tuple[str, str]]:
    """The parts to compute, each once: (part, task), with no task where a part has none."""
    alone = ("known_updates", "momentum_like", "meta_training")
    work: dict[tuple[str, str], None] = {}
    for number in wanted:
        for part in FIGURES[number].parts:
            if part != "tuned":
                names = ("",) if part in alone else FIGURES[number].tasks or task_names
                work |= dict.fromkeys((part, name) for name in names)
    return list(work)


def describe_problems(task: AbstractTask, *, key: PRNGKeyArray, num_problems: int = 4096) -> Information | None:
    """Return what a task's problems look like; None for a task that has no such picture."""
    made_by = provenance(task=name_of(task), num_problems=num_problems)
    if isinstance(task, TwoMoons):
        return LabeledPoints(np.asarray(task.inputs), np.asarray(task.signs), made_by)
    if isinstance(task, AbstractImageTask):
        *shapes, (num_classes,) = task.layer_shapes()
        num_params = num_params_of(jax.eval_shape(task.sample, key).initial_params)
        return Architecture(np.array(shapes), num_classes, task.kernel_size, num_params, made_by)
    problems, keys = sample_problems(task, Purpose.TEST.key(key), num_problems)
    if isinstance(task, LinearRegression):
        assert isinstance(problems, LinearRegressionProblem)
        roots = np.linalg.svd(np.asarray(problems.matrix, np.float64), compute_uv=False)
        return ConditionNumbers((roots[:, 0] / roots[:, -1]) ** 2, made_by)
    if isinstance(task, Rosenbrock):
        x, y = np.linspace(-2.5, 2.5, 201), np.linspace(-1.5, 3.5, 201)
        plane = jnp.stack(jnp.meshgrid(x, y), axis=-1)
        first = jax.tree.map(lambda leaf: leaf[0], problems)
        losses = np.asarray(jax.vmap(jax.vmap(lambda at: task.loss(first, at, keys[0])))(plane), np.float64)
        starts = np.asarray(problems.initial_params, np.float64)
        return LossSurface(x, y, losses, starts, made_by)
    return None


def known_updates() -> KnownUpdates:
    """Compute the update functions of hand-designed rules, with the learning rate of the paper's Fig. 2.

    >>> known_updates().momentum.updates.shape
    (5, 121)
    """
    gradients = np.linspace(-1.5, 1.5, 121)
    clipping = from_optax(optax.chain(optax.clip(0.75), optax.sgd(0.01)))
    velocities = np.linspace(-1.0, 1.0, 5)[:, None]
    squares = np.array([0.05, 0.2, 0.5, 1.0, 2.0])[:, None]
    return KnownUpdates(
        gradient_descent=update_function(GradientDescent(0.01), np.zeros(0), gradients),
        gradient_clipping=update_function(clipping, np.asarray(clipping.initial_state()), gradients),
        momentum=update_function(Momentum(0.01, 0.9), velocities, gradients),
        rmsprop=update_function(RMSProp(0.01, 0.9), squares, gradients),
    )


def run_single_mode(
    trained: TrainedOptimizer,
    anatomy: Anatomy,
    tuned_momentum: TunedOptimizer,
    *,
    key: PRNGKeyArray,
    num_problems: int = 64,
) -> SingleMode:
    """Run the leading mode of an optimizer alone: does it do what the whole optimizer does?

    Args:
        trained: the whole optimizer.
        anatomy: its anatomy, made with the same key and number of problems.
        tuned_momentum: to compare with.
        key: draws the test problems.
        num_problems: number of test problems.
    """
    task = tasks.get(trained.task)
    chosen = _with_conjugate(anatomy.modes)
    single = anatomy.modes.as_optimizer(chosen)
    rules = {"momentum_like": trained.optimizer, "single_mode": single, "momentum": tuned_momentum.optimizer}
    num_steps = anatomy.visits.updates.shape[1]
    alone = visit(single, task, key=key, num_problems=num_problems, num_steps=num_steps)
    driven = _drive(anatomy.modes, chosen, anatomy.visits)
    updates = anatomy.visits.updates.astype(np.float64)
    return SingleMode(
        modes=chosen,
        decays=anatomy.modes.decays[chosen],
        learning_rates=anatomy.modes.learning_rates[chosen],
        updates=updates,
        driven_updates=driven,
        r_squared=_r_squared(updates, alone.updates) if alone.updates.shape == updates.shape else float("nan"),
        driven_r_squared=_r_squared(updates, driven),
        evaluation=evaluate(task, rules, num_problems=num_problems, num_steps=num_steps, key=key),
        provenance=provenance(task=trained.task, num_problems=num_problems),
    )


def _with_conjugate(modes: Modes) -> np.ndarray:
    leading = modes.decays[0]
    if not leading.imag:
        return np.array([0])
    return np.array([0, 1 + int(np.argmin(np.abs(modes.decays[1:] - leading.conj())))])


def _drive(modes: Modes, chosen: np.ndarray, visits: Visits) -> np.ndarray:
    """Updates of some modes under given gradients: `dx_k = -Re sum_j,i alpha_j beta_j^i g_(k-i)` (App. C, eq. 6)."""
    from scipy.signal import lfilter

    gradients, updates = visits.gradients.astype(np.complex128), np.zeros(visits.gradients.shape)
    for j in chosen:
        updates -= np.real(lfilter([modes.learning_rates[j]], [1, -modes.decays[j]], gradients, axis=1))
    return updates


def _r_squared(target: np.ndarray, prediction: np.ndarray) -> float:
    target = target.astype(np.float64)
    return float(1 - ((target - prediction) ** 2).sum() / ((target - target.mean()) ** 2).sum())
