"""What a claim is, by which rule it is judged, and what was found."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from optoscope._core.statistics import bootstrap_interval
from optoscope.paper.study import Study

Verdict = Literal["reproduced", "partly", "not", "not measured"]

#: Where no learned optimizer is asked about: claims that compare all tasks.
ALL_TASKS = "all tasks"


@dataclasses.dataclass(frozen=True)
class Rule:
    """When a number supports a claim: as it must be, or as it must not be; in between it does so in part.

    Attributes:
        what: the quantity, in words.
        good: at least this much supports the claim (at most, if `good` is below `bad`).
        bad: less than this speaks against it (more, if `good` is below `bad`).
        at_most: the sense, where `good` equals `bad`.
        by_interval: whether the whole interval must be on the good side, and the whole interval on the bad one.
    """

    what: str
    good: float
    bad: float
    at_most: bool | None = None
    by_interval: bool = False

    @property
    def wants_small(self) -> bool:
        """Whether small values support the claim."""
        return self.good < self.bad if self.at_most is None else self.at_most

    def judge(self, quantity: "Quantity") -> Verdict:
        """Judge one number."""
        low, high = quantity.interval if self.by_interval and quantity.interval else (quantity.value, quantity.value)
        if not (np.isfinite(low) or np.isfinite(high)) and np.isnan(quantity.value):
            return "not measured"
        if self.wants_small:
            return "reproduced" if high <= self.good else "not" if low > self.bad else "partly"
        return "reproduced" if low >= self.good else "not" if high < self.bad else "partly"

    def __str__(self) -> str:
        most, least = ("at most", "above") if self.wants_small else ("at least", "below")
        whole = ", with its whole interval" if self.by_interval else ""
        return f"{self.what} is {most} {self.good:g}{whole}; it speaks against the claim {least} {self.bad:g}"


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One number.

    Attributes:
        value: the number.
        interval: 95% interval; None if the number is exact.
        how: where the interval comes from, or why there is none.
    """

    value: float
    interval: tuple[float, float] | None
    how: str


def exact(value: float | int, how: str = "exact") -> Quantity:
    """Return a number that does not depend on test problems."""
    return Quantity(float(value), None, how)


def over_problems(
    samples: Sequence[np.ndarray] | np.ndarray,
    statistic: Callable[..., Any] = np.mean,
    *,
    num_resamples: int = 2000,
) -> Quantity:
    """Return a statistic of test problems with its 95% bootstrap interval over them.

    Args:
        samples: one array [problem, ...], or several whose problems belong together.
        statistic: of these arrays.
        num_resamples: of the problems, with replacement; the resampling is always the same.
    """
    arrays = [samples] if isinstance(samples, np.ndarray) else list(samples)
    count = len(arrays[0])
    of_rows = lambda rows: [float(statistic(*(array[row] for array in arrays))) for row in rows]
    interval = bootstrap_interval(of_rows, count, num_resamples=num_resamples)
    return Quantity(float(statistic(*arrays)), interval, f"bootstrap over {count} test problems")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a claim's measurement returns: a number for each of its rules, and a sentence."""

    quantities: tuple[Quantity, ...]
    sentence: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of the paper (Maheswaranathan et al., 2021), in our words.

    It is reproduced if every rule is met, not reproduced if the first one, its heart, speaks against it, and
    reproduced in part otherwise.

    Attributes:
        id: `theme.name`.
        section: where the paper says it.
        figure: the number of the figure that shows it; None if none does.
        says: what it says.
        tasks: the tasks about which the paper says it; `ALL_TASKS` for a comparison between them.
        rules: the numbers and what they must be.
        measure: takes a study and a task's name; None where it cannot be measured.
        beyond: tasks about which the paper does not say it, but which are measured as well. They do not count.
        command: shows what it rests on; made from the figure if empty.
        needs_learned: whether it is about a learned optimizer; else tuned baselines suffice.
    """

    id: str
    section: str
    figure: int | None
    says: str
    tasks: tuple[str, ...]
    rules: tuple[Rule, ...]
    measure: Callable[[Study, str], Measured | None]
    beyond: tuple[str, ...] = ()
    command: str = ""
    needs_learned: bool = True

    def judge(self, quantities: Sequence[Quantity]) -> Verdict:
        """Return the verdict that the rules give on these numbers."""
        verdicts = [rule.judge(quantity) for rule, quantity in zip(self.rules, quantities, strict=True)]
        if all(verdict == "reproduced" for verdict in verdicts):
            return "reproduced"
        return verdicts[0] if verdicts[0] in ("not", "not measured") else "partly"

    @property
    def rule(self) -> str:
        """The whole rule in words."""
        return "Reproduced if " + "; and ".join(str(rule) for rule in self.rules) + "."


def claim(id: str, **settings: Any) -> Callable[[Callable[[Study, str], Measured | None]], Claim]:
    """Return what makes a claim of the function below it, which measures the claim.

    Args:
        id: `theme.name`.
        settings: the other fields of `Claim`.
    """
    return lambda measure: Claim(id=id, measure=measure, **settings)


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found about a claim on one task.

    Attributes:
        claim: its id.
        section, figure, says: of the claim.
        task: the task, or `ALL_TASKS`.
        verdict: reproduced, partly, not, or not measured.
        is_beyond: whether the paper does not say it about this task; then it does not count.
        quantities: name of each number -> value, interval and origin of the interval.
        sentence: what was measured, or why nothing was.
        rule: by which the verdict was reached.
        command: shows what it rests on.
    """

    claim: str
    section: str
    figure: int | None
    says: str
    task: str
    verdict: Verdict
    is_beyond: bool
    quantities: Mapping[str, Quantity]
    sentence: str
    rule: str
    command: str
