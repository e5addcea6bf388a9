"""Every shipped optimizer (but those of 256 units) on every task, over scales and horizons.

`docs/generalization.md` shows the numbers.

Tasks that are not named stay as they are in `benchmarks/results/generalization.json`, if that has the same optimizers.
The picture of the page is drawn anew.
"""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np

from benchmarks._report import RESULTS, record
from optoscope.figures.generalization import save_generalization_figure
from optoscope.robustness.generalization import GeneralizationMatrix, generalize, shipped_optimizers

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "generalization.png"
TASK_NAMES = ["linear_regression", "rosenbrock", "two_moons", "mnist"]
#: Axis of tasks in every array of `ARRAYS`.
TASKS = 1
#: Arrays of a matrix, and to how many digits they are kept: enough that counts of cells come out the same.
ARRAYS = {
    "means": 3, "medians": 3, "final_medians": 3, "above_start": 6, "diverged": 6, "circled": 6, "stable_fractions": 6,
    "stable_ends": 6, "run_agreement": 6, "range_ratios": 6,
}  # fmt: skip
#: What null stands for where it is not NaN.
DIVERGED = ("means", "medians", "final_medians")


def compact(array, digits=3):
    """A few digits; what is not finite is null."""
    if array.ndim:
        return [compact(part, digits) for part in array]
    return float(f"{array:.{digits}g}") if abs(array) < 1e30 else None


def numbers_of(matrix: GeneralizationMatrix) -> dict:
    """The matrix as compact JSON data."""
    return {
        "axes": ["optimizer", "task", "scale", "horizon"],
        "optimizers": matrix.optimizers,
        "tasks": matrix.tasks,
        "references": matrix.references,
        "scales": matrix.scales.tolist(),
        "horizons": matrix.horizons.tolist(),
        **{name: compact(getattr(matrix, name), digits) for name, digits in ARRAYS.items()},
        "settings": matrix.provenance["settings"],
    }


def matrix_of(numbers: dict) -> GeneralizationMatrix:
    """The matrix that `numbers_of` wrote down."""
    arrays = {name: np.array(numbers[name], float) for name in ARRAYS}  # null becomes NaN
    for name in DIVERGED:
        arrays[name] = np.where(np.isnan(arrays[name]), np.inf, arrays[name])
    return GeneralizationMatrix(
        optimizers=numbers["optimizers"],
        tasks=numbers["tasks"],
        references=numbers["references"],
        scales=np.array(numbers["scales"]),
        horizons=np.array(numbers["horizons"]),
        **arrays,
        provenance={"settings": numbers["settings"]},
    )


def joined(old: GeneralizationMatrix, new: GeneralizationMatrix) -> GeneralizationMatrix:
    """Add to a matrix the tasks of an older one that it lacks, before its own; sizes of both are kept.

    Raises:
        ValueError: if they have other optimizers, scales or horizons.
    """
    for name in ("optimizers", "scales", "horizons"):
        if not np.array_equal(getattr(old, name), getattr(new, name)):
            raise ValueError(f"what was measured before has other {name}; measure all tasks again.")
    kept = [i for i, task in enumerate(old.tasks) if task not in new.tasks]
    settings = {key: {**old.provenance["settings"][key], **one} for key, one in new.provenance["settings"].items()}
    return dataclasses.replace(
        new,
        tasks=[*(old.tasks[i] for i in kept), *new.tasks],
        references=[*(old.references[i] for i in kept), *new.references],
        **{n: np.concatenate([getattr(old, n)[:, kept], getattr(new, n)], axis=TASKS) for n in ARRAYS},
        provenance={**new.provenance, "settings": settings},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=TASK_NAMES)
    parser.add_argument("--out", type=Path, required=True, help="directory of finished cells; a second call goes on")
    arguments = parser.parse_args()
    optimizers, homes = shipped_optimizers()
    matrix = generalize(
        optimizers,
        arguments.tasks,
        homes=homes,
        key=jax.random.key(0),
        directory=arguments.out / "cells",
        report=lambda what, done, total: print(f"{what} {done}/{total}", flush=True),
    )
    matrix.save(arguments.out / "generalization.npz")
    path = RESULTS / "generalization.json"
    if path.exists() and not set(TASK_NAMES) <= set(matrix.tasks):
        matrix = joined(matrix_of(json.loads(path.read_text())["numbers"]), matrix)
    record("generalization", numbers_of(matrix))
    shutil.copy(save_generalization_figure(matrix, arguments.out)[0], PICTURE)


if __name__ == "__main__":
    main()
