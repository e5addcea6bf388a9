"""`optoscope stability`."""

import dataclasses
from pathlib import Path

from optoscope.cli.commands import _check_file, _Computes, _Optimizer
from optoscope.cli.devices import prepare
from optoscope.cli.output import Output, make_reporter


@dataclasses.dataclass(frozen=True)
class Stability(_Computes):
    """Predict from its linearization at which curvatures an optimizer is stable, and measure it in simulation.

    OPTIMIZER is a shipped name, a path, or module:name(literals). With a task, the edges stand beside the curvatures
    that the optimizer's runs meet there, and beside the edges of momentum tuned on it, where that ships.

    Example: optoscope stability linear_regression --task linear_regression --out stability
    """

    optimizer: _Optimizer
    """A shipped name, a path, or module:name(literals)."""
    out: Path
    """Directory for the results (.npz), the figure (PNG, SVG) and its numbers (JSON)."""
    task: str | None = None
    """Name of a task."""
    num_problems: int | None = None
    """Test problems for the task's curvatures: 64 of small tasks, 2 of networks."""
    num_steps: int = 200
    """Updates per run."""
    seed: int = 0
    """Draws the test problems."""
    json: bool = False
    """Print JSON instead of tables."""
    force: bool = False
    """Overwrite what --out holds."""

    def run(self) -> int:
        """Predict, measure, print and save."""
        prepare(self.mnist_dir)
        import jax

        from optoscope import artifacts, tasks
        from optoscope.cli.optimizer_spec import parse_component_wise
        from optoscope.prediction.generalization import NUM_PROBLEMS
        from optoscope.prediction.stability import study_stability

        _check_file(self.out / "stability.json", self.force)
        optimizer = parse_component_wise(self.optimizer)
        task = None if self.task is None else tasks.get(self.task)
        kind = (self.task or "").partition("(")[0]
        other = f"{kind}/momentum"
        baseline = artifacts.load(other).optimizer if other in artifacts.shipped() and other != self.optimizer else None
        with make_reporter(f"stability of {self.optimizer}") as report:
            study = study_stability(
                optimizer,
                name=self.optimizer,
                task=task,
                baseline=baseline,
                baseline_name=other,
                key=jax.random.key(self.seed),
                num_problems=self.num_problems or NUM_PROBLEMS.get(kind, 64),
                num_steps=self.num_steps,
                report=report.stage,
            )
        from optoscope.figures.stability import save_stability_figure

        study.save(self.out)
        written = save_stability_figure(study, self.out)
        out = Output(json=self.json)
        rows = study.edges()
        columns = ["optimizer", "predicted", "measured", "error", "stable below"]
        if task is not None:
            columns += ["largest curvature of all runs", "edge / largest", "edge / largest at the end"]
        out.table("Edges of stability", columns, [[row.get(column) for column in columns] for row in rows])
        columns = ["curvature", "outcome", "amplitude", "period"]
        out.table(
            "Beyond them",
            ["optimizer", *columns],
            [[row["optimizer"], *(end[c] for c in columns)] for row in rows for end in row.get("beyond", [])],
        )
        out.text(f"wrote {', '.join(str(path) for path in written)}")
        return out.finish()
