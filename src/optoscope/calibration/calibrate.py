"""How often `diagnose` is wrong: planted optimizers diagnosed, verdicts counted, numbers compared."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from optoscope._core.progress import Announce, Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope._core.types import PRNGKeyArray
from optoscope.calibration.cases import BARS, NEGLIGIBLE, PLANTED, Case, check_diagnosis
from optoscope.calibration.families import FAMILIES
from optoscope.calibration.imitations import ACCEPTED_ERROR, imitations
from optoscope.calibration.networks import plant_networks
from optoscope.calibration.planted import Planted, catalogue
from optoscope.mechanisms import adaptation, clipping, momentum, schedule
from optoscope.running.parts import Place, run_parts
from optoscope.running.run_log import open_run

#: Between which measured sizes `diagnose` leaves a mechanism undecided: (absent below, present above).
LIMITS = {
    "momentum": (momentum.ABSENT, momentum.PRESENT),
    "clipping": (clipping.DEPARTURE, clipping.DEPARTURE),
    "schedule": (schedule.ABSENT, schedule.PRESENT),
    "adaptation": (adaptation.ABSENT, adaptation.PRESENT),
}


@dataclasses.dataclass(frozen=True)
class Calibration(Result):
    """What `diagnose` found in planted optimizers.

    Attributes:
        cases: every optimizer with truth, verdicts, sizes and errors, as `Case` describes them.
        limits: by mechanism, what the first half says about the thresholds of `diagnose`: the largest size measured
            where nothing is planted, the smallest where something is, the thresholds, and whether they lie between.
        confusion: by half and mechanism, how many that are planted (or not, or faintly) were found present, absent or
            undecided.
        rates: by half and mechanism, false positives among those without, false negatives among those with the
            mechanism, each with its 95% interval (Clopper and Pearson, 1934); the undecided are neither.
        errors: by half and number, how many were compared, the median and the largest error, the bar, and how many
            exceed it; those of networks, which are only as good as their imitation, are apart.
        self_check: of all: among reports that are wrong, or about rules beyond all words, the share that begins with
            saying so ("flagged"); among the others the share that does ("false alarms"); each with its interval.
        mistakes: by half, sentences about everything that is wrong.
        fits: of the networks, by what they imitate: the relative error in the worst sequence; those above the accepted
            error are left out.
        num_optimizers: how many were planted.
        provenance: who made it.
    """

    cases: list[dict[str, Any]]
    limits: dict[str, Any]
    confusion: dict[str, Any]
    rates: dict[str, Any]
    errors: dict[str, Any]
    self_check: dict[str, Any]
    mistakes: dict[str, list[str]]
    fits: dict[str, float]
    num_optimizers: int
    provenance: dict[str, Any]

    @property
    def meets_its_bars(self) -> bool:
        """Whether the second half holds no mistake."""
        return not self.mistakes["second"]

    def tables(self) -> list[Table]:
        """Return error rates of verdicts and errors of numbers by half, and every mistake."""
        rates = [
            [half, name, *_counts(r["false positive"]), *_counts(r["false negative"]), r["undecided"]["count"]]
            for half in self.rates
            for name, r in self.rates[half].items()
        ]
        columns = ["half", "mechanism", "false_positives", "of_absent", "interval", "false_negatives", "of_planted",
                   "its_interval", "undecided"]  # fmt: skip
        numbers = [[half, name, *e.values()] for half in self.errors for name, e in self.errors[half].items()]
        mistakes = [[half, what] for half, some in self.mistakes.items() for what in some]
        checks = [[name, *_counts(self.self_check[name])] for name in ("flagged", "false alarms")]
        return [
            Table("self_check_rates", ["what", "count", "of", "interval"], checks, title="The self-check"),
            Table("verdicts", columns, rates, title="Verdicts"),
            Table("numbers", ["half", "number", "compared", "median_error", "largest", "bar", "beyond"], numbers),
            Table("all_mistakes", ["half", "what"], mistakes, title="Mistakes"),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data; schedules are told by their size alone."""
        data = super().to_json()
        for case in data["cases"]:
            case["truth"].pop("factors")
        return data


def calibrate(
    *,
    key: PRNGKeyArray,
    families: tuple[str, ...] | None = None,
    num_steps: int = 200,
    on: Place = "local",
    num_processes: int | None = None,
    directory: Path | None = None,
    report: Report = silent,
    announce: Announce = silent,
) -> Calibration:
    """Diagnose optimizers whose mechanisms are known by construction, and count what is wrong.

    Args:
        key: draws the planted optimizers' numbers, units and coordinates, and the halves.
        families: of constructions; all, and networks, if None.
        num_steps: length of the runs by which they are diagnosed.
        on: "local", in this process, or "processes", each with a share of the optimizers.
        num_processes: at once; as many as there are cores if None.
        directory: keeps each optimizer as it is done; the same call goes on with those that are left.
        report: told what is going on: a name, how many are done, of how many.
        announce: told what is not as it should be, but does not stop the run.

    Returns:
        All cases, confusion, error rates of both halves, errors of numbers.

    Raises:
        ValueError: for an unknown family or place, or if the directory holds another calibration.
    """
    from optoscope._core.checks import check_choice

    for family in families or ():
        check_choice("family", family, FAMILIES)
    drawn = tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())
    planted, halves, fits = _planted(drawn, families, num_steps)
    settings = {"calibration": "rules", "key": drawn, "families": families, "num_steps": num_steps}
    with open_run(directory, settings, resume=True, announce=announce) as log:
        found = run_parts(
            _check,
            [(drawn, families, num_steps, i) for i in range(len(planted))],
            log=log,
            keys=[[one.name, half] for one, half in zip(planted, halves)],
            on=on,
            num_processes=num_processes,
            title="planted optimizers",
            report=report,
        )
    return summarize([Case(**one) for one in found], fits=fits, num_steps=num_steps)


@functools.lru_cache(maxsize=1)
def _planted(
    drawn: tuple[int, ...], families: tuple[str, ...] | None, num_steps: int
) -> tuple[list[Planted], list[str], dict[str, float]]:
    """Planted optimizers, the half of each, and how well networks imitate."""
    key = jax.random.wrap_key_data(jnp.asarray(drawn, jnp.uint32))
    planted = catalogue(key=key, num_steps=num_steps, families=families or tuple(FAMILIES))
    fits = {}
    if families is None:
        found = imitations()
        fits = {imitation.name: max(imitation.errors.values()) for imitation in found}
        planted += plant_networks(found, key=key, num_steps=num_steps)
    return planted, split(planted, key=key), fits


def _check(drawn: tuple[int, ...], families: tuple[str, ...] | None, num_steps: int, i: int) -> dict[str, Any]:
    planted, halves, _ = _planted(drawn, families, num_steps)
    return dataclasses.asdict(check_diagnosis(planted[i], halves[i], num_steps=num_steps))


def split(planted: Sequence[Planted], *, key: PRNGKeyArray) -> list[str]:
    """Assign each optimizer to a half: half of each family, drawn."""
    rng = np.random.default_rng([*np.asarray(jax.random.key_data(key)).ravel(), 2000])
    halves = [""] * len(planted)
    for number, family in enumerate(dict.fromkeys(one.family for one in planted)):
        members = rng.permutation([i for i, one in enumerate(planted) if one.family == family])
        for place, i in enumerate(members):
            halves[i] = "first" if (place + number) % 2 == 0 else "second"
    return halves


def summarize(cases: Sequence[Case], *, fits: dict[str, float], num_steps: int = 200) -> Calibration:
    """Count verdicts and compare numbers.

    Args:
        cases: from `check_diagnosis`.
        fits: of the imitations.
        num_steps: with which they were made.
    """
    halves = {half: [case for case in cases if case.half == half] for half in ("first", "second")}
    return Calibration(
        cases=[{**dataclasses.asdict(case), "mistakes": case.mistakes} for case in cases],
        limits={name: _limits(halves["first"], name) for name in PLANTED},
        confusion={half: {name: _confusion(some, name) for name in PLANTED} for half, some in halves.items()},
        rates={half: {name: _rates(some, name) for name in PLANTED} for half, some in halves.items()},
        errors={half: _errors(some) for half, some in halves.items()},
        self_check=_self_check(cases),
        mistakes={half: [f"{c.name}: {m}" for c in some for m in c.mistakes] for half, some in halves.items()},
        fits=fits,
        num_optimizers=len(cases),
        provenance=provenance(
            num_steps=num_steps,
            planted_from=PLANTED,
            negligible_to=NEGLIGIBLE,
            accepted_error=ACCEPTED_ERROR,
        ),
    )


def _self_check(cases: Sequence[Case]) -> dict[str, Any]:
    right, others = ([c for c in cases if c.is_right == wanted] for wanted in (True, False))
    return {
        "flagged": _share(sum(c.is_flagged for c in others), len(others)),
        "false alarms": _share(sum(c.is_flagged for c in right), len(right)),
        "not flagged": [c.name for c in others if not c.is_flagged],
        "falsely flagged": [c.name for c in right if c.is_flagged],
    }


def _limits(cases: Sequence[Case], mechanism: str) -> dict[str, Any]:
    sizes = {
        expected: [case.sizes[mechanism] for case in cases if case.expected[mechanism] == expected]
        for expected in ("present", "absent")
    }
    absent_below, present_above = LIMITS[mechanism]
    largest, smallest = max(sizes["absent"], default=0.0), min(sizes["present"], default=float("inf"))
    return {
        "largest where nothing is planted": largest,
        "smallest where something is": smallest,
        "absent below": absent_below,
        "present above": present_above,
        "between": bool(largest <= absent_below and smallest >= present_above),
    }


def _confusion(cases: Sequence[Case], mechanism: str) -> dict[str, dict[str, int]]:
    words = ("present", "absent", "undecided")
    return {
        expected: {
            word: sum(c.expected[mechanism] == expected and c.found[mechanism] == word for c in cases) for word in words
        }
        for expected in ("present", "absent", "faint")
    }


def _rates(cases: Sequence[Case], mechanism: str) -> dict[str, Any]:
    table = _confusion(cases, mechanism)
    return {
        "false positive": _share(table["absent"]["present"], sum(table["absent"].values())),
        "false negative": _share(table["present"]["absent"], sum(table["present"].values())),
        "undecided": _share(
            table["absent"]["undecided"] + table["present"]["undecided"],
            sum(table["absent"].values()) + sum(table["present"].values()),
        ),
    }


def _share(count: int, total: int) -> dict[str, Any]:
    if not total:
        return {"count": 0, "of": 0, "rate": None, "interval": [0.0, 1.0]}
    interval = scipy.stats.binomtest(count, total).proportion_ci(0.95, method="exact")
    return {"count": count, "of": total, "rate": count / total, "interval": [float(interval.low), float(interval.high)]}


def _errors(cases: Sequence[Case]) -> dict[str, Any]:
    table = {}
    for name, bar in BARS.items():
        for group, networks in (("", False), (" of imitations", True)):
            errors = np.array([c.errors[name] for c in cases if name in c.errors and c.is_network == networks])
            table[name + group] = {
                "number": len(errors),
                "median": float(np.median(errors)) if len(errors) else None,
                "largest": float(errors.max()) if len(errors) else None,
                "bar": bar,
                "beyond": int((errors > bar).sum()),
            }
    return table


def _counts(rate: dict[str, Any]) -> list[Any]:
    return [rate["count"], rate["of"], rate["interval"]]
