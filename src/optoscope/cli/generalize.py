"""`optoscope generalize`."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

import tyro

from optoscope._core.allowed import NAMES, Allowed
from optoscope._core.literals import name_in
from optoscope.cli._arguments import NumProblems, Optimizers, Seed
from optoscope.cli._checks import check_file, check_fits, check_place
from optoscope.cli._command import RunsTasks, TakesOptimizers
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Generalize(RunsTasks, TakesOptimizers):
    """Run optimizers on other tasks, for up to 1000 steps, with gradients rescaled from 0.01 to 100.

    Losses stand beside what the stability map and the range of gradients seen in training predicted. Without OPTIMIZER:
    everything that ships. Finished cells are kept in --out; the same command goes on where it stopped.

    Example: optoscope generalize linear_regression rosenbrock --tasks linear_regression rosenbrock --out generalization
    """

    is_long = True
    optimizer: Optimizers = ()
    """Optimizers: shipped names, paths, or module:name(literals); all that ship, up to 64 units, if none is named."""
    tasks: Annotated[tuple[str, ...], NAMES, tyro.conf.arg(metavar="TASK")] = (
        "linear_regression",
        "rosenbrock",
        "two_moons",
    )
    """Tasks; mnist takes an hour or so on 2 cores, digits stands in for it where it cannot be had."""
    out: Path = Path("generalization")
    """Directory for finished cells, the matrix (.npz), the figure (PNG, SVG) and its numbers (JSON)."""
    scales: Annotated[
        tuple[float, ...], Allowed(1e-12, 1e12, distinct=True, at_most=100), tyro.conf.arg(metavar="FACTOR")
    ] = (0.01, 0.1, 1.0, 10.0, 100.0)
    """Factors of the gradient."""
    horizons: Annotated[
        tuple[int, ...], Allowed(10, 1_000_000, distinct=True, at_most=100), tyro.conf.arg(metavar="STEPS")
    ] = (50, 100, 200, 500, 1000)
    """Iterations at which each run is read."""
    num_problems: NumProblems | None = None
    """Test problems per cell: by default 64 of linear regression and Rosenbrock, 2 of two moons, 1 of MNIST."""
    seed: Seed = 0
    """Draws the test problems."""
    force: Annotated[bool, tyro.conf.arg(help="Overwrite the figure in --out.")] = False

    @property
    def goes_on(self) -> str:
        """How to go on: cells that are done are kept."""
        return "; the same command goes on with the cells that are left"

    def prepare(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the optimizers, and for the trained ones the task that they were trained on."""
        from optoscope import tasks
        from optoscope.robustness.generalization import MOST_UNITS, shipped_optimizers

        for name in ("tasks", "scales", "horizons"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is empty; leave it out, or name at least one.")
        for name in self.tasks:
            check_fits(tasks.get(name), num_problems=self.num_problems or 1, num_steps=max(self.horizons))
        check_file(self.out / "generalization.json", self.force)
        check_place(self.out / "cells")
        optimizers, homes = shipped_optimizers(most_units=math.inf if self.optimizer else MOST_UNITS)
        if self.optimizer:
            optimizers = {name: self.read_rule(name) for name in self.optimizer}
        return optimizers, {name: home for name, home in homes.items() if name in optimizers}

    def compute(self, prepared: tuple[dict[str, Any], dict[str, str]], report: Reporter) -> Any:
        """Run all cells."""
        import jax

        from optoscope.robustness.generalization import generalize

        optimizers, homes = prepared
        names = [name_in(name) for name in self.tasks]
        return generalize(
            optimizers,
            self.tasks,
            key=jax.random.key(self.seed),
            directory=self.out / "cells",
            homes=homes,
            scales=self.scales,
            horizons=self.horizons,
            num_problems=None if self.num_problems is None else dict.fromkeys(names, self.num_problems),
            report=report.stage,
            announce=report.note,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the matrix and the figure."""
        from optoscope.figures.generalization import save_generalization_figure

        result.save(self.out / "generalization.npz")
        return list(save_generalization_figure(result, self.out))
