"""Where optimizers work away from home: other tasks, longer horizons, rescaled gradients, and what was predicted."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from optoscope import artifacts, tasks
from optoscope._core.checks import check_choice, check_count, check_number
from optoscope._core.compiled import compiled
from optoscope._core.fingerprint import fingerprint
from optoscope._core.progress import Announce, Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope._core.types import Array, Params, PRNGKeyArray, Scalar
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_rule
from optoscope.dynamics import Outcome, StabilityMap, stability_map
from optoscope.optimizers import AbstractOptimizer
from optoscope.robustness.curvatures import Curvatures, task_curvatures
from optoscope.running import choose_components
from optoscope.running.problems import SMALLEST_INITIAL_LOSS, Purpose, sample_problems
from optoscope.running.rollouts import Save, rollout_batch
from optoscope.tasks import AbstractTask, Problem

#: Factors that gradients are multiplied by.
SCALES = (0.01, 0.1, 1.0, 10.0, 100.0)
#: Iterations at which a run is read.
HORIZONS = (50, 100, 200, 500, 1000)
#: Components of each problem whose updates tell how a run ends.
_NUM_COMPONENTS = 32
#: The largest learned optimizers that are run if none is named.
MOST_UNITS = 64
#: A run whose late updates are smaller than this, relative to its largest ones, has come to rest.
_AT_REST = 1e-4
#: How many times the largest gradient of training counts as outside of its range.
_OUTSIDE = 2.0
#: Length of a path over its extent, beyond which it goes to and fro.
_TO_AND_FRO = 3.0
#: Size of late updates over that a tenth of the run before: below the one they shrink, above the other they grow.
_UNDIMINISHED, _GROWING = 0.8, 1.2


class ScaledTask(AbstractTask):
    """A task whose loss is multiplied by a number before the optimizer sees it.

    The optimizer is driven by `scale * g`: all gradients and all curvatures are rescaled. The loss that is reported is
    that of the task itself, as if the multiplied loss were divided by `scale` again, so that losses compare.

    Args:
        task: the task.
        scale: positive.
    """

    task: AbstractTask
    scale: Scalar

    def sample(self, key: PRNGKeyArray) -> Problem:
        return self.task.sample(key)

    def loss(self, problem: Any, params: Params, key: PRNGKeyArray) -> Float[Array, ""]:
        return self.task.loss(problem, params, key)

    def value_and_gradient(self, problem: Any, params: Params, key: PRNGKeyArray) -> tuple[Float[Array, ""], Params]:
        loss, gradient = self.task.value_and_gradient(problem, params, key)
        return loss, jax.tree.map(lambda g: self.scale * g, gradient)


@dataclasses.dataclass(frozen=True)
class Cell(Result):
    """One optimizer on one task at one scale of the gradient.

    Attributes:
        optimizer, task: names.
        scale: factor of the gradient.
        horizons: iterations at which the run was read.
        objectives: `mean(f_0 .. f_T) / f_0` at each horizon T; infinite where the run is not finite.
        final_losses: `f_T / f_0`.
        outcomes: an `Outcome` code for the end of each run: `DIES_OUT` if it has come to rest or still descends.
        first_gradient: largest `scale * |g|` at the start.
        provenance: who made it.
    """

    optimizer: str
    task: str
    scale: float
    horizons: list[int]
    objectives: Float[np.ndarray, "problem horizon"]
    final_losses: Float[np.ndarray, "problem horizon"]
    outcomes: Int[np.ndarray, " problem"]
    first_gradient: float
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How often a prediction for a cell agrees with what happened there.

    Attributes:
        predictor: what predicted: `stability` or `range of gradients`.
        sound_sound: cells predicted to be sound that are.
        sound_fails: predicted to be sound, but most runs diverge or circle.
        fails_sound: predicted to fail, but most runs settle.
        fails_fails: predicted to fail, and most runs do.
    """

    predictor: str
    sound_sound: int
    sound_fails: int
    fails_sound: int
    fails_fails: int

    @property
    def num_cells(self) -> int:
        """Cells with a prediction."""
        return self.sound_sound + self.sound_fails + self.fails_sound + self.fails_fails

    @property
    def accuracy(self) -> float:
        """Share of the cells in which the prediction was right; NaN without cells."""
        return (self.sound_sound + self.fails_fails) / self.num_cells if self.num_cells else float("nan")


@dataclasses.dataclass(frozen=True)
class GeneralizationMatrix(Result):
    """Each optimizer on each task, over scales of the gradient and horizons, beside what was predicted.

    Attributes:
        optimizers, tasks: names.
        references: for each task, the optimizer along whose runs its curvatures were taken.
        scales: factors of the gradient.
        horizons: iterations at which runs were read.
        means, medians: of the meta-objective over problems; infinite where a run (half of the runs) diverged.
        final_medians: median of `f_T / f_0`.
        above_start: share of runs that are not finite or above their initial loss at the horizon.
        diverged, circled: share of runs that end so.
        stable_fractions: share of the task's positive curvatures, times the scale, that lie in the optimizer's stable
            ranges; NaN for an optimizer without a map.
        stable_ends: share of the reference runs at whose end all of them do.
        run_agreement: share of the runs whose end, at rest or not, is what the curvatures at the end of the reference
            run on the same problem predict.
        range_ratios: largest gradient at the start over the largest one seen in runs on the optimizer's own task; NaN
            for optimizers that were not trained.
        provenance: who made it.
    """

    optimizers: list[str]
    tasks: list[str]
    references: list[str]
    scales: Float[np.ndarray, " scale"]
    horizons: Int[np.ndarray, " horizon"]
    means: Float[np.ndarray, "optimizer task scale horizon"]
    medians: Float[np.ndarray, "optimizer task scale horizon"]
    final_medians: Float[np.ndarray, "optimizer task scale horizon"]
    above_start: Float[np.ndarray, "optimizer task scale horizon"]
    diverged: Float[np.ndarray, "optimizer task scale"]
    circled: Float[np.ndarray, "optimizer task scale"]
    stable_fractions: Float[np.ndarray, "optimizer task scale"]
    stable_ends: Float[np.ndarray, "optimizer task scale"]
    run_agreement: Float[np.ndarray, "optimizer task scale"]
    range_ratios: Float[np.ndarray, "optimizer task scale"]
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return the cells, and how often what was predicted was found."""
        horizons = [f"after_{steps}_steps" for steps in self.horizons.tolist()]
        columns = ["task", "optimizer", "scale", *horizons, "diverged", "circled", "stable_fraction", "range_ratio"]
        rows = [
            [task, optimizer, scale, *self.medians[i, j, k], self.diverged[i, j, k], self.circled[i, j, k],
             self.stable_fractions[i, j, k], self.range_ratios[i, j, k]]
            for j, task in enumerate(self.tasks)
            for i, optimizer in enumerate(self.optimizers)
            for k, scale in enumerate(self.scales)
        ]  # fmt: skip
        fields = [field.name for field in dataclasses.fields(Agreement)] + ["accuracy"]
        found = [[getattr(one, field) for field in fields] for one in self.agreement()]
        return [
            Table("cells", columns, rows, title="Median meta-objective of each optimizer on each task, by scale"),
            Table("agreement", fields, found, title="Predicted, then found"),
        ]

    @property
    def fails(self) -> np.ndarray:
        """Cells in which at least half of the runs diverge or circle [optimizer, task, scale]."""
        return self.diverged + self.circled >= 0.5

    def agreement(
        self, *, optimizers: Sequence[str] | None = None, tasks: Sequence[str] | None = None
    ) -> list[Agreement]:
        """Count how the predictions agree with what happened.

        Stability predicts failure where fewer than half of the reference runs end at curvatures that are stable; the
        range of gradients where the first ones are more than twice the largest of training.

        Args:
            optimizers: count the cells of these only.
            tasks: count the cells of these only.

        Raises:
            ValueError: for an unknown optimizer or task.
        """
        rows = _indices("optimizer of this matrix", optimizers, self.optimizers)
        columns = _indices("task of this matrix", tasks, self.tasks)
        chosen = lambda array: array[np.ix_(rows, columns)]
        stable_ends, range_ratios = chosen(self.stable_ends), chosen(self.range_ratios)
        fails, found = chosen(self.fails), []
        for name, values, failing in (
            ("stability", stable_ends, stable_ends < 0.5),
            ("range of gradients", range_ratios, range_ratios > _OUTSIDE),
        ):
            known = np.isfinite(values)
            pairs = [(predicted, observed) for predicted in (False, True) for observed in (False, True)]
            found.append(Agreement(name, *(int((known & (failing == p) & (fails == o)).sum()) for p, o in pairs)))
        return found


def _indices(what: str, chosen: Sequence[str] | None, known: list[str]) -> list[int]:
    for name in chosen or ():
        check_choice(what, name, known)
    return [i for i, name in enumerate(known) if chosen is None or name in chosen]


def run_cell(
    optimizer: AbstractOptimizer,
    task: AbstractTask,
    *,
    name: str,
    scale: float,
    key: PRNGKeyArray,
    num_problems: int,
    horizons: Sequence[int] = HORIZONS,
) -> Cell:
    """Run an optimizer once to the longest horizon, with rescaled gradients, and read it at all of them.

    Args:
        optimizer: a component-wise rule.
        task: gives the test problems.
        name: what the optimizer is called.
        scale: factor of the gradient.
        key: draws the problems; the same ones for every optimizer and scale.
        num_problems: number of problems.
        horizons: iterations at which the run is read.

    Returns:
        Losses at the horizons, and how each run ends.
    """
    check_number("scale", scale, low=0, open_low=True, hint="1 leaves gradients as they are")
    check_count("num_problems", num_problems)
    steps = np.array(sorted(check_count("horizons", one, minimum=10) for one in horizons))
    problems, keys = sample_problems(task, Purpose.TEST.key(key), num_problems)
    chosen, *_ = choose_components(problems.initial_params, _NUM_COMPONENTS, key)
    save = Save(updates=True, gradients=True, components=jnp.asarray(chosen))
    run = _run(ScaledTask(task, jnp.float32(scale)), problems, keys, optimizer, save, int(steps[-1]))
    losses = np.asarray(run.losses, np.float64)
    initial = np.maximum(losses[:, :1], SMALLEST_INITIAL_LOSS)
    with np.errstate(over="ignore", invalid="ignore"):
        objectives = (np.cumsum(losses, 1) / np.arange(1, losses.shape[1] + 1) / initial)[:, steps]
        final = (losses / initial)[:, steps]
    return Cell(
        optimizer=name,
        task=tasks.name_of(task),
        scale=float(scale),
        horizons=steps.tolist(),
        objectives=np.where(np.isfinite(objectives), objectives, np.inf),
        final_losses=np.where(np.isfinite(final), final, np.inf),
        outcomes=np.array([end_of_run(f, np.asarray(dx, np.float64)) for f, dx in zip(losses, run.updates)]),
        first_gradient=float(np.abs(np.asarray(run.gradients[:, 0])).max()),
        provenance=provenance(num_problems=num_problems, key=np.asarray(jax.random.key_data(key)).tolist()),
    )


@compiled(eqx.filter_jit)
def _run(task, problems, keys, optimizer, save, num_steps):
    return rollout_batch(task, problems, optimizer, num_steps=num_steps, keys=keys, save=save)


def end_of_run(losses: Float[np.ndarray, " step"], updates: Float[np.ndarray, "update_step component"]) -> int:
    """Tell from its losses and updates how a run ends.

    It circles if, over the last tenth, the path of its components is three times as long as its extent while updates
    neither shrink nor are those of a run at rest. It diverges if it is not finite, grows, or ends above its start.
    Otherwise it settles (`Outcome.DIES_OUT`), or still descends.

    Args:
        losses: `f_0 .. f_T`.
        updates: `dx_0 .. dx_(T-1)` of some components.

    Returns:
        An `Outcome` code.
    """
    if not (np.isfinite(losses).all() and np.isfinite(updates).all()):
        return int(Outcome.DIVERGES)
    length = len(updates) // 10
    above = losses[-length:].mean() > losses[0]
    sizes = np.linalg.norm(updates, axis=1)
    now, once = (np.sqrt(np.mean(sizes[part] ** 2)) for part in (slice(-length, None), slice(-2 * length, -length)))
    path = np.cumsum(updates[-length:], axis=0)
    extent = np.sqrt((np.ptp(path, axis=0) ** 2).sum())
    to_and_fro = sizes[-length:].sum() > _TO_AND_FRO * extent
    if to_and_fro and now >= _UNDIMINISHED * once and now > _AT_REST * sizes.max():
        return int(Outcome.DIVERGES if above and now > _GROWING * once else Outcome.CIRCLES)
    return int(Outcome.DIVERGES if above else Outcome.DIES_OUT)


def affordable_problems(task: AbstractTask) -> int:
    """Return how many problems of a task a study of many runs takes: many where they are cheap."""
    return next(num for most, num in ((1000, 64), (10_000, 2), (np.inf, 1)) if task.cost <= most)


def generalize(
    optimizers: Mapping[str, AnyOptimizer],
    task_names: Sequence[str],
    *,
    key: PRNGKeyArray,
    directory: str | Path | None = None,
    homes: Mapping[str, str] | None = None,
    references: Mapping[str, str] | None = None,
    scales: Sequence[float] = SCALES,
    horizons: Sequence[int] = HORIZONS,
    num_problems: Mapping[str, int] | None = None,
    report: Report = silent,
    announce: Announce = silent,
) -> GeneralizationMatrix:
    """Run each optimizer on each task at each scale, and predict from its dynamics what should happen.

    Args:
        optimizers: by name, anything that `optoscope.as_optimizer` takes and that is component-wise.
        task_names: registered names, with settings if wanted.
        key: draws the problems.
        directory: where finished cells are kept; those of the same optimizer, task, settings and versions are not run
            again.
        homes: for trained optimizers, the task that they were trained on: it gives the range of gradients seen.
        references: for each task, the one of `optimizers` along whose runs its curvatures are taken: best one that
            works there; the first whose home it is, else the first if None.
        scales: factors of the gradient.
        horizons: iterations at which each run is read.
        num_problems: problems per cell by task; `affordable_problems` where there is none.
        report: called with what is being done, how much is done and how much there is.
        announce: called with sentences about kept cells that are damaged.

    Returns:
        The matrix.

    Raises:
        ValueError: for an unknown task, no optimizer, or a number out of range.
    """
    if not optimizers or not task_names:
        raise ValueError("`optimizers` and `task_names` must not be empty; `shipped_optimizers()` are those that ship.")
    optimizers = {name: as_rule(one) for name, one in optimizers.items()}
    homes = dict(homes or {})
    places = {name: tasks.get(name) for name in task_names}
    sizes = {name: (num_problems or {}).get(name) or affordable_problems(task) for name, task in places.items()}
    first = next(iter(optimizers))
    chosen = {t: (references or {}).get(t) or next((o for o in optimizers if homes.get(o) == t), first) for t in places}
    total, cells = len(optimizers) * len(places) * len(scales), {}
    for task_name, task in places.items():
        for name, optimizer in optimizers.items():
            for scale in scales:
                cells[name, task_name, scale] = _kept_cell(
                    directory, optimizer, task, announce, name=name, scale=scale, key=key,
                    num_problems=sizes[task_name], horizons=horizons,
                )  # fmt: skip
                report("cells", len(cells), total)
    maps = {name: _map_or_none(optimizer) for name, optimizer in optimizers.items()}
    met = {}
    for i, (task_name, task) in enumerate(places.items()):
        steps = min(1000, 8 * (max(horizons) // 8))
        met[task_name] = task_curvatures(
            task, optimizers[chosen[task_name]], key=key, num_problems=sizes[task_name], num_steps=steps
        )
        report("curvatures", i + 1, len(places))
    ranges = {
        name: _range_of_training(optimizers[name], tasks.get(home), key, sizes.get(home))
        for name, home in homes.items()
        if name in optimizers
    }
    return _assemble(list(optimizers), list(places), chosen, scales, cells, maps, met, ranges, sizes)


def shipped_optimizers(*, most_units: float = MOST_UNITS) -> tuple[dict[str, AbstractOptimizer], dict[str, str]]:
    """Return the optimizers that ship, by name, and for the trained ones the task that they were trained on.

    Args:
        most_units: learned optimizers with more are left out; one of the paper's size, 256 units, takes hours for a
            single cell on MNIST.
    """
    loaded = {name: artifacts.load(name) for name in artifacts.shipped()}
    loaded = {name: one for name, one in loaded.items() if getattr(one.optimizer, "num_units", 0) <= most_units}
    homes = {name: one.task for name, one in loaded.items() if isinstance(one, artifacts.TrainedOptimizer)}
    return {name: one.optimizer for name, one in loaded.items()}, homes


def _kept_cell(directory, optimizer, task, announce, **settings) -> Cell:
    """Read the cell of the same optimizer, task and settings, or run it and keep it."""
    if directory is None:
        return run_cell(optimizer, task, **settings)
    made = provenance()["versions"]
    identity = fingerprint(optimizer, task, settings, made, jax.default_backend())
    words = f"{settings['name']} on {tasks.name_of(task)} x {settings['scale']:g}"
    stem = "".join(c if c.isalnum() or c in "._-" else "-" for c in words)
    path = Path(directory) / f"{stem[:100]}-{identity[:16]}.npz"
    if path.exists():
        try:
            cell = Cell.load(path)
            if cell.provenance.get("identity") == identity:
                return cell
            announce(f"{path} holds another cell than its name says; it is run again")
        except ValueError as error:
            announce(f"{error} It is run again.")
    cell = run_cell(optimizer, task, **settings)
    cell = dataclasses.replace(cell, provenance={**cell.provenance, "identity": identity})
    cell.save(path)
    return cell


def _map_or_none(optimizer: AbstractOptimizer) -> StabilityMap | None:
    try:
        return stability_map(optimizer, [1.0])
    except ValueError:  # no resting point with a linearization: nothing is predicted
        return None


def _range_of_training(optimizer, task, key, num_problems):
    """The largest gradient that components meet in 200 steps at home, on other problems than those of the cells."""
    problems, keys = sample_problems(
        task, Purpose.TEST.key(jax.random.fold_in(key, 1)), num_problems or affordable_problems(task)
    )
    chosen, *_ = choose_components(problems.initial_params, _NUM_COMPONENTS, key)
    save = Save(updates=True, gradients=True, components=jnp.asarray(chosen))
    gradients = np.abs(
        np.asarray(_run(ScaledTask(task, jnp.float32(1)), problems, keys, optimizer, save, 200).gradients)
    )
    return float(gradients[np.isfinite(gradients)].max())


def _assemble(names, task_names, chosen, scales, cells, maps, met: dict[str, Curvatures], ranges, sizes):
    shape = (len(names), len(task_names), len(scales))

    def collect(function):
        return np.array([[[function(cells[o, t, s]) for s in scales] for t in task_names] for o in names])

    fractions, ends, agreed, ratios = np.full((4, *shape), np.nan)
    for i, o in enumerate(names):
        for j, t in enumerate(task_names):
            for k, s in enumerate(scales):
                if o in ranges:
                    ratios[i, j, k] = cells[o, t, s].first_gradient / ranges[o]
                if maps[o] is not None:
                    fractions[i, j, k], at_end = _stable_shares(maps[o], met[t], s)
                    known = np.isfinite(at_end)
                    rests = cells[o, t, s].outcomes == Outcome.DIES_OUT
                    if known.any():
                        ends[i, j, k] = at_end[known].mean()
                        agreed[i, j, k] = (rests[known] == at_end[known]).mean()
    with np.errstate(invalid="ignore"):
        means = collect(lambda cell: cell.objectives.mean(0))
    any_cell = next(iter(cells.values()))
    return GeneralizationMatrix(
        optimizers=names,
        tasks=task_names,
        references=[chosen[t] for t in task_names],
        scales=np.array(scales, np.float64),
        horizons=np.array(any_cell.horizons),
        means=means,
        medians=collect(lambda cell: np.median(cell.objectives, axis=0)),
        final_medians=collect(lambda cell: np.median(cell.final_losses, axis=0)),
        above_start=collect(lambda cell: (~(cell.final_losses <= 1)).mean(0)),
        diverged=collect(lambda cell: (cell.outcomes == Outcome.DIVERGES).mean()),
        circled=collect(lambda cell: (cell.outcomes == Outcome.CIRCLES).mean()),
        stable_fractions=fractions,
        stable_ends=ends,
        run_agreement=agreed,
        range_ratios=ratios,
        provenance=provenance(num_problems=sizes, ranges=ranges),
    )


def _stable_shares(
    prediction: StabilityMap, met: Curvatures, scale: float
) -> tuple[float, Float[np.ndarray, " problem"]]:
    """Share of positive curvatures that are stable, and for each run whether all at its end are (NaN if unknown)."""
    values = met.eigenvalues
    counted = np.isfinite(values) & (values > 0)
    stable = prediction.is_stable(scale * np.where(counted, values, np.nan))
    whole = np.isfinite(values[:, -1]).all(-1)
    at_end = np.where(whole, (stable | ~counted)[:, -1].all(-1), np.nan)
    return float(stable[counted].mean()) if counted.any() else np.nan, at_end
