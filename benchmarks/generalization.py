"""Every shipped optimizer on every task, over scales and horizons; `docs/generalization.md` shows the numbers."""

import argparse
from pathlib import Path

import jax
import numpy as np

from benchmarks._report import record
from optoscope.prediction.generalization import Agreement, GeneralizationMatrix, generalize, shipped_optimizers


def compact(array):
    """Three digits; what is not finite is null."""
    if array.ndim:
        return [compact(part) for part in array]
    return float(f"{array:.3g}") if abs(array) < 1e30 else None


def numbers_of(matrix: GeneralizationMatrix) -> dict:
    """The matrix as compact JSON data: three digits, `inf` as null."""

    arrays = ("means", "medians", "final_medians", "above_start", "diverged", "circled", "stable_fractions",
              "stable_ends", "run_agreement", "range_ratios")  # fmt: skip
    return {
        "axes": ["optimizer", "task", "scale", "horizon"],
        "optimizers": matrix.optimizers,
        "tasks": matrix.tasks,
        "references": matrix.references,
        "scales": matrix.scales.tolist(),
        "horizons": matrix.horizons.tolist(),
        **{name: compact(getattr(matrix, name)) for name in arrays},
        "agreement": [_row(one) for one in matrix.agreement()],
        "agreement by optimizer": {
            name: [_row(one) for one in matrix.agreement(name) if one.num_cells] for name in matrix.optimizers
        },
        "settings": matrix.provenance["settings"],
    }


def _row(one: Agreement) -> dict:
    return {**vars(one), "accuracy": compact(np.float64(one.accuracy))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=["linear_regression", "rosenbrock", "two_moons", "mnist"])
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
    record("generalization", numbers_of(matrix))


if __name__ == "__main__":
    main()
