"""What may be said of an optimizer that no rule of known parts explains: what was observed without a rule."""

import dataclasses
from typing import Any

import numpy as np

from optoscope.dynamics.onset import DEPARTURE
from optoscope.mechanisms._verdict import Verdict
from optoscope.mechanisms.explanation.behavior import Behavior

#: Relative difference that rounding makes.
_ROUNDING = 1e-9


def keep_confirmed(
    verdicts: dict[str, Verdict], behavior: Behavior, *, delay: int = 0
) -> tuple[dict[str, Verdict], list[str]]:
    """Keep the verdicts that observations confirm; the others become undecided.

    Args:
        verdicts: each by itself.
        behavior: what was observed.
        delay: steps between a gradient and the first update that it changes.

    Returns:
        The verdicts, and what else was observed, in words.
    """
    momentum, clipping, schedule, adaptation = (
        verdicts[name] for name in ("momentum", "clipping", "schedule", "adaptation")
    )
    judged = {
        **verdicts,
        "momentum": _late(momentum, delay) if delay else _momentum(momentum, behavior, adaptation),
        "schedule": _confirmed(schedule, present=behavior.varies, absent=behavior.timeless),
        "adaptation": _confirmed(_adaptation(adaptation, behavior), present=behavior.adapts, absent=behavior.steady),
        "clipping": _clipping(clipping, behavior),
    }
    remarks = []
    if behavior.loses_nothing:
        remarks.append("error feedback: gradients too small for an update add up until they make one")
    return judged, remarks


def changed(verdict: Any, word: str, summary: str, reason: str, **fields: Any) -> Any:
    """Return a verdict with another word, and the reason for it."""
    return dataclasses.replace(verdict, verdict=word, summary=summary, reason=reason, **fields)


def only_sign(verdict: Any) -> Any:
    """Return a verdict on clipping that says that only signs count."""
    summary = "only the sign of the gradient counts"
    reason = "a tenfold gradient makes an update of the same size"
    return changed(verdict, "present", summary, reason, threshold=0.0, kind="sign-like", corner=None)


def _confirmed(verdict: Any, *, present: bool, absent: bool) -> Any:
    if verdict.verdict == "undecided" or {"present": present, "absent": absent}[verdict.verdict]:
        return verdict
    opposite = {"present": absent, "absent": present}[verdict.verdict]
    found = f"does not say that it is {verdict.verdict}" if not opposite else "says the opposite"
    return changed(verdict, "undecided", "", f"no rule explains it, and what was observed without one {found}")


def _late(verdict: Any, delay: int) -> Any:
    words = f"a delay: gradients count {delay} step{'s' if delay > 1 else ''} late"
    return changed(verdict, "present", words, "no gradient changes the update of its own step")


def _momentum(verdict: Any, behavior: Behavior, adaptation: Any) -> Any:
    if adaptation.kind == "nonlinear odd" and not behavior.pushes:  # signs of earlier gradients change the gain alone
        return _confirmed(verdict, present=False, absent=True)
    if verdict.verdict != "present" and behavior.remembers:
        verdict = changed(
            verdict,
            "present",
            "momentum: earlier gradients count with their sign",
            "what a gradient and its opposite add up to turns with the signs of all earlier gradients",
        )
    return _confirmed(verdict, present=behavior.remembers, absent=behavior.forgets)


def _adaptation(verdict: Any, behavior: Behavior) -> Any:
    """A gain that changes, but not with the sizes of gradients, goes by signs if it turns with them."""
    if verdict.kind != "squared gradient":
        return verdict
    if not behavior.sizes_count and behavior.signs_count:
        summary = "a gain that depends on whether gradients agree in sign"
        reason = "the gain changes with earlier gradients, but not with their sizes"
        return changed(verdict, "present", summary, reason, kind="nonlinear odd")
    driver = "the sizes of earlier gradients" if behavior.sizes_count else "earlier gradients, whatever their signs"
    summary = f"a gain driven by {driver}" if verdict.verdict == "present" else ""
    return dataclasses.replace(verdict, summary=summary)


def _clipping(verdict: Any, behavior: Behavior) -> Any:
    if behavior.only_sign:
        return only_sign(verdict)
    if verdict.kind == "sign-like":
        verdict = _without_sign(verdict)
    absent = behavior.in_proportion or (behavior.adapts and behavior.falls)
    present = behavior.saturates and (behavior.steady or not behavior.falls)
    return _confirmed(verdict, present=present, absent=absent)


def _without_sign(verdict: Any) -> Any:
    """What there is to say where the update has no tangent at 0, and is not the sign either."""
    if is_in_proportion(verdict):
        return no_clipping(verdict)
    return changed(verdict, "undecided", "", "the update has no tangent, and is not the sign either")


def is_in_proportion(verdict: Any) -> bool:
    """Whether updates over the last decade of gradients are in proportion to them, and gains do not fall all along."""
    sizes, grid = np.abs(np.asarray(verdict.updates)), np.asarray(verdict.gradients)
    top = grid > grid[-1] / 10
    gains = sizes / grid
    if np.all(np.diff(gains) <= _ROUNDING * gains.max()):
        return False
    return bool(sizes[-1] and np.all(np.abs(sizes[top] / sizes[-1] * grid[-1] / grid[top] - 1) < 2 * DEPARTURE))


def no_clipping(verdict: Any) -> Any:
    """Return a verdict on clipping that says why there is none."""
    reason = "the largest gradients count in proportion to their size"
    return changed(verdict, "absent", "", reason, threshold=None, kind="none", corner=None)
