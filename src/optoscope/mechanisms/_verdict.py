"""What an assessment of a mechanism comes to."""

import dataclasses
from typing import Literal

from optoscope._core.results import Result

Judgement = Literal["present", "absent", "undecided"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict(Result):
    """Whether an optimizer has a mechanism, how much of it, and what decided.

    No number in a verdict is NaN: what could not be measured is None, and `reason` says why.

    Attributes:
        mechanism: its name.
        verdict: "present", "absent" or "undecided".
        effect: size of the effect; each mechanism documents its unit.
        interval: of the effect: for grouping its 95% bootstrap interval over test problems, else the range over
            the operating points at which it was measured.
        summary: a clause in plain words, empty if the mechanism is absent.
        reason: what decided, or why nothing could be decided.
        untrained_effect: the same effect before meta-training, with a random readout; None if it was not given.
    """

    mechanism: str
    verdict: Judgement
    effect: float
    interval: list[float]
    summary: str
    reason: str
    untrained_effect: float | None = None


def short(number: float) -> str:
    """Write a number with two or three digits, as in a sentence.

    >>> short(0.8999), short(0.4), short(12345.0), short(1.2e-6)
    ('0.90', '0.40', '1.2e+04', '1.2e-06')
    """
    if number == 0:
        return "0"
    if 0.01 <= abs(number) < 10:
        return f"{number:.2f}"
    return f"{number:.0f}" if 10 <= abs(number) < 1000 else f"{number:.2g}"
