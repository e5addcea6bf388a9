"""Where and how hyperparameters are searched: data. The paper prints no ranges; these are ours."""

import dataclasses
from typing import Literal

import numpy as np

from optoscope._core.choices import check_choice
from optoscope._core.literals import name_in


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of one hyperparameter and the scale on which it is searched evenly.

    `log`: evenly in its logarithm. `one_minus_log`: evenly in the logarithm of its distance to 1, for decays.
    """

    low: float
    high: float
    scale: Literal["log", "one_minus_log"]

    def _ends(self) -> tuple[float, float]:
        if self.scale == "log":
            return np.log10(self.low), np.log10(self.high)
        return np.log10(1 - self.low), np.log10(1 - self.high)

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """Map [0, 1] to the interval."""
        start, end = self._ends()
        power = 10 ** (start + (end - start) * u)
        return power if self.scale == "log" else 1 - power

    def to_unit(self, value: np.ndarray) -> np.ndarray:
        """Map the interval to [0, 1]."""
        start, end = self._ends()
        return (np.log10(value if self.scale == "log" else 1 - np.asarray(value)) - start) / (end - start)

    def widened(self, u: float, edge: float) -> "Range | None":
        """Return a wider range if `u` in [0, 1] lies on an edge that can give way, else None.

        A decay's lower end at 0 cannot: there the rule has no memory at all.
        """
        if u > 1 - edge:
            high = self.high * 10 if self.scale == "log" else 1 - (1 - self.high) / 10
            return dataclasses.replace(self, high=high)
        if u < edge and not (self.scale == "one_minus_log" and self.low == 0):
            low = self.low / 10 if self.scale == "log" else max(0.0, 1 - (1 - self.low) * 10)
            return dataclasses.replace(self, low=low)
        return None

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}]"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One round of a search: what every setting that is left is run on, and how many go on.

    A run that is cut short is scored as if its last loss stayed, so that scores of all stages are on one scale.

    Attributes:
        num_problems: problems, other ones in each stage.
        num_steps: updates per run.
        num_kept: settings that go on to the next stage; 1 in the last.
    """

    num_problems: int
    num_steps: int
    num_kept: int


#: Cheap tasks screen all settings on whole runs, and choose among the leaders on many problems.
WHOLE_RUNS = (Stage(64, 200, 32), Stage(1024, 200, 1))

#: task -> stages of a search, for heavy tasks, which drop the hopeless early.
STAGES: dict[str, tuple[Stage, ...]] = {
    "two_moons": (Stage(1, 40, 600), Stage(2, 200, 60), Stage(16, 200, 8), Stage(64, 200, 1)),
    "mnist": (Stage(1, 8, 400), Stage(1, 30, 60), Stage(1, 200, 8), Stage(8, 200, 1)),
    "digits": (Stage(1, 40, 600), Stage(4, 200, 60), Stage(32, 200, 8), Stage(128, 200, 1)),
}

_DECAY = Range(0.0, 0.999, "one_minus_log")
_SLOW_DECAY = Range(0.0, 0.9999, "one_minus_log")

#: Ranges that cover good settings for networks of all sizes here.
_NETWORK: dict[str, dict[str, Range]] = {
    "gradient_descent": {"learning_rate": Range(1e-3, 1e1, "log")},
    "momentum": {"learning_rate": Range(1e-3, 1e1, "log"), "decay": _DECAY},
    "nesterov_momentum": {"learning_rate": Range(1e-3, 1e1, "log"), "decay": _DECAY},
    "rmsprop": {"learning_rate": Range(1e-5, 1e-1, "log"), "decay": _SLOW_DECAY},
    "adam": {"learning_rate": Range(1e-5, 1e0, "log"), "b1": _DECAY, "b2": _SLOW_DECAY},
}

#: task -> rule -> hyperparameter -> range
SEARCH_SPACES: dict[str, dict[str, dict[str, Range]]] = {
    "linear_regression": {
        "gradient_descent": {"learning_rate": Range(1e-2, 1e2, "log")},
        "momentum": {"learning_rate": Range(1e-2, 1e2, "log"), "decay": _DECAY},
        "nesterov_momentum": {"learning_rate": Range(1e-2, 1e2, "log"), "decay": _DECAY},
        "rmsprop": {"learning_rate": Range(1e-3, 1e1, "log"), "decay": _SLOW_DECAY},
        "adam": {"learning_rate": Range(1e-3, 1e2, "log"), "b1": _DECAY, "b2": _SLOW_DECAY},
    },
    "rosenbrock": {
        "gradient_descent": {"learning_rate": Range(1e-6, 1e-1, "log")},
        "momentum": {"learning_rate": Range(1e-6, 1e-1, "log"), "decay": _DECAY},
        "nesterov_momentum": {"learning_rate": Range(1e-6, 1e-1, "log"), "decay": _DECAY},
        "rmsprop": {"learning_rate": Range(1e-4, 1e0, "log"), "decay": _SLOW_DECAY},
        "adam": {"learning_rate": Range(1e-4, 1e1, "log"), "b1": _DECAY, "b2": _SLOW_DECAY},
    },
    "two_moons": _NETWORK,
    "mnist": _NETWORK,
    "digits": _NETWORK,
}


def search_space(task: str, rule: str) -> dict[str, Range]:
    """Return the ranges for a rule on a task.

    Raises:
        ValueError: if there are none; the message lists what there is.
    """
    task = name_in(task)
    check_choice("task with search spaces", task, SEARCH_SPACES)
    check_choice(f"rule with a search space for {task}", rule, SEARCH_SPACES[task])
    return SEARCH_SPACES[task][rule]


def search_stages(task: str) -> tuple[Stage, ...]:
    """Return the stages in which settings are searched on a task.

    >>> len(search_stages("rosenbrock"))
    2
    """
    return STAGES.get(name_in(task), WHOLE_RUNS)
