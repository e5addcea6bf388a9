"""Gradient clipping: large gradients count for less than their tangent.

**Definition.** At a frozen state, the odd part of the update function falls short of (or exceeds) its tangent by more
than `DEPARTURE` within the range of gradients, and keeps doing so at the same gradients after the state has adapted
to large ones. `effect` is the share by which the update at the largest gradient falls short of the tangent.

**Estimator.** The update function is sampled at 16 magnitudes a decade, starting far below the range, so that its
tangent is seen; the threshold is interpolated in the logarithm. A rule whose gain is driven by squared gradients
saturates at a frozen state too, because the gradient enters its own normalization: there the threshold grows with the
gradients to which the state has adapted. It is clipping only if the threshold stays where it is. A rule that takes a
sign has no tangent: its threshold is 0.

**When it misleads.** Every network of bounded units saturates somewhere: only a range, or a task, says whether
gradients get there. A decay of squared gradients near 0 is a kind of clipping.
"""

import dataclasses
from functools import partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope.anatomy import Dossier
from optoscope.dynamics import flatten_states, slope_back
from optoscope.dynamics.onset import DEPARTURE, Onset, find_onset
from optoscope.mechanisms._verdict import Verdict, short
from optoscope.mechanisms.adaptation import AdaptationVerdict

#: Smallest magnitude, relative to the largest, that rounding leaves its accuracy beside a state of that size.
_SMALLEST = 1e-7
#: Share of the largest update by which it must fall back for it to slope back.
SLOPES_BACK = 0.01
#: States of a task's runs at which the threshold is looked for.
_NUM_VISITED = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClippingVerdict(Verdict):
    """Clipping; `effect` is the share by which the update at the largest gradient falls short of its tangent.

    Attributes:
        threshold: |g| at which the update departs from its tangent by `departure`; 0 if there is no tangent; None if
            it does not in the range.
        departure: that share.
        kind: "hard" (exactly its tangent up to a corner), "soft", "sign-like" or "none".
        corner: |g| of the corner of a hard one.
        saturation: largest |dx| of the odd part in the range, at rest; None if it still grows.
        is_monotonic: whether the odd part never slopes back in the range.
        thresholds: there, at the first, the middle and the last state of the run without a gradient, and with a task
            at eight states of its runs; None where the update does not depart from its tangent in the range.
        fraction_beyond: of the gradients met on the task; None without one.
        gradients: at which the update function was sampled.
        updates: its odd part at rest.
        tangent: slope of the tangent at 0, positive for descent; None where there is none.
        provenance: who made it.
    """

    threshold: float | None
    departure: float
    kind: Literal["none", "hard", "soft", "sign-like"]
    corner: float | None
    saturation: float | None
    is_monotonic: bool
    thresholds: list[float | None]
    fraction_beyond: float | None
    gradients: Float[np.ndarray, " grid"]
    updates: Float[np.ndarray, " grid"]
    tangent: float | None
    provenance: dict[str, Any]


def assess_clipping(dossier: Dossier, adaptation: AdaptationVerdict) -> ClippingVerdict:
    """Assess clipping from the dossier, in the light of how the gain adapts."""
    probe, grid = dossier.probe, dossier.range.sampled
    step = int(np.argmax(np.abs(dossier.learning_rates.values)))
    state = dossier.autonomous.states[step]
    tangent = None if dossier.learning_rates.magnitude else float(dossier.learning_rates.values[step])
    found = Onset(None, None, 0.0)
    is_sign_like = False
    if not dossier.is_idle:
        if adaptation.kind == "squared gradient":
            adapted = dossier.driven.alternating[-1, -1]
            own = grid[grid >= _SMALLEST * dossier.range.high]
            found = max(
                (find_onset(partial(_normalized, dossier, adapted, centered), own) for centered in (False, True)),
                key=lambda onset: np.inf if onset.threshold is None else onset.threshold,
            )
        elif tangent:
            found = find_onset(partial(_relative_gain, dossier, state, tangent), grid)
        else:
            is_sign_like = True
            found = Onset(0.0, None, 1.0)
    others = _elsewhere(dossier) if tangent and adaptation.kind != "squared gradient" else []
    shortfalls = [found.shortfall, *(other.shortfall for other in others if other.threshold is not None)]
    threshold = found.threshold
    kind = "none" if threshold is None else "sign-like" if is_sign_like else "soft" if found.corner is None else "hard"
    updates = -grid * probe.gain(state, grid)
    sizes = np.abs(updates)
    beyond = None
    if dossier.task is not None and threshold is not None:
        beyond = float((np.abs(dossier.visits.gradients) > threshold).mean())
    return ClippingVerdict(
        mechanism="clipping",
        verdict="absent" if threshold is None else "present",
        effect=found.shortfall,
        interval=[min(shortfalls), max(shortfalls)],
        summary=_summary(kind, threshold, found.corner),
        reason=_reason(threshold, dossier),
        threshold=threshold,
        departure=DEPARTURE,
        kind=kind,
        corner=found.corner,
        saturation=float(sizes.max()) if threshold is not None and sizes[-1] <= 1.01 * sizes[-8] else None,
        is_monotonic=bool(slope_back(updates[None])[0] <= SLOPES_BACK),
        thresholds=[threshold, *(other.threshold for other in others)],
        fraction_beyond=beyond,
        gradients=grid,
        updates=updates,
        tangent=tangent,
        provenance=provenance(),
    )


def _elsewhere(dossier: Dossier) -> list[Onset]:
    """The same at other states: along the run without a gradient, and on the task."""
    states = list(dossier.autonomous.states[[0, len(dossier.autonomous.states) // 2, -1]])
    if dossier.task is not None:
        visited = flatten_states(dossier.visits.states).astype(np.float64)
        states += list(visited[np.linspace(0, len(visited) - 1, _NUM_VISITED).astype(int)])
    found = []
    for state in states:
        slope = float(dossier.probe.slope(state[None], np.zeros(1))[0])
        if np.isfinite(slope) and slope:
            found.append(find_onset(partial(_relative_gain, dossier, state, slope), dossier.range.sampled))
    return found


def _relative_gain(dossier: Dossier, state: np.ndarray, slope: float, gradients: np.ndarray) -> np.ndarray:
    return dossier.probe.gain(state, gradients) / slope


def _normalized(dossier: Dossier, state: np.ndarray, centered: bool, gradients: np.ndarray) -> np.ndarray:
    """Gain at a state, relative to that of small gradients, with the gradient's effect on its own gain divided out.

    The update of a gradient is divided by the learning rate that it leaves behind for a small one after it: at g = 0,
    where the gradient does not enter its own normalization, or at the gradient that cancels the update, where a
    saturation behind a memory is at its center. Either may see a departure that is not clipping; the later one counts.
    """
    probe = dossier.probe
    smallest = _SMALLEST * dossier.range.high
    signed = np.concatenate([gradients, -gradients, [smallest, -smallest]])
    reached = probe.drive(signed[:, None], state)[0][:, 1]
    centers = probe.centers(reached, 1e4 * dossier.range.high) if centered else np.zeros(len(reached))
    rates = probe.slope(reached, np.where(np.isfinite(centers), centers, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = probe.update(state, signed) / rates
    ahead, behind = scaled[: len(gradients)], scaled[len(gradients) : -2]
    return ((ahead - behind) / gradients) / ((scaled[-2] - scaled[-1]) / smallest)


def _summary(kind, threshold, corner):
    if kind == "none":
        return ""
    if kind == "sign-like":
        return "only the sign of the gradient counts"
    return f"{kind} clipping from |g| = {short(corner if corner is not None else threshold)}"


def _reason(threshold, dossier):
    if threshold is None:
        return f"the update stays within {DEPARTURE:.0%} of its tangent up to |g| = {short(dossier.range.high)}"
    return f"the update departs from its tangent by {DEPARTURE:.0%} at |g| = {short(threshold)}"
