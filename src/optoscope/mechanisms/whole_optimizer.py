"""What is to be said of a whole optimizer beside its component: decay, scope, noise, accumulation, averages.

**Definition.** Of an optimizer whose components do not stand by themselves, `structure` measures what ties them
together, what happens to the parameters without gradients, and what is chance. Each verdict is one such fact. Its
`effect` is the share of the parameter that a step takes (decay), the largest exponent of what is not the component's
own gradient (scope), the noise's share of an update (noise), the gradients that make one step (accumulation), or 1
(averaging).

**When it misleads.** Where the parameters are read otherwise than by a decay, decay is undecided. A copy of the
parameter is seen, not what it is for: an average of iterates, a slow copy, or where the run began.
"""

from typing import Any

import numpy as np

from optoscope.anatomy import Dossier
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_whole
from optoscope.mechanisms._verdict import Judgement, Verdict, short
from optoscope.mechanisms.explanation.explain import Explanation
from optoscope.mechanisms.unexplained import changed
from optoscope.whole import UNIT_WORDS, Structure, structure

#: A decay is said in units of the learning rate if their ratio is a number of two digits at late steps, to this share.
_FOLLOWS = 0.01
#: Factor by which the learning rate of a component among others changes late if it has a schedule.
_SCHEDULE = np.exp(0.1)
#: Exponent of others' gradients from which on they are said to drive the gain, and whose those are.
_NORMALIZES = -0.3
#: Share of the updates' size that its own gradients make where nothing else moves a component.
_ALL = 0.99
_DRIVERS = {
    "row and column": "its row and its column",
    "matrix": "its matrix",
    "layer": "its tensor",
    "network": "the network",
}
_WHERE = {
    "norm of all gradients": "all gradients {} together at a norm of {}",
    "norm of a matrix's gradients": "the gradients of each matrix {} together at a norm of {}",
    "norm of a row's gradients": "the gradients of each row {} together at a norm of {}",
    "norm of a column's gradients": "the gradients of each column {} together at a norm of {}",
    "root mean square of all gradients": "all gradients {} together at a root mean square of {}",
    "root mean square of a matrix's gradients": "the gradients of each matrix {} together at a root mean square of {}",
}


def assess_whole(dossier: Dossier, explanation: Explanation) -> dict[str, Verdict]:
    """Assess what ties the components of an optimizer together; nothing where they stand by themselves."""
    if dossier.component.view == "own":
        return {}
    found = dossier.structure
    noise, period = float(found.rhythm["noise"]), int(found.rhythm["period"])
    component = dossier.component.optimizer
    keeps = getattr(component, "carries_parameter", False) or getattr(
        getattr(component, "rule", None), "carries_parameter", False
    )
    gathers = {"mean": ", with their mean", "last": ", with the last of them"}.get(found.rhythm["gathers"] or "", "")
    steps = f"one step for {period} gradients{gathers}"
    return {
        "decay": _decay(found, explanation),
        "scope": _scope(found),
        "noise": _verdict(
            "noise",
            noise > 0,
            noise,
            f"random numbers, which make {short(noise)} of its updates",
            "the same run with other random numbers",
        ),
        "accumulation": _verdict(
            "accumulation", period > 1, float(period), steps, "the steps at which parameters move"
        ),
        "averaging": _verdict(
            "averaging",
            keeps,
            float(keeps),
            "a copy of the parameter is kept (an average of iterates, a slow copy, or the start)",
            "its memory at other parameters",
        ),
    }


def differences_of_wholes(a: AnyOptimizer, b: AnyOptimizer, *, trust: bool = False) -> list[tuple[str, str, str]]:
    """Return what two whole optimizers do otherwise, beside their components: a name, and what each of them has."""
    one, two = (structure(as_whole(given, trust=trust)) for given in (a, b))
    found = []
    if one.decay["kind"] != two.decay["kind"] or not np.isclose(one.decay["size"], two.decay["size"], rtol=_FOLLOWS):
        found.append(("decay", one.decay["sentence"], two.decay["sentence"]))
    scopes = [_scope(each).summary or UNIT_WORDS[each.unit] for each in (one, two)]
    if scopes[0] != scopes[1]:
        found.append(("scope", *scopes))
    rhythms = [each.rhythm["sentence"] or "a step for each gradient" for each in (one, two)]
    if rhythms[0] != rhythms[1]:
        found.append(("accumulation", *rhythms))
    return found


def _verdict(name: str, present: bool, effect: float, summary: str, reason: str) -> Verdict:
    word: Judgement = "present" if present else "absent"
    return Verdict(
        mechanism=name,
        verdict=word,
        effect=effect,
        interval=[effect, effect],
        summary=summary if present else "",
        reason=f"measured: {reason}",
    )


def _undecided(name: str, effect: float, reason: str) -> Verdict:
    return Verdict(
        mechanism=name, verdict="undecided", effect=effect, interval=[effect, effect], summary="", reason=reason
    )


def _decay(found: Structure, explanation: Explanation) -> Verdict:
    kind, size = found.decay["kind"], float(found.decay["size"])
    if kind == "other":
        power = found.union["parameters"]
        reads = f"updates depend on the parameters, to the power {power:.2f}" if abs(power) > 0.5 else ""
        return _undecided("decay", 0.0, reads or "updates depend on the parameters, not as a decay makes them")
    words = str(found.decay["sentence"])
    if kind == "decoupled":
        words = f"decoupled weight decay{_in_learning_rates(found, explanation)}"
    return _verdict("decay", kind != "none", size, words, "the same gradients at other parameters")


def _in_learning_rates(found: Structure, explanation: Explanation) -> str:
    """The size of a decoupled decay, and in units of the learning rate where that is a plain number."""
    sizes, rates = np.asarray(found.decay["sizes"], float), _learning_rates(explanation)
    words = f": {found.decay['size']:.3g} of the parameter per step"
    follows = found.decay["follows_learning_rate"]
    if follows is not None:
        words += ", which follows the learning rate" if follows else ", whatever the learning rate is"
    if len(sizes) and np.ptp(sizes) > _FOLLOWS * sizes.max():
        words += f" ({abs(sizes[0]):.3g} in the first of {len(sizes)} steps)"
    num = min(len(sizes), len(rates))
    if _is_shared(found) and explanation.rule.law is None:  # the learning rate is not seen beside what others do
        return words
    if explanation.explained < 0.99 or num == 0 or min(sizes[:num].min(), rates.min()) <= 0:
        return words
    moves = np.ptp(sizes[num // 2 : num]) > _FOLLOWS * sizes[num - 1]
    ratios = sizes[num // 2 : num] / rates[num // 2 : num] if moves else sizes[num - 1 : num] / rates[-1:]
    ratio = float(f"{ratios[-1]:.2g}")
    if np.abs(ratios / ratio - 1).max() > _FOLLOWS:
        return words
    if moves:
        return f", {ratio:g} times the learning rate, which moves"
    return f", {ratio:g} times the learning rate of {rates[-1]:.3g}"


def _learning_rates(explanation: Explanation) -> np.ndarray:
    """The learning rate at each step: of the first gradient; behind a gain that adapts of a lasting one."""
    rule = explanation.rule
    rates = np.asarray(rule.after, float) * (rule.outer.slope if rule.outer.is_linear else 1.0)
    A, B, C, D = (np.asarray(part)[-1] for part in (rule.memory.A, rule.memory.B, rule.memory.C, rule.memory.D))
    forgets = np.abs(np.linalg.eigvals(A)).max(initial=0.0) < 1 - 1e-9
    if rule.law is None or not rule.outer.is_linear or not forgets:
        return rates
    return rates * float(D + C @ np.linalg.solve(np.eye(len(A)) - A, B))


def _scope(found: Structure) -> Verdict:
    clauses = []
    for one in found.thresholds:
        if one["norm"] in _WHERE:
            flat = abs(one["slope_above"]) < 0.02 + 0.1 * abs(one["slope_below"])
            clauses.append(_WHERE[one["norm"]].format("clipped" if flat else "bent", f"{one['value']:.3g}"))
    known = {"network": "all gradients", "layer": "matrix's gradients"}.get(found.unit)
    explained = known is not None and any(known in (one["norm"] or "") for one in found.thresholds)
    if found.unit != "component" and not explained:
        clauses.append(UNIT_WORDS[found.unit])
    reads = found.decay["kind"] == "other" and abs(found.union["parameters"]) > 0.5
    if found.unit == "component" and not clauses and reads:
        clauses.append(f"updates grow as the parameters to the power {found.union['parameters']:.2f}")
    others = ("row", "column", "rest", "others", "rest_parameters")
    effect = max(abs(found.union[name]) for name in others)
    return _verdict("scope", bool(clauses), effect, "; ".join(clauses), "updates with one thing doubled at a time")


def _falls(found: Structure) -> float:
    """Power of others' gradients with which updates fall most."""
    return min(found.union[name] for name in ("row", "column", "rest", "others"))


def _is_shared(found: Structure) -> bool:
    """Whether the gradients of others drive the gain, and no threshold is why."""
    return found.unit in _DRIVERS and not found.thresholds and _falls(found) <= _NORMALIZES


def adaptation_together(dossier: Dossier, adaptation: Any, explanation: Explanation) -> Any:
    """The verdict on a gain, where a component by itself shows none: the gradients of others may drive it."""
    if dossier.component.view == "own" or adaptation.verdict != "absent":
        return adaptation
    found = dossier.structure
    if not _is_shared(found):
        return adaptation
    falls = _falls(found)
    effect = float(abs(falls) * np.log(2))
    if explanation.driven < _ALL:  # others move it too: its update may fall because theirs are taken away from it
        return changed(adaptation, "undecided", "", "updates fall as the others' gradients grow, which also move it")
    return changed(
        adaptation,
        "present",
        f"a gain driven by all gradients of {_DRIVERS[found.unit]} together",
        f"updates fall as the others' gradients to the power {falls:.2f}",
        effect=effect,
        interval=[effect, effect],
        kind="shared",
    )


def doubt_schedule(dossier: Dossier, schedule: Verdict) -> Verdict:
    """Doubt a schedule of a component among others that is over soon: what they share has to settle, too."""
    rates = getattr(schedule, "learning_rates", None)
    if dossier.component.context is None or schedule.verdict != "present" or rates is None:
        return schedule
    late = np.abs(np.asarray(rates, float)[len(rates) // 2 :])
    if late.min(initial=np.inf) > 0 and late.max() / late.min() > _SCHEDULE:
        return schedule
    reason = (
        f"the learning rate changes by a factor of {short(float(np.exp(schedule.effect)))}, but only at first, where "
        "what components share settles"
    )
    return _undecided("schedule", schedule.effect, reason) if late.min(initial=0.0) > 0 else schedule
