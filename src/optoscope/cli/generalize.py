"""`optoscope generalize`."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated

import tyro

from optoscope.cli.commands import _check_file, _Computes, _Optimizers
from optoscope.cli.devices import prepare
from optoscope.cli.output import Output, make_reporter


@dataclasses.dataclass(frozen=True)
class Generalize(_Computes):
    """Run optimizers on other tasks, for up to 1000 steps, with gradients rescaled from 0.01 to 100.

    Losses stand beside what the stability map and the range of gradients seen in training predicted. Without OPTIMIZER:
    everything that ships. Finished cells are kept in --out; the same command goes on where it stopped.

    Example: optoscope generalize linear_regression rosenbrock --tasks linear_regression rosenbrock --out generalization
    """

    optimizer: _Optimizers = ()
    """Optimizers: shipped names, paths, or module:name(literals); all that ship, up to 64 units, if none is named."""
    tasks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TASK")] = ("linear_regression", "rosenbrock", "two_moons")
    """Tasks; mnist takes an hour or so on 2 cores, digits stands in for it where it cannot be had."""
    out: Path = Path("generalization")
    """Directory for finished cells, the matrix (.npz), the figure (PNG, SVG) and its numbers (JSON)."""
    scales: Annotated[tuple[float, ...], tyro.conf.arg(metavar="FACTOR")] = (0.01, 0.1, 1.0, 10.0, 100.0)
    """Factors of the gradient."""
    horizons: Annotated[tuple[int, ...], tyro.conf.arg(metavar="STEPS")] = (50, 100, 200, 500, 1000)
    """Iterations at which each run is read."""
    num_problems: int | None = None
    """Test problems per cell: by default 64 of linear regression and Rosenbrock, 2 of two moons, 1 of MNIST."""
    seed: int = 0
    """Draws the test problems."""
    json: bool = False
    """Print JSON instead of tables."""
    force: bool = False
    """Overwrite the figure in --out."""

    def run(self) -> int:
        """Run all cells, print and save."""
        prepare(self.mnist_dir)
        import jax

        from optoscope.cli.optimizer_spec import parse_component_wise
        from optoscope.prediction.generalization import MOST_UNITS, generalize, shipped_optimizers

        _check_file(self.out / "generalization.json", self.force)
        optimizers, homes = shipped_optimizers(most_units=math.inf if self.optimizer else MOST_UNITS)
        if self.optimizer:
            optimizers = {name: parse_component_wise(name) for name in self.optimizer}
        names = [name.partition("(")[0] for name in self.tasks]
        with make_reporter("generalize") as report:
            matrix = generalize(
                optimizers,
                self.tasks,
                key=jax.random.key(self.seed),
                directory=self.out / "cells",
                homes={name: home for name, home in homes.items() if name in optimizers},
                scales=self.scales,
                horizons=self.horizons,
                num_problems=None if self.num_problems is None else dict.fromkeys(names, self.num_problems),
                report=report.stage,
            )
        from optoscope.figures.generalization import save_generalization_figure

        matrix.save(self.out / "generalization.npz")
        written = save_generalization_figure(matrix, self.out)
        out = Output(json=self.json)
        columns = ["optimizer", "factor", *(f"{steps} steps" for steps in matrix.horizons.tolist()),
                   "diverged", "circled", "stable", "gradients / range"]  # fmt: skip
        for j, task in enumerate(matrix.tasks):
            rows = [
                [name, float(scale), *matrix.medians[i, j, k].tolist(), float(matrix.diverged[i, j, k]),
                 float(matrix.circled[i, j, k]), float(matrix.stable_fractions[i, j, k]),
                 float(matrix.range_ratios[i, j, k])]
                for i, name in enumerate(matrix.optimizers) for k, scale in enumerate(matrix.scales)
            ]  # fmt: skip
            out.table(f"Median meta-objective on {task}, after", columns, rows)
        columns = ["predictor", "sound_sound", "sound_fails", "fails_sound", "fails_fails", "accuracy"]
        agreement = [[getattr(one, column) for column in columns] for one in matrix.agreement()]
        out.table("Predicted, then found", columns, agreement)
        out.text(f"wrote {', '.join(str(path) for path in written)}")
        return out.finish()
