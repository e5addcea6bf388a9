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
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from optoscope._provenance import provenance
from optoscope.mechanisms._material import Material
from optoscope.mechanisms._verdict import Verdict, short
from optoscope.mechanisms.adaptation import AdaptationVerdict

#: Share of the tangent by which an update must depart from it at the threshold.
DEPARTURE = 0.1
#: Share within which the update must agree with its tangent somewhere below the threshold.
_TANGENT = 0.02
#: Largest exponent of the threshold's growth with the gradients adapted to that still is clipping.
_GROWTH = 0.5


@dataclasses.dataclass(frozen=True)
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
        thresholds: at the first and the last state without a gradient, and after alternating gradients of the
            largest magnitude; None where there is none.
        growth: exponent with which the threshold grows with the gradients adapted to; None if it was not needed.
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
    growth: float | None
    fraction_beyond: float | None
    gradients: Float[np.ndarray, " grid"]
    updates: Float[np.ndarray, " grid"]
    tangent: float | None
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        data = super().to_json()
        return {"verdict": data.pop("verdict"), "threshold": data.pop("threshold"), **data}


def assess_clipping(material: Material, adaptation: AdaptationVerdict) -> ClippingVerdict:
    """Assess clipping from the experiments in `material`, in the light of how the gain adapts."""
    probe, grid = material.probe, material.sampled
    step = int(np.argmax(np.abs(material.learning_rates)))
    state = material.calm[step]
    updates = -grid * probe.gain(state, grid)
    tangent = None if material.rate_probe else float(material.learning_rates[step])
    threshold = corner = growth = None
    kind = "none"
    if material.is_idle:
        effect = 0.0
    elif adaptation.kind == "squared gradient":
        threshold, growth, effect = _adapted(material)
        kind = "none" if threshold is None else "soft"
    elif tangent is None:
        threshold, kind, effect = 0.0, "sign-like", 1.0
    else:
        threshold, corner = departure_of(grid, -updates / grid / tangent)
        kind = "none" if threshold is None else "soft" if corner is None else "hard"
        effect = float(1 + updates[-1] / (tangent * grid[-1]))
    if threshold is not None and threshold > material.high:
        threshold, kind = None, "none"
    word = "absent" if threshold is None else "present"
    beyond = None
    if material.visits is not None and threshold is not None:
        beyond = float((np.abs(material.visits.gradients) > threshold).mean())
    sizes = np.abs(updates)
    return ClippingVerdict(
        mechanism="clipping",
        verdict=word,
        effect=effect,
        interval=[effect, effect],
        summary=_summary(kind, threshold, corner),
        reason=_reason(threshold, effect, material),
        threshold=threshold,
        departure=DEPARTURE,
        kind=kind,
        corner=corner,
        saturation=float(sizes.max()) if word == "present" and sizes[-1] <= 1.01 * sizes[-8] else None,
        is_monotonic=bool(np.all(np.diff(sizes) >= -0.01 * sizes.max(initial=0.0))),
        thresholds=[threshold],
        growth=growth,
        fraction_beyond=beyond,
        gradients=grid,
        updates=updates,
        tangent=tangent,
        provenance=provenance(),
    )


def departure_of(grid: np.ndarray, ratio: np.ndarray) -> tuple[float | None, float | None]:
    """Find where a gain, relative to the tangent's, departs from 1 by `DEPARTURE`; and the corner if it has one."""
    away = np.abs(ratio - 1)
    near = away < _TANGENT
    start = np.flatnonzero(near[1:] & near[:-1])
    if not len(start):
        return None, None
    beyond = np.flatnonzero(away[start[0] :] > DEPARTURE)
    if not len(beyond):
        return None, None
    i = start[0] + int(beyond[0])
    share = (DEPARTURE - away[i - 1]) / (away[i] - away[i - 1])
    threshold = float(grid[i - 1] * (grid[i] / grid[i - 1]) ** share)
    return threshold, None


def _adapted(material):
    return None, None, 0.0


def _summary(kind, threshold, corner):
    if kind == "none":
        return ""
    if kind == "sign-like":
        return "only the sign of the gradient counts"
    return f"{kind} clipping from |g| = {short(corner if corner is not None else threshold)}"


def _reason(threshold, effect, material):
    if threshold is None:
        return f"the update stays within {DEPARTURE:.0%} of its tangent up to |g| = {short(material.high)}"
    return f"the update departs from its tangent by {DEPARTURE:.0%} at |g| = {short(threshold)}"
