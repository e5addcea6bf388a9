"""From effects and their intervals to verdicts: needed or not, sufficient or not, by stated rules."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Effect:
    """What a variant costs: mean log ratio of its meta-objective to its reference's, over the same problems.

    Attributes:
        name, mechanism, kind, control_of: of the variant.
        low, high: 95% interval of the mean log ratio.
        num_diverged: runs that diverged.
    """

    name: str
    mechanism: str
    kind: str
    control_of: str
    low: float
    high: float
    num_diverged: int


def decide(
    effects: Sequence[Effect], left_out: Mapping[str, str], *, mechanisms: Sequence[str], margin: float
) -> list[dict[str, Any]]:
    """Judge each mechanism.

    With the margin `m` (the log of the smallest change that counts), an interval `[low, high]` of the mean log ratio:

    - a removal is *harmless* if `high < m`. It *hurts* if `low > m`, and if `low` also exceeds the `high` of every
      control beside it (random directions of equal variance, nothing removed). One that costs more than `m`, but no
      more than a control, says nothing about the mechanism and is *set aside*. Else it is *open*.
    - a mechanism is *needed* if every way of removing it that is not set aside hurts, and there is one; *not needed*
      if one is harmless, because then the optimizer does without it; else *undecided*.
    - it is *sufficient* if one way of having it alone has `high < m`; *not sufficient* if all have `low > m`; else
      *undecided*.

    Args:
        effects: of all variants.
        left_out: mechanisms that were not tried, and why; a reason that begins with `absent` is a verdict.
        mechanisms: which ones to decide on; combinations that were tried are looked at for sufficiency only.
        margin: the log of the smallest ratio that counts.

    Returns:
        One entry per mechanism or combination, with `needed`, `sufficient` and what decided.
    """
    decided = []
    for mechanism in mechanisms:
        if mechanism in left_out:
            verdict, _, why = left_out[mechanism].partition(": ")
            decided.append(_entry(mechanism, verdict, why, "", ""))
            continue
        own = [one for one in effects if one.mechanism == mechanism]
        needed, why = _needed([one for one in own if one.kind == "removed"], effects, margin)
        sufficient, enough = _sufficient([one for one in own if one.kind == "alone"], margin)
        decided.append(_entry(mechanism, needed, why, sufficient, enough))
    together = [one for one in effects if one.kind == "together"]
    for combination in dict.fromkeys(one.mechanism for one in together if one.mechanism not in mechanisms):
        found = _sufficient([one for one in together if one.mechanism == combination], margin)
        decided.append(_entry(combination, "", "", *found))
    return decided


def _entry(mechanism, needed, why_needed, sufficient, why_sufficient):
    return {
        "mechanism": mechanism,
        "needed": needed,
        "why_needed": why_needed,
        "sufficient": sufficient,
        "why_sufficient": why_sufficient,
    }


def _needed(removals, effects, margin):
    if not removals:
        return "undecided", "no removal was possible"
    states = {one: _harm(one, effects, margin) for one in removals}
    aside = [one for one in removals if states[one] == "set aside"]
    telling = [one for one in removals if one not in aside]
    note = "".join(f"; set aside: {one.name} ({_percent(one)}), a control costs as much" for one in aside)
    if not telling:
        return "undecided", note.removeprefix("; ")
    mildest = min(telling, key=lambda one: one.low + one.high)
    why = f"the mildest removal, {mildest.name}: {_percent(mildest)}{note}"
    harmless = [one for one in telling if states[one] == "harmless"]
    if harmless:
        best = min(harmless, key=lambda one: one.high)
        return "not needed", f"{best.name}: {_percent(best)}{note}"
    return "needed" if all(states[one] == "hurts" for one in telling) else "undecided", why


def _harm(one, effects, margin):
    if one.high < margin:
        return "harmless"
    if one.low <= margin:
        return "open"
    beside = [other.high for other in effects if other.kind == "control" and other.control_of in ("", one.name)]
    return "hurts" if one.low > max(beside, default=-np.inf) else "set aside"


def _sufficient(alone, margin):
    if not alone:
        return "", ""
    best = min(alone, key=lambda one: one.low + one.high)
    if best.high < margin:
        return "sufficient", f"{best.name}: {_percent(best)}"
    if all(one.low > margin for one in alone):
        return "not sufficient", f"the best of it alone, {best.name}: {_percent(best)}"
    return "undecided", f"{best.name}: {_percent(best)}"


def _percent(one):
    """The interval as a change of the meta-objective, in percent."""
    low, high = np.expm1([one.low, one.high]) * 100
    diverged = f", {one.num_diverged} runs diverge" if one.num_diverged else ""
    return f"{low:+.3g}% to {high:+.3g}%{diverged}"
