"""All mechanisms of one optimizer, from one call."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.checks import check_count
from optoscope._core.files import write_json
from optoscope._core.provenance import provenance
from optoscope._core.shown import Shown
from optoscope._core.tables import Table
from optoscope._core.types import PRNGKeyArray
from optoscope.anatomy import Dossier
from optoscope.artifacts.as_optimizer import AnyOptimizer
from optoscope.mechanisms._verdict import Verdict
from optoscope.mechanisms.adaptation import assess_adaptation
from optoscope.mechanisms.clipping import assess_clipping
from optoscope.mechanisms.explanation.explain import Explanation, explain
from optoscope.mechanisms.grouping import assess_grouping
from optoscope.mechanisms.momentum import assess_momentum
from optoscope.mechanisms.reconcile import reconcile
from optoscope.mechanisms.schedule import assess_schedule
from optoscope.mechanisms.settled import after_its_context
from optoscope.mechanisms.undisturbed import FAILS, Undisturbed, fails_at_zero
from optoscope.mechanisms.whole_optimizer import adaptation_together, assess_whole, doubt_schedule
from optoscope.optimizers import AbstractOptimizer, GRUOptimizer
from optoscope.tasks import AbstractTask

#: Mechanisms of whole optimizers that are not named where they are absent.
QUIET = ("scope", "noise", "accumulation", "averaging")
#: Summary of an optimizer whose update never changes.
IDLE = "it does nothing: its update is the same whatever the gradients are"


@dataclasses.dataclass(frozen=True)
class MechanismReport(Shown):
    """What an optimizer is made of.

    Attributes:
        optimizer: its name.
        task: name of the task; None without one.
        view: how one component of it was looked at: "own" where it stands by itself, "context" among others,
            "spectral" as a singular value among others.
        summary: the mechanisms in plain words, and what could not be decided.
        verdicts: by mechanism: momentum, clipping, schedule, adaptation, grouping; of a whole optimizer decay, scope,
            noise, accumulation and averaging as well.
        explanation: a rule put together from these, that runs, and the share of the updates that it gives.
        warnings: what comes first in the summary: modes that grow, steps uphill, what is not explained.
        remarks: what comes last: maps of other shapes, what moves with the step, the share that is explained.
        gradients: the smallest and the largest magnitude of the gradients used.
        gradients_origin: where this range comes from.
        provenance: who made it.
        dossier: what else is known of the optimizer; no part of what is printed or saved.
    """

    optimizer: str
    task: str | None
    view: str
    summary: str
    verdicts: dict[str, Verdict]
    explanation: Explanation
    warnings: list[str]
    remarks: list[str]
    gradients: list[float]
    gradients_origin: str
    provenance: dict[str, Any]
    dossier: Dossier = dataclasses.field(repr=False, compare=False)

    @property
    def explained(self) -> float:
        """Share of the optimizer's updates that the explanation gives."""
        return self.explanation.explained

    def tables(self) -> list[Table]:
        """Return the verdicts, one row each."""
        columns = ["mechanism", "verdict", "effect", "interval", "untrained_effect", "reason"]
        rows = [[getattr(verdict, column) for column in columns] for verdict in self.verdicts.values()]
        return [Table("verdicts", columns, rows, title="Mechanisms")]

    def explore(self) -> Any:
        """Return a page on which the optimizer can be touched: an `optoscope.explorer.Explorer`."""
        # The explorer lies above the mechanisms, so it is asked of the package, not imported.
        return sys.modules[__name__.partition(".")[0]].explore(self)

    def save(self, directory: str | Path) -> Path:
        """Write `diagnosis.json`, and each verdict with its evidence as `MECHANISM.npz`, into a directory."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for name, verdict in self.verdicts.items():
            verdict.save(directory / f"{name}.npz")
        path = directory / "diagnosis.json"
        write_json(path, self.to_json())
        return path


def diagnose(
    optimizer: AnyOptimizer,
    *,
    task: AbstractTask | None = None,
    key: PRNGKeyArray | None = None,
    gradients: float | int | tuple[float, float] | list[float] | None = None,
    untrained: AbstractOptimizer | None = None,
    num_steps: int = 200,
    name: str | None = None,
) -> MechanismReport:
    """Find out which mechanisms an optimizer has, how strong they are, and with which numbers.

    Args:
        optimizer: anything that `optoscope.as_optimizer` takes; an artifact brings its network before meta-training
            with it. Of one whose components do not stand by themselves, one component is looked at among others, or a
            singular value, as `find_component` has it, and what ties components together is said beside it.
        task: where it runs, if components stand by themselves; without one nothing is said about gradients that
            really occur.
        key: draws the test problems; key 0 if None.
        gradients: the largest magnitude of gradients, or the smallest and the largest. If None that of the task;
            without a task all magnitudes from 1e-8 to 1e8, or for a network those around where it begins to saturate.
        untrained: the same network before meta-training: what it has too is not learned.
        num_steps: length of every run.
        name: what to call the optimizer.

    Returns:
        The verdicts, a summary in plain words, and the range of gradients that was used.

    Raises:
        ValueError: if an argument does not fit, no component can be taken out, or every run diverged.

    >>> from optoscope.optimizers import Momentum
    >>> diagnose(Momentum(learning_rate=0.1, decay=0.9)).summary
    'momentum with timescale 0.90; no clipping; no schedule; no adaptation; explains more than 99.9% of its updates'
    """
    check_count("num_steps", num_steps, minimum=10, hint="the paper uses 200")
    key = jax.random.key(0) if key is None and task is not None else key
    dossier = Dossier(
        optimizer, task, key=key, gradients=gradients, untrained=untrained, num_steps=num_steps, name=name
    )
    report = assess(dossier)
    return report if dossier.untrained is None else _beside(report, dossier.untrained, num_steps)


def assess(dossier: Dossier) -> MechanismReport:
    """Assess all mechanisms from what a dossier knows.

    A component among others that no rule explains from the first step on is looked at again after a run of its context.
    """
    report = _assess(dossier)
    if report.explanation.behavior is None or dossier.component.context is None:
        return report
    later = _assess(after_its_context(dossier))
    return later if later.explanation.behavior is None else report


# Rates such as 1e-300 vanish or overflow somewhere; what is not finite is judged as such, and not warned of.
@np.errstate(all="ignore")
def _assess(dossier: Dossier) -> MechanismReport:
    fails = fails_at_zero(dossier)
    if fails:
        dossier = dossier.of(Undisturbed(dossier.optimizer))
    adaptation = assess_adaptation(dossier)
    schedule = assess_schedule(dossier, adaptation)
    verdicts: dict[str, Verdict] = {
        "momentum": assess_momentum(dossier),
        "clipping": assess_clipping(dossier, adaptation),
        "schedule": schedule,
        "adaptation": adaptation,
        "grouping": assess_grouping(dossier),
    }
    explanation = explain(
        dossier.probe,
        low=dossier.range.low,
        high=dossier.range.high,
        num_steps=dossier.num_steps,
        adapts=adaptation.kind == "squared gradient",
    )
    rates = np.asarray(schedule.learning_rates)
    draws = dossier.component.view != "own" and float(dossier.structure.rhythm["noise"]) > 0
    found = reconcile(verdicts, explanation, rates, draws=draws)
    verdicts = {
        **found.verdicts,
        "schedule": doubt_schedule(dossier, found.verdicts["schedule"]),
        "adaptation": adaptation_together(dossier, found.verdicts["adaptation"], explanation),
        **assess_whole(dossier, explanation),
    }
    said = dossier.component.sentence
    remarks = [*found.remarks, said] if said else found.remarks
    warnings = [FAILS, *found.warnings] if fails else found.warnings
    return MechanismReport(
        optimizer=dossier.name,
        task=dossier.task_name or None,
        view=dossier.component.view,
        summary=_summary(verdicts, explanation, warnings, remarks),
        verdicts=verdicts,
        explanation=explanation,
        warnings=warnings,
        remarks=remarks,
        gradients=[dossier.range.low, dossier.range.high],
        gradients_origin=dossier.range.origin,
        provenance=provenance(num_steps=dossier.num_steps),
        dossier=dossier,
    )


def _beside(report: MechanismReport, untrained: AbstractOptimizer, num_steps: int) -> MechanismReport:
    """Add what the untrained network has; momentum that it has as well is not known to be learned."""
    network = with_readout(untrained)
    control = assess(Dossier(network, gradients=report.gradients, num_steps=num_steps))
    verdicts = {}
    for name, verdict in report.verdicts.items():
        if name != "grouping":
            effect = control.verdicts[name].effect
            verdict = dataclasses.replace(verdict, untrained_effect=effect)
            if name == "momentum" and verdict.verdict == "present" and effect >= verdict.effect:
                reason = (
                    f"{verdict.reason}; before meta-training it was {effect:.1%}, so nothing says that it is learned"
                )
                verdict = dataclasses.replace(verdict, verdict="undecided", summary="", reason=reason)
        verdicts[name] = verdict
    summary = _summary(verdicts, report.explanation, report.warnings, report.remarks)
    return dataclasses.replace(report, verdicts=verdicts, summary=summary)


def with_readout(untrained: AbstractOptimizer) -> AbstractOptimizer:
    """Return an untrained network that does something: with random readout weights where they are all 0."""
    if not isinstance(untrained, GRUOptimizer) or np.any(np.asarray(untrained.readout_weights)):
        return untrained
    weights = np.random.default_rng(0).standard_normal(untrained.num_units) / np.sqrt(untrained.num_units)
    return eqx.tree_at(
        lambda network: network.readout_weights, untrained, jnp.asarray(weights, untrained.readout_weights.dtype)
    )


def _summary(verdicts, explanation, warnings, remarks):
    if not explanation.responds:
        later = verdicts["schedule"].later_step
        return IDLE if later is None else f"{IDLE} in the first {explanation.num_steps} steps; by step {later} it moves"
    clauses = list(warnings)
    for name, verdict in verdicts.items():
        if verdict.verdict == "present":
            clauses.append(verdict.summary)
        elif (name == "grouping" and verdict.verdict == "undecided") or (name in QUIET and verdict.verdict == "absent"):
            continue
        else:
            clauses.append(f"no {name}" if verdict.verdict == "absent" else f"{name} undecided ({verdict.reason})")
    return "; ".join([*clauses, *remarks])
