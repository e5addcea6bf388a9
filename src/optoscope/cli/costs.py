"""`optoscope costs`."""

import dataclasses
from pathlib import Path
from typing import Any

from optoscope._core.tables import Table
from optoscope.cli._arguments import Force, NumSteps, Optimizers, Seed, SeveralProblems, Task
from optoscope.cli._checks import check_file, check_fits
from optoscope.cli._command import RunsTasks, TakesOptimizers
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class Costs(RunsTasks, TakesOptimizers):
    """Measure what a step of each optimizer costs, and compare losses after equal time, not only equal steps.

    Without OPTIMIZER: the learned optimizer and the tuned baselines that ship for the task.

    Example: optoscope costs rosenbrock --out costs
    """

    is_long = True
    task: Task
    out: Path
    """Directory for the results (.npz), the figure (PNG, SVG) and its numbers (JSON)."""
    optimizer: Optimizers = ()
    """Shipped names, paths, or module:name(literals)."""
    num_problems: SeveralProblems = 16
    """Test problems of the loss curves."""
    num_steps: NumSteps = 200
    seed: Seed = 0
    """Draws the test problems."""
    force: Force = False

    @property
    def title(self) -> str:
        """The task."""
        return f"costs on {self.task}"

    def prepare(self) -> tuple[Any, dict[str, Any]]:
        """Return the task and the optimizers."""
        from optoscope import artifacts, tasks

        task = tasks.get(self.task)
        specs = {name: name for name in self.optimizer}
        if not specs:
            specs = {name.partition("/")[2] or "learned": name for name in artifacts.shipped_for(self.task)}
        if not specs:
            raise ValueError(f"nothing ships for {self.task}; name the optimizers to time.")
        check_file(self.out / "wall_clock.json", self.force)
        check_fits(task, num_problems=self.num_problems, num_steps=self.num_steps)
        return task, {name: self.read_optimizer(spec) for name, spec in specs.items()}

    def compute(self, prepared: tuple[Any, dict[str, Any]], report: Reporter) -> tuple[Any, Any]:
        """Evaluate and time."""
        import jax

        from optoscope.running import evaluate, measure_costs

        task, rules = prepared
        key = jax.random.key(self.seed)
        sizes = {"num_problems": self.num_problems, "num_steps": self.num_steps}
        evaluation = evaluate(task, rules, **sizes, key=key, report=report.stage)
        return evaluation, measure_costs(task, rules, key=key, report=report.stage)

    def save(self, result: tuple[Any, Any]) -> list[Path]:
        """Write the results and the figure."""
        from optoscope.figures.wall_clock import save_wall_clock_figure

        evaluation, costs = result
        costs.save(self.out / "costs.npz")
        evaluation.save(self.out / "evaluation.npz")
        return list(save_wall_clock_figure(evaluation, costs, self.out))

    def show(self, result: tuple[Any, Any], out: Output) -> None:
        """Print the costs, and what losses they come to."""
        import numpy as np

        evaluation, costs = result
        (steps,) = costs.tables()
        losses = zip(np.median(evaluation.losses[..., -1], axis=1), np.median(costs.at_equal_time(evaluation), axis=1))
        rows = [[*row, last, at_equal_time] for row, (last, at_equal_time) in zip(steps.rows, losses)]
        columns = [*steps.columns, "median_last_loss", "median_loss_at_equal_time"]
        out.table(Table(steps.name, columns, rows, title=steps.title))
