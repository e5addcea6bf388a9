"""Learning-rate schedule: the gain changes with the iteration, whatever the gradients were.

**Definition.** The effective learning rate along the run without a gradient (Maheswaranathan et al., 2021, section
5.3) changes: `effect` is the logarithm of its largest ratio between two steps. The parameter must stay where it is
meanwhile.

**Estimator.** Slopes of the update function at g = 0 along the run from the initial state, in float64. Where there is
no such slope (a root of a mean square at 0, a sign), the odd part of the update at one magnitude in the middle of the
range.

Beyond the run, the same run goes on for some thousand steps: that the learning rate leaves its range there is told
(`later_step`), and makes no schedule of what does not change in the run itself.

**When it misleads.** A bias correction of averages is a clock too, whose effect passes with the memory of the
averages. A state that comes to rest after a start elsewhere makes a schedule, planned or not.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope.anatomy import Dossier
from optoscope.mechanisms._verdict import Verdict, short
from optoscope.mechanisms.adaptation import AdaptationVerdict
from optoscope.mechanisms.explanation.words import curve_in_words

#: Logarithm of a ratio of learning rates from which on there is a schedule, and below which there is none.
PRESENT, ABSENT = 0.1, 0.03
#: States after the run at which the learning rate is measured, at first and where it has moved.
_LATER = 100
#: Turns from which on rates are said to go up and down; relative changes that rounding makes.
_CYCLES, _ROUNDING = 3, 1e-7
#: Share of the first rate, or of the last, below which a dip between it and the largest is told.
_HIDDEN = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleVerdict(Verdict):
    """Schedule; `effect` is the logarithm of the largest ratio between two steps' learning rates.

    Attributes:
        learning_rates: at each step of the run without a gradient.
        probe: magnitude of the gradient at which they were measured; 0 if they are slopes at g = 0.
        warm_up: largest over first learning rate.
        decay: last over largest.
        later_step: the first step found after the run at which the learning rate has left its range; None without one.
        later_rate: the learning rate there.
        drift: how far the parameter moves meanwhile, in units of the largest learning rate times the middle gradient.
        provenance: who made it.
    """

    learning_rates: Float[np.ndarray, " step"]
    probe: float
    warm_up: float | None
    decay: float | None
    later_step: int | None
    later_rate: float | None
    drift: float
    provenance: dict[str, Any]


def assess_schedule(dossier: Dossier, adaptation: AdaptationVerdict) -> ScheduleVerdict:
    """Assess the schedule from the dossier, in the light of how the gain adapts."""
    rates, magnitude = dossier.learning_rates.values, dossier.learning_rates.magnitude
    if adaptation.kind == "squared gradient":
        # The slope at g = 0 is that of the guard against division by zero; what counts is what gradients meet.
        magnitude = dossier.range.high
        rates = dossier.probe.gain(dossier.autonomous.states, np.full(len(rates), magnitude))
    sizes = np.abs(rates)
    largest = float(sizes.max(initial=0.0))
    unit = max(largest * dossier.range.middle, np.finfo(float).tiny)
    drift = float(np.abs(dossier.autonomous.updates.sum()) / unit)
    floor = 1e-6 * largest
    effect = float(np.log(max(largest, floor) / max(sizes.min(), floor))) if largest else 0.0
    word = "present" if effect > PRESENT else "absent" if effect < ABSENT else "undecided"
    warm_up = largest / sizes[0] if sizes[0] > floor else None
    decay = float(sizes[-1] / largest) if largest else None
    return ScheduleVerdict(
        mechanism="schedule",
        verdict=word,
        effect=effect,
        interval=[effect, effect],
        summary=f"a schedule ({_course(sizes, warm_up, decay)})" if word == "present" else "",
        reason=f"the learning rate changes by a factor of at most {short(float(np.exp(effect)))} without a gradient",
        learning_rates=rates,
        probe=magnitude,
        warm_up=None if warm_up is None else float(warm_up),
        decay=decay,
        **_later(dossier, sizes, magnitude),
        drift=drift,
        provenance=provenance(),
    )


def _course(sizes: np.ndarray, warm_up: float | None, decay: float | None) -> str:
    """How learning rates go: up and down, or from where to where."""
    steps = np.diff(sizes)
    steps = steps[np.abs(steps) > _ROUNDING * sizes.max()]
    turns = int((np.diff(np.sign(steps)) != 0).sum())
    if turns >= _CYCLES:
        period = _period(sizes)
        every = f"the same every {period} steps" if period else f"up and down, with {turns} turns"
        low = sizes.min() if sizes.min() > _ROUNDING * sizes.max() else 0.0
        return f"{every}, between {short(float(low))} and {short(float(sizes.max()))}"
    peak = int(np.argmax(sizes))
    if sizes[peak:].min() < _HIDDEN * sizes[-1] or sizes[: peak + 1].min() < _HIDDEN * sizes[0]:
        return f"{curve_in_words(sizes / sizes.max())}, of the largest"
    words = []
    if warm_up is None or warm_up > np.exp(PRESENT):
        words.append("warm-up" + ("" if warm_up is None else f" by a factor of {short(float(warm_up))}"))
    if decay is not None and decay < np.exp(-PRESENT):
        words.append(f"decay to {short(decay)} of the largest")
    if not words:
        least = short(float(sizes.min() / sizes.max()))
        words.append("a rise and a fall" if np.any(steps[:1] > 0) else f"a dip to {least} of the largest")
    return ", ".join(words)


def _period(sizes: np.ndarray) -> int:
    """The shortest period that the rates have, of which the run holds at least two; 0 without one."""
    for period in range(2, len(sizes) // 2 + 1):
        if np.abs(sizes[period:] - sizes[:-period]).max() <= 1e-6 * sizes.max():
            return period
    return 0


def _later(dossier: Dossier, sizes: np.ndarray, magnitude: float) -> dict[str, Any]:
    """Where the learning rate leaves its range, after the run."""
    start, end = len(sizes), len(dossier.long_run)
    found: dict[str, Any] = {"later_step": None, "later_rate": None}
    while end > start:  # ever closer to the first one
        stride = -(-(end - start) // _LATER)
        at = np.arange(start, end, stride)
        states, tried = dossier.long_run[at], np.full(len(at), magnitude)
        rates = dossier.probe.gain(states, tried) if magnitude else dossier.probe.slope(states, tried)
        later, floor = np.abs(rates), 1e-6 * sizes.max(initial=0.0)
        above = later > np.exp(PRESENT) * sizes.max(initial=0.0)
        below = later < np.exp(-PRESENT) * sizes.min(initial=np.inf) - floor
        left = (above | below) & np.isfinite(later)
        if not left.any():
            break
        first = int(np.argmax(left))
        found = {"later_step": int(at[first]), "later_rate": float(rates[first])}
        start, end = max(start, int(at[first]) - stride + 1), int(at[first])
    return found
