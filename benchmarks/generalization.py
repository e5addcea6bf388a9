"""Every shipped optimizer (but those of 256 units) on every task, over scales and horizons.

`docs/generalization.md` shows the numbers.

Tasks that are not named stay as they are in `benchmarks/results/generalization.json`, if that has the same optimizers.
The picture of the page is drawn anew.
"""

import argparse
import json
import shutil
from pathlib import Path

import jax

from benchmarks._report import RESULTS, record
from optoscope.figures.generalization import save_generalization_figure
from optoscope.robustness.generalization import generalize, shipped_optimizers
from optoscope.robustness.matrices import join_matrices, matrix_numbers, matrix_of

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "generalization.png"
TASK_NAMES = ["linear_regression", "rosenbrock", "two_moons", "mnist"]


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
        matrix = join_matrices(matrix_of(json.loads(path.read_text())["numbers"]), matrix)
    record("generalization", matrix_numbers(matrix))
    shutil.copy(save_generalization_figure(matrix, arguments.out)[0], PICTURE)


if __name__ == "__main__":
    main()
