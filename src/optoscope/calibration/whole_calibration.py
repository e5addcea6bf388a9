"""How often `structure` is right about whole optimizers whose truth is known."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from optoscope._core.progress import Announce, Report, silent
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope.calibration.whole_plants import WholePlant, whole_plants
from optoscope.running.run_log import open_run
from optoscope.whole import Structure, structure
from optoscope.whole._symmetries import is_of_matrices, rotates

#: What sizes of decay, and values of thresholds, may be off by.
_DECAY, _THRESHOLD = 0.01, 0.02
QUESTIONS = ("unit", "threshold", "decay", "noise", "rhythm", "spectral")


@dataclasses.dataclass(frozen=True)
class WholeCalibration(Result):
    """Each question to each planted whole optimizer, and whether the answer was right.

    Attributes:
        rows: for each its `name`, its `half` (0: what thresholds were set on, 1: held out), its `summary`, and for each
            question the `truth`, the `answer`, and whether it is `right`.
        provenance: who made it.
    """

    rows: list[dict[str, Any]]
    provenance: dict[str, Any]

    def tables(self) -> list[Table]:
        """Return right, missed and invented answers by question and half, and all that was wrong."""
        rows = []
        for half in (0, 1):
            for question in QUESTIONS:
                asked = [row["questions"][question] for row in self.rows if row["half"] == half]
                present = [one for one in asked if one["present"]]
                absent = [one for one in asked if not one["present"]]
                rows.append([
                    "held out" if half else "set on", question, len(present), sum(one["right"] for one in present),
                    len(absent), sum(one["right"] for one in absent),
                ])  # fmt: skip
        wrong = [
            [row["name"], question, str(one["truth"]), str(one["answer"])]
            for row in self.rows
            for question, one in row["questions"].items()
            if not one["right"]
        ]
        columns = ["half", "question", "planted", "planted_right", "without", "without_right"]
        return [
            Table("answers", columns, rows, title="Planted whole optimizers"),
            Table("wrong", ["plant", "question", "truth", "answer"], wrong, title="Wrong answers"),
        ]


def calibrate_wholes(
    *, directory: Path | None = None, report: Report = silent, announce: Announce = silent
) -> WholeCalibration:
    """Ask `structure` about every planted whole optimizer.

    Args:
        directory: keeps each as it is done; the same call goes on with those that are left.
        report: told what is going on: a name, how many are done, of how many.
        announce: told what is not as it should be, but does not stop the run.
    """
    plants, rows = whole_plants(), []
    with open_run(directory, {"calibration": "whole optimizers"}, resume=True, announce=announce) as log:
        for i, plant in enumerate(plants):
            report("whole optimizers", i, len(plants))
            row = log.known_or(plant.name, lambda plant=plant: _asked(plant))
            rows.append({"name": plant.name, "half": i % 2, **row})
    return WholeCalibration(rows, provenance())


def _asked(plant: WholePlant) -> dict[str, Any]:
    found = structure(plant.make(), name=plant.name)
    questions = {
        name: {"truth": truth, "answer": answer, "present": bool(present), "right": bool(right)}
        for name, truth, answer, present, right in _answers(plant, found)
    }
    return {"summary": found.summary, "questions": questions}


def _answers(plant: WholePlant, found: Structure) -> list[tuple[str, Any, Any, Any, Any]]:
    """Name, truth, answer, whether it is there, and whether the answer is right."""
    met = [[one["norm"], float(one["value"])] for one in found.thresholds]
    same = lambda a, b: a[0] == b[0] and np.isclose(a[1], b[1], rtol=_THRESHOLD)
    is_met = len(met) == 1 and same(met[0], plant.threshold) if plant.threshold else not met
    decay = [found.decay["kind"], float(found.decay["size"])]
    is_decay = decay[0] == plant.decay[0] and bool(np.isclose(decay[1], plant.decay[1], rtol=_DECAY))
    rhythm = [found.rhythm["period"], found.rhythm["gathers"]]
    spectral = bool(rotates(found.symmetries) and is_of_matrices(found.symmetries))
    noise = bool(found.rhythm["noise"] > 0)
    return [
        ("unit", plant.unit, found.unit, plant.unit != "component", plant.unit == found.unit),
        ("threshold", plant.threshold, met, plant.threshold, is_met),
        ("decay", list(plant.decay), decay, plant.decay[0] != "none", is_decay),
        ("noise", plant.noise, noise, plant.noise, plant.noise == noise),
        ("rhythm", list(plant.rhythm), rhythm, plant.rhythm[0] > 1, list(plant.rhythm) == rhythm),
        ("spectral", plant.spectral, spectral, plant.spectral, plant.spectral == spectral),
    ]
