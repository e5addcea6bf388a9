"""One planted optimizer diagnosed, and what was found beside what is there."""

import dataclasses
from typing import Any, Literal

import numpy as np

from optoscope.calibration.planted import Planted
from optoscope.calibration.truth import Truth
from optoscope.mechanisms import MechanismReport, diagnose
from optoscope.mechanisms.explanation.explain import EXPLAINED

#: Effects from these sizes on count as planted: finding nothing there is an error.
PLANTED = {"momentum": 0.15, "clipping": 0.15, "schedule": 0.15, "adaptation": 0.2}
#: Effects up to this size count as none: finding something there is an error. In between, neither is.
NEGLIGIBLE = 0.03
#: What must not be exceeded: decays absolute, the rest relative.
BARS = {"decay": 0.005, "learning rate": 0.02, "threshold": 0.02, "schedule": 0.02}
#: A mode slower than this share of the slowest one is the present step, not memory.
_IMMEDIATE = 1e-3

Expected = Literal["present", "absent", "faint"]


@dataclasses.dataclass(frozen=True)
class Case:
    """What `diagnose` says of one planted optimizer, and what is so.

    Attributes:
        name, family: of the planted optimizer.
        half: "first" or "second".
        is_network: whether its numbers are those of a rule that it imitates.
        told: whether `diagnose` was told the range of gradients.
        input_scale, output_scale: its units.
        num_states: its size.
        truth: as JSON data.
        expected: by mechanism, "present", "absent", or "faint" (neither answer is an error).
        found: by mechanism, the verdict.
        sizes: by mechanism, the size that was measured.
        kind: of adaptation, as found.
        errors: by number, the largest error; without those that were not found or are not known.
        has_words: whether the explanation has words for it.
        explained: the share of its updates that the explanation gives.
        summary: what `diagnose` says.
    """

    name: str
    family: str
    half: str
    is_network: bool
    told: bool
    input_scale: float
    output_scale: float
    num_states: int
    truth: dict[str, Any]
    expected: dict[str, Expected]
    found: dict[str, str]
    sizes: dict[str, float]
    kind: str
    errors: dict[str, float]
    has_words: bool
    explained: float
    summary: str

    @property
    def is_flagged(self) -> bool:
        """Whether the report begins with saying that it does not explain the optimizer."""
        return self.explained < EXPLAINED

    @property
    def is_right(self) -> bool:
        """Whether there is nothing to be flagged: no mistake, and words for what it does."""
        return self.has_words and not self.mistakes

    @property
    def mistakes(self) -> list[str]:
        """Wrong verdicts, kinds and numbers in words; what is undecided is not among them."""
        wrong = [
            f"{name} is {self.found[name]}, of size {self.sizes[name]:.3g}; planted is {self.truth[name]:.3g}"
            for name, expected in self.expected.items()
            if {expected, self.found[name]} == {"present", "absent"}
        ]
        judged = "adaptation" not in self.truth["unscored"]
        if (
            judged
            and "present" in (self.expected["adaptation"], self.found["adaptation"])
            and self.kind != self.truth["kind"]
        ):
            wrong.append(f"the adaptation's kind is {self.kind}, planted is {self.truth['kind']}")
        if not self.is_network:
            wrong += [f"{name} is off by {e:.3g}" for name, e in self.errors.items() if not e <= BARS[name]]
        return wrong


def check_diagnosis(planted: Planted, half: str, *, num_steps: int = 200) -> Case:
    """Diagnose a planted optimizer and compare.

    Args:
        planted: the optimizer and the truth about it.
        half: which half it belongs to.
        num_steps: length of the runs.
    """
    report = diagnose(planted.optimizer, gradients=planted.gradients, num_steps=num_steps, name=planted.name)
    truth = planted.truth
    found = {name: report.verdicts[name].verdict for name in PLANTED}
    return Case(
        name=planted.name,
        family=planted.family,
        half=half,
        is_network=planted.family == "imitation",
        told=planted.gradients is not None,
        input_scale=planted.input_scale,
        output_scale=planted.output_scale,
        num_states=planted.optimizer.num_states,
        truth=truth.to_json(),
        expected={name: _expected(name, truth) for name in PLANTED},
        found=found,
        sizes={name: float(report.verdicts[name].effect) for name in PLANTED},
        kind=getattr(report.verdicts["adaptation"], "kind", "none"),
        errors=errors_of(report, truth, is_network=planted.family == "imitation"),
        has_words=planted.has_words,
        explained=report.explained,
        summary=report.summary,
    )


def _expected(mechanism: str, truth: Truth) -> Expected:
    if mechanism in truth.unscored:
        return "faint"
    size = truth.size(mechanism)
    return "present" if size >= PLANTED[mechanism] else "absent" if size <= NEGLIGIBLE else "faint"


def errors_of(report: MechanismReport, truth: Truth, *, is_network: bool = False) -> dict[str, float]:
    """Return the largest error of each number that is both known and found; infinite where a mode has no partner.

    Args:
        report: what was found.
        truth: what is there.
        is_network: then decays are the effective ones, because many eigenvalues of a network act as one.
    """
    errors: dict[str, float] = {}
    momentum, clipping, schedule = (report.verdicts[name] for name in ("momentum", "clipping", "schedule"))
    slow = [i for i, b in enumerate(truth.decays) if abs(b) > _IMMEDIATE]
    if momentum.verdict == "present" and slow and truth.momentum >= PLANTED["momentum"]:
        planted = np.array([truth.decays[i] for i in slow])
        decays = np.asarray(getattr(momentum, "effective_decays" if is_network else "decays", []))
        partner, errors["decay"] = _partners(planted, decays[np.abs(decays) > _IMMEDIATE])
        if truth.learning_rates is not None and np.isfinite(errors["decay"]) and not is_network:
            rates = np.array([truth.learning_rates[i] for i in slow])
            measured = np.asarray(getattr(momentum, "learning_rates", []))[np.abs(decays) > _IMMEDIATE][partner]
            errors["learning rate"] = float(np.abs(measured / rates - 1).max())
    threshold = getattr(clipping, "threshold", None)
    if threshold is not None and truth.threshold is not None and truth.clipping >= PLANTED["clipping"]:
        errors["threshold"] = float(abs(threshold / truth.threshold - 1))
    if truth.factors is not None:
        errors["schedule"] = _schedule_error(np.asarray(getattr(schedule, "learning_rates", [])), truth)
    return errors


def _partners(planted: np.ndarray, decays: np.ndarray) -> tuple[np.ndarray, float]:
    """The found decay that belongs to each planted one, each given once, and the largest distance; or infinity."""
    import scipy.optimize

    if len(decays) != len(planted):
        return np.zeros(0, int), np.inf
    distances = np.abs(planted[:, None] - decays)
    rows, columns = scipy.optimize.linear_sum_assignment(distances)
    return columns, float(distances[rows, columns].max())


def _schedule_error(rates: np.ndarray, truth: Truth) -> float:
    factors = np.array(truth.factors)[: len(rates)]
    if len(rates) == 0:
        return np.inf
    if truth.rate is not None:
        return float(np.abs(rates / (truth.rate * factors) - 1).max())
    return float(np.abs(rates / rates[-1] / (factors / factors[-1]) - 1).max())
