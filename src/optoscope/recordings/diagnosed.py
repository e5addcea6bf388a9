"""Each mechanism of a diagnosis at work on a run: an optimizer's explanation, and the same without one of its parts."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope.artifacts.as_optimizer import as_whole, name_of_optimizer
from optoscope.mechanisms import MechanismReport, diagnose
from optoscope.mechanisms.explanation.explain import EXPLAINED
from optoscope.mechanisms.explanation.memory import no_memory
from optoscope.mechanisms.explanation.rule import ExplainedOptimizer
from optoscope.mechanisms.explanation.shapes import StaticMap
from optoscope.recordings.findings import Finding
from optoscope.recordings.identify import Stretch
from optoscope.recordings.mechanisms import Mechanism
from optoscope.recordings.reading import Recording


def mechanisms_of(
    recording: Recording, optimizer: Any, *, trust: bool = False
) -> tuple[list[Mechanism], list[Finding]]:
    """Diagnose an optimizer, and say what each mechanism that it has did on a run.

    The rule that explains the optimizer runs on the recorded gradients, whole and with one part taken out. Without a
    memory or a gain the rate is such that updates are as large on average.

    Args:
        recording: the run; its stretch must begin with it.
        optimizer: whatever `as_optimizer` takes.
        trust: as in `as_optimizer`.

    Returns:
        The mechanisms, and how far the explanation is what was run.

    Raises:
        ValueError: if the stretch does not begin with the run, or no component of the optimizer can be taken out.
    """
    data, name = Stretch(recording), name_of_optimizer(optimizer) or "the optimizer"
    report = diagnose(as_whole(optimizer, trust=trust), name=name)
    if report.explained < EXPLAINED:
        says = (
            f"no rule of known parts explains {name} (the best one gives {report.explained:.0%} of its updates), so "
            "nothing is said of its mechanisms on this run"
        )
        return [], [Finding("not explained", "note", says, report.explained)]
    rule = report.explanation.rule
    gradients = data.gradients.T
    pull = report.verdicts["decay"].effect if _decays(report) else 0.0
    made, recorded = rule.run(gradients).T - pull * data.x, data.updates
    left = float(np.sum((made - recorded) ** 2) / max(np.sum(recorded**2), 1e-300))
    says = f"the rule that explains {name} gives {max(0.0, 1 - left):.1%} of this run's squared updates"
    own = made.sum(0)

    def found(mechanism: str, other: Float[np.ndarray, "step component"], *, as_large: bool = False) -> Mechanism:
        size = np.linalg.norm(made) / max(float(np.linalg.norm(other)), 1e-300) if as_large else 1.0
        way = size * other.sum(0)
        lengths = np.linalg.norm(own), np.linalg.norm(way)
        turned = float(own @ way / (lengths[0] * lengths[1])) if all(lengths) else float("nan")
        share = float(np.linalg.norm(made - size * other) / max(float(np.linalg.norm(made)), 1e-300))
        words = f"{report.verdicts[mechanism].summary}: without it, updates change by {share:.0%} of their size"
        return Mechanism(mechanism, words, share, float(lengths[1] / max(lengths[0], 1e-300)), turned)

    mechanisms = []
    for mechanism, (other, as_large) in _without(rule).items():
        if mechanism in report.verdicts and report.verdicts[mechanism].verdict == "present":
            mechanisms.append(found(mechanism, other.run(gradients).T - pull * data.x, as_large=as_large))
    if pull:
        mechanisms.append(found("decay", made + pull * data.x))
    return mechanisms, [Finding("explained", "note", says, 1 - left, "updates")]


def _decays(report: MechanismReport) -> bool:
    decay = report.verdicts.get("decay")
    return decay is not None and decay.verdict == "present" and "decoupled" in decay.summary


def _without(rule: ExplainedOptimizer) -> dict[str, tuple[ExplainedOptimizer, bool]]:
    """The rule without each of its parts, and whether updates are to be made as large as with it."""
    flat = lambda curve: np.full_like(curve, curve.mean())
    others = {}
    if rule.memory.order:
        others["momentum"] = dataclasses.replace(rule, memory=no_memory(), before=np.ones_like(rule.before)), True
    if not (rule.inner.is_linear and rule.outer.is_linear):
        maps = {"inner": _tangent(rule.inner), "outer": _tangent(rule.outer)}
        others["clipping"] = dataclasses.replace(rule, **maps), not (rule.inner.has_tangent and rule.outer.has_tangent)
    if np.ptp(rule.after) or np.ptp(rule.before):
        curves = {"after": flat(rule.after), "before": flat(rule.before)}
        others["schedule"] = dataclasses.replace(rule, **curves), False
    if rule.law is not None:
        others["adaptation"] = dataclasses.replace(rule, law=None), True
    return others


def _tangent(found: StaticMap) -> StaticMap:
    """The proportion that a map is for small gradients; where it has no tangent, any proportion."""
    slope = found.slope if found.name != "table" else float(found.above[0])
    return dataclasses.replace(found, name="linear", slope=slope)
