"""Which mechanisms does an optimizer need on a task, and which are enough? Each removed, each alone, with controls."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from optoscope import artifacts
from optoscope._core.checks import check_choice, check_count, check_number
from optoscope._core.fingerprint import fingerprint
from optoscope._core.progress import Announce, Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.statistics import bootstrap_interval
from optoscope._core.tables import Table
from optoscope._core.types import PRNGKeyArray
from optoscope.anatomy import Dossier
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_rule
from optoscope.interventions.variants import MECHANISMS, Variant, make_variants
from optoscope.interventions.verdicts import Effect, decide
from optoscope.optimizers import AbstractOptimizer
from optoscope.running import Purpose, evaluate
from optoscope.running.evaluate import Evaluation
from optoscope.running.run_log import open_run
from optoscope.tasks import AbstractTask, name_of

#: A run that ends above this multiple of its initial loss, or diverges, counts as this.
CAP = 10.0
#: Relative change that a control which changes nothing may show: compilers order sums as they like.
_ROUNDING = 1e-5
#: How far the search for the best scale of updates may go, in octaves.
_OCTAVES = 10


@dataclasses.dataclass(frozen=True)
class Ablation(Result):
    """One optimizer on one task with mechanisms removed, alone, and beside controls, all on the same problems.

    Effects are means over problems of the difference, and of the log ratio, of meta-objectives to those of the
    reference; runs that diverge count as `cap`. They are given twice: with updates as they are, and with all updates
    of each variant multiplied by the factor that is best on tuning problems (`rescaled_...`), so that what is merely a
    smaller step is not taken for a missing mechanism. Verdicts rest on the latter.

    Attributes:
        task: the task's name.
        names: the variants; the first is the optimizer itself.
        mechanisms: what each is about; empty for the optimizer, baselines and general controls.
        kinds: `intact`, `removed`, `alone`, `together`, `control` or `baseline`.
        references: the variant with which each is compared.
        scales: best factor of each variant's updates.
        objectives: meta-objective of each run with updates as they are; infinite where it diverged.
        rescaled_objectives: the same with updates multiplied by `scales`.
        differences, rescaled_differences: mean differences to the reference.
        difference_intervals, rescaled_difference_intervals: their 95% bootstrap intervals.
        log_ratios, rescaled_log_ratios: mean log ratios to the reference.
        log_ratio_intervals, rescaled_log_ratio_intervals: their 95% bootstrap intervals.
        kept: share of the optimizer's advantage over the best baseline (mean log ratio) that the rescaled variant
            keeps; NaN without baselines.
        kept_intervals: 95% bootstrap intervals over problems.
        num_diverged: diverged runs of each rescaled variant.
        best_baseline: the tuned baseline that was best in its tuning; empty if none ships.
        verdicts: one entry per mechanism, then one per combination: `mechanism`, `needed`, `why_needed`, `sufficient`,
            `why_sufficient`; see `optoscope.interventions.verdicts.decide` for the rules.
        notes: numbers about variants, by name: modes removed, how well controls match, factors.
        identical: whether the controls that change nothing reproduced every objective, up to rounding.
        margin: the log of the smallest ratio that counts.
        cap: what a diverged run counts as.
        provenance: who made it.
    """

    task: str
    names: list[str]
    mechanisms: list[str]
    kinds: list[str]
    references: list[str]
    scales: Float[np.ndarray, " variant"]
    objectives: Float[np.ndarray, "variant problem"]
    rescaled_objectives: Float[np.ndarray, "variant problem"]
    differences: Float[np.ndarray, " variant"]
    difference_intervals: Float[np.ndarray, "variant bound"]
    log_ratios: Float[np.ndarray, " variant"]
    log_ratio_intervals: Float[np.ndarray, "variant bound"]
    rescaled_differences: Float[np.ndarray, " variant"]
    rescaled_difference_intervals: Float[np.ndarray, "variant bound"]
    rescaled_log_ratios: Float[np.ndarray, " variant"]
    rescaled_log_ratio_intervals: Float[np.ndarray, "variant bound"]
    kept: Float[np.ndarray, " variant"]
    kept_intervals: Float[np.ndarray, "variant bound"]
    num_diverged: Int[np.ndarray, " variant"]
    best_baseline: str
    verdicts: list[dict[str, Any]]
    notes: dict[str, dict[str, Any]]
    identical: bool
    margin: float
    cap: float
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return the variants, with ratios of meta-objectives to the intact optimizer's, and the verdicts."""
        columns = ["mechanism", "variant", "kind", "scale", "ratio", "ratio_at_that_scale", "interval", "kept",
                   "num_diverged"]  # fmt: skip
        ratios, rescaled, intervals = map(
            np.exp, (self.log_ratios, self.rescaled_log_ratios, self.rescaled_log_ratio_intervals)
        )
        rows = zip(
            (mechanism or kind for mechanism, kind in zip(self.mechanisms, self.kinds)), self.names, self.kinds,
            self.scales, ratios, rescaled, intervals.tolist(), self.kept, self.num_diverged,
        )  # fmt: skip
        title = (
            f"Meta-objective relative to the intact optimizer's on {self.objectives.shape[1]} problems of {self.task}; "
            f"kept: of the advantage over {self.best_baseline or 'a baseline'}"
        )
        verdicts = ["mechanism", "needed", "why_needed", "sufficient", "why_sufficient"]
        return [
            Table("variants", columns, [list(row) for row in rows], title=title),
            Table("verdicts", verdicts, [[entry[column] for column in verdicts] for entry in self.verdicts]),
        ]

    def verdict(self, mechanism: str) -> dict[str, Any]:
        """Return the entry of a mechanism or of a combination.

        Raises:
            ValueError: for an unknown name; the message lists the known ones.
        """
        found = {entry["mechanism"]: entry for entry in self.verdicts}
        check_choice("mechanism of this ablation", mechanism, found)
        return found[mechanism]

    def index(self, name: str) -> int:
        """Return the row of a variant.

        Raises:
            ValueError: for an unknown name; the message lists the known ones.
        """
        check_choice("variant of this ablation", name, self.names)
        return self.names.index(name)


def ablate(
    optimizer: AnyOptimizer,
    task: AbstractTask,
    *,
    key: PRNGKeyArray,
    num_problems: int = 64,
    num_steps: int = 200,
    mechanisms: Sequence[str] = MECHANISMS,
    num_controls: int = 5,
    num_tuning_problems: int | None = None,
    margin: float = 0.05,
    baselines: Mapping[str, AnyOptimizer] | None = None,
    directory: str | Path | None = None,
    resume: bool = False,
    report: Report = silent,
    announce: Announce = silent,
) -> Ablation:
    """Remove each mechanism of an optimizer, and try each alone, on the same test problems.

    Whatever is measured to make an intervention (states that runs visit, sizes of gradients, the best scale of
    updates) comes from tuning problems, which are not test problems.

    Args:
        optimizer: anything that `optoscope.as_optimizer` takes and that is component-wise.
        task: where problems come from.
        key: draws problems and controls.
        num_problems: test problems.
        num_steps: length of a run.
        mechanisms: which ones.
        num_controls: random draws beside the removal of modes.
        num_tuning_problems: problems on which states are visited and scales chosen; as many as test problems if None.
        margin: smallest relative change of the meta-objective that counts.
        baselines: optimizers beside it, the best first; those that ship for the task if None.
        directory: where each variant's scale and runs are logged as they come; nothing is written if None.
        resume: go on with the ablation in `directory`.
        report: called with what is being done, how much is done and how much there is.
        announce: called with sentences about what a directory holds that is damaged, or of other versions.

    Returns:
        Effects with intervals and verdicts; what could not be tried is in the verdicts, with the reason.

    Raises:
        ValueError: if a number is out of range, a mechanism unknown, every run of the optimizer diverges, or
            `directory` holds another ablation.
        FileExistsError: if `directory` holds an ablation and `resume` is false.
    """
    check_count("num_problems", num_problems, minimum=2, hint="the paper uses 64")
    check_count("num_controls", num_controls, minimum=0)
    check_number("margin", margin, low=0, open_low=True, hint="0.05 counts changes of 5% and more")
    for mechanism in mechanisms:
        check_choice("mechanism", mechanism, MECHANISMS)
    optimizer = as_rule(optimizer)
    num_tuning = (
        num_problems
        if num_tuning_problems is None
        else check_count("num_tuning_problems", num_tuning_problems, minimum=2)
    )
    beside = _shipped_baselines(task)
    if baselines is not None:
        beside = {name: as_rule(one) for name, one in baselines.items()}
    described = {"task": repr(task), "task_hash": fingerprint(task), "key": fingerprint(key), "num_steps": num_steps}
    described |= {"optimizers": {name: fingerprint(one) for name, one in {"optimizer": optimizer, **beside}.items()}}
    described |= {"num_problems": num_problems, "num_tuning_problems": num_tuning, "mechanisms": [*mechanisms]}
    described |= {"num_controls": num_controls, "num_devices": jax.local_device_count()}
    with open_run(None if directory is None else Path(directory), described, resume=resume, announce=announce) as log:
        return _ablate(
            log, optimizer, task, beside, key=key, num_problems=num_problems, num_tuning=num_tuning,
            num_steps=num_steps, mechanisms=mechanisms, num_controls=num_controls, margin=margin, report=report,
        )  # fmt: skip


def _ablate(
    log, optimizer, task, beside, *, key, num_problems, num_tuning, num_steps, mechanisms, num_controls, margin, report
) -> Ablation:
    draw_key, tune_key = jax.random.split(Purpose.TUNE.key(key))
    tuning = {"num_problems": num_tuning, "num_steps": num_steps, "key": tune_key}
    dossier = Dossier(optimizer, task, **tuning)
    variants, left_out = make_variants(dossier, mechanisms=tuple(mechanisms), num_controls=num_controls, key=draw_key)
    variants += [Variant(name, "", "baseline", one) for name, one in beside.items()]

    # Baselines are tuned already, and what changes nothing has the optimizer's own scale.
    fixed = {one.name for one in variants if one.kind == "baseline" or (one.kind == "control" and not one.control_of)}
    scales = np.ones(len(variants))
    for i, one in enumerate(variants):
        if one.name not in fixed:
            scales[i] = log.known_or(f"scale of {one.name}", lambda one=one: best_scale(one, task, **tuning))
        report("scaling", i + 1, len(variants))
    scales[[one.name in fixed and one.kind == "control" for one in variants]] = scales[0]

    def objectives(one: Variant, scale: float) -> list[float]:
        run = {"": one.rescaled(scale)}
        return evaluate(task, run, num_problems=num_problems, num_steps=num_steps, key=key).objectives[0].tolist()

    found = np.empty((len(variants), 2, num_problems))
    for i, one in enumerate(variants):
        for column, scale in enumerate((1.0, float(scales[i]))):
            name = f"objectives of {one.name}, updates times {scale!r}"
            found[i, column] = log.known_or(name, lambda one=one, scale=scale: objectives(one, scale))
        report("evaluating", i + 1, len(variants))
    made = provenance(
        optimizer=type(optimizer).__name__, task=repr(task), num_problems=num_problems, num_steps=num_steps,
        key=np.asarray(jax.random.key_data(key)).tolist(),
    )  # fmt: skip
    return _summarize(
        name_of(task), found, variants, left_out, scales, list(mechanisms), margin, next(iter(beside), ""), made
    )


def best_scale(variant: Variant, task: AbstractTask, *, key: PRNGKeyArray, num_problems: int, num_steps: int) -> float:
    """Find the factor of a variant's updates that is best on problems of a key: a walk in octaves, then a half.

    The score is the mean log of the meta-objective, with diverged runs capped. The walk goes down as long as runs end
    worse, on average, than they began. A scale at which every run is over the cap after a tenth of its steps, whatever
    the rest, is not run any further: losses are not negative.
    """

    @functools.cache
    def score(half_octaves: int) -> float:
        one = {"": variant.rescaled(2.0 ** (half_octaves / 2))}

        def at_least(steps: int):  # of the whole run, as far as its first steps tell
            objectives = evaluate(task, one, num_problems=num_problems, num_steps=steps, key=key).objectives
            return _log(objectives * (steps + 1) / (num_steps + 1))

        soon = at_least(max(1, num_steps // 10))
        return float((soon if (soon == np.log(CAP)).all() else at_least(num_steps)).mean())

    at = min((0, -2, 2), key=score)
    step = -2 if score(at) > 0 else int(2 * np.sign(at))
    while step and abs(at) < 2 * _OCTAVES and (score(at) > 0 or score(at + step) < score(at)):
        at += step
    return float(2.0 ** (min((at, at + 1, at - 1), key=score) / 2))


def _log(objectives):
    return np.log(np.clip(objectives, np.finfo(float).tiny, CAP))


def _shipped_baselines(task) -> dict[str, AbstractOptimizer]:
    """The tuned baselines of a task, the best in their tuning first; of the paper's settings where it has others."""
    prefix = f"{task.kind}/"
    found = {name.removeprefix(prefix): artifacts.load(name) for name in artifacts.shipped() if name.startswith(prefix)}
    tuned = {name: one for name, one in found.items() if isinstance(one, artifacts.TunedOptimizer)}
    return {f"tuned {name}": tuned[name].optimizer for name in sorted(tuned, key=lambda name: tuned[name].score)}


def _summarize(task, objectives, variants, left_out, scales, mechanisms, margin, best_baseline, made):
    names = [one.name for one in variants]
    arrays = {"scales": scales, "objectives": objectives[:, 0], "rescaled_objectives": objectives[:, 1]}
    for column, prefix in enumerate(("", "rescaled_")):
        arrays |= _effects(objectives[:, column], variants, names, prefix)
    num_diverged = (~np.isfinite(objectives[:, 1])).sum(1)
    logs = _log(objectives[:, 1])
    kept, intervals = np.full(len(names), np.nan), np.full((len(names), 2), np.nan)
    if best_baseline:
        kept, intervals = _kept(logs, logs[names.index(best_baseline)], logs[0])
    effects = [
        Effect(one.name, one.mechanism, one.kind, one.control_of, float(low), float(high), int(diverged))
        for one, (low, high), diverged in zip(variants, arrays["rescaled_log_ratio_intervals"], num_diverged)
    ]
    nothing = [i for i, one in enumerate(variants) if one.kind == "control" and not one.control_of]
    return Ablation(
        task=task,
        names=names,
        mechanisms=[one.mechanism for one in variants],
        kinds=[one.kind for one in variants],
        references=[one.reference for one in variants],
        **arrays,
        kept=kept,
        kept_intervals=intervals,
        num_diverged=num_diverged,
        best_baseline=best_baseline,
        verdicts=decide(effects, left_out, mechanisms=mechanisms, margin=float(np.log1p(margin))),
        notes={one.name: one.notes for one in variants if one.notes},
        identical=all(np.allclose(objectives[i, 0], objectives[0, 0], rtol=_ROUNDING, atol=0) for i in nothing),
        margin=float(np.log1p(margin)),
        cap=CAP,
        provenance=made,
    )


def _effects(objectives, variants, names, prefix):
    capped = Evaluation(names, "", np.zeros((*objectives.shape, 1)), np.minimum(objectives, CAP), {})
    found = [capped.compare(one.name, one.reference) for one in variants]
    return {
        f"{prefix}differences": np.array([one.difference for one in found]),
        f"{prefix}difference_intervals": np.array([one.difference_interval for one in found]),
        f"{prefix}log_ratios": np.array([one.log_ratio for one in found]),
        f"{prefix}log_ratio_intervals": np.array([one.log_ratio_interval for one in found]),
    }


def _kept(logs, baseline, intact):
    """Shares of the advantage over the baseline, with intervals over problems."""
    whole = baseline - intact
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = (baseline - logs).mean(1) / whole.mean()
    intervals = [
        bootstrap_interval(
            lambda rows, own=own: own[rows].mean(1) / whole[rows].mean(1), len(whole), num_resamples=10_000, batch=1000
        )
        for own in baseline - logs
    ]
    return shares, np.array(intervals)
