"""`optoscope costs`."""

import dataclasses
from pathlib import Path

from optoscope.cli.commands import _check_file, _Computes, _Optimizers, _Task
from optoscope.cli.devices import prepare
from optoscope.cli.output import Output, make_reporter


@dataclasses.dataclass(frozen=True)
class Costs(_Computes):
    """Measure what a step of each optimizer costs, and compare losses after equal time, not only equal steps.

    Without OPTIMIZER: the learned optimizer and the tuned baselines that ship for the task.

    Example: optoscope costs rosenbrock --out costs
    """

    task: _Task
    """Name of a task."""
    out: Path
    """Directory for the results (.npz), the figure (PNG, SVG) and its numbers (JSON)."""
    optimizer: _Optimizers = ()
    """Shipped names, paths, or module:name(literals)."""
    num_problems: int = 16
    """Test problems of the loss curves."""
    num_steps: int = 200
    """Updates per run."""
    seed: int = 0
    """Draws the test problems."""
    json: bool = False
    """Print JSON instead of tables."""
    force: bool = False
    """Overwrite what --out holds."""

    def run(self) -> int:
        """Evaluate, time, print and save."""
        prepare(self.mnist_dir)
        import jax
        import numpy as np

        from optoscope import artifacts, tasks
        from optoscope.cli.optimizer_spec import parse_optimizer
        from optoscope.training import evaluate, measure_costs

        task = tasks.get(self.task)
        specs = {name: name for name in self.optimizer}
        if not specs:
            specs = {name.partition("/")[2] or "learned": name for name in artifacts.shipped_for(self.task)}
        if not specs:
            raise ValueError(f"nothing ships for {self.task}; name the optimizers to time.")
        _check_file(self.out / "wall_clock.json", self.force)
        key = jax.random.key(self.seed)
        rules = {name: parse_optimizer(spec) for name, spec in specs.items()}
        with make_reporter(f"costs on {self.task}") as report:
            evaluation = evaluate(  # first, because it refuses bad sizes
                task, rules, num_problems=self.num_problems, num_steps=self.num_steps, key=key, report=report.stage
            )
            costs = measure_costs(task, rules, key=key, report=report.stage)
        self.out.mkdir(parents=True, exist_ok=True)
        costs.save(self.out / "costs.npz")
        evaluation.save(self.out / "evaluation.npz")
        from optoscope.figures.wall_clock import save_wall_clock_figure

        written = save_wall_clock_figure(evaluation, costs, self.out)
        out = Output(json=self.json)
        rows = [
            [name, 1e6 * seconds, seconds / costs.medians.min(), float(np.median(run[:, -1])), float(np.median(loss))]
            for name, seconds, run, loss in zip(
                rules, costs.medians, evaluation.losses, costs.at_equal_time(evaluation)
            )
        ]
        columns = ["optimizer", "microseconds per step", "times the cheapest", "median last loss", "at equal time"]
        out.table(f"Cost of a step on {self.task}", columns, rows)
        out.text(f"wrote {', '.join(str(path) for path in written)}")
        return out.finish()
