"""`optoscope stability`."""

import dataclasses
from pathlib import Path
from typing import Any

from optoscope.cli._arguments import Force, NumProblems, NumSteps, Optimizer, Seed, TaskOption
from optoscope.cli._checks import check_file, check_fits
from optoscope.cli._command import RunsTasks, TakesOptimizers
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Stability(RunsTasks, TakesOptimizers):
    """Predict from its linearization at which curvatures an optimizer is stable, and measure it in simulation.

    OPTIMIZER is a shipped name, a path, or module:name(literals). With a task, the edges stand beside the curvatures
    that the optimizer's runs meet there, and beside the edges of momentum tuned on it, where that ships. Of a whole
    optimizer (weight decay, norms over tensors) it is one component among others whose gradients have the size 1.

    Example: optoscope stability linear_regression --task linear_regression --out stability
    """

    optimizer: Optimizer
    out: Path
    """Directory for the results (.npz), the figure (PNG, SVG) and its numbers (JSON)."""
    task: TaskOption | None = None
    """Name of a task, whose curvatures stand beside the edges."""
    num_problems: NumProblems | None = None
    """Test problems for the task's curvatures: 64 of small tasks, 2 of networks."""
    num_steps: NumSteps = 200
    seed: Seed = 0
    """Draws the test problems."""
    force: Force = False

    @property
    def title(self) -> str:
        """The optimizer."""
        return f"stability of {self.optimizer}"

    def prepare(self) -> dict[str, Any]:
        """Return the arguments of the study."""
        from optoscope import artifacts, tasks
        from optoscope.robustness.generalization import affordable_problems
        from optoscope.whole import find_component

        check_file(self.out / "stability.json", self.force)
        check_file(self.out / "edges.npz", self.force)
        task = None if self.task is None else tasks.get(self.task)
        kind = "" if task is None else task.kind
        num_problems = self.num_problems or (64 if task is None else affordable_problems(task))
        if task is not None:
            check_fits(task, num_problems=num_problems, num_steps=self.num_steps)
        component = find_component(self.optimizer, trust=self.trust)
        if component.view != "own" and task is not None:
            raise ValueError(f"this optimizer does not treat every component by itself: {component.reason}; no --task.")
        other = f"{kind}/momentum"
        baseline = artifacts.load(other).optimizer if other in artifacts.shipped() and other != self.optimizer else None
        return {
            "optimizer": component.optimizer if component.view == "own" else None,
            "task": task,
            "baseline": baseline,
            "baseline_name": other,
            "num_problems": num_problems,
        }

    def compute(self, prepared: dict[str, Any], report: Reporter) -> Any:
        """Predict and measure."""
        import jax

        from optoscope.artifacts.as_optimizer import as_whole
        from optoscope.robustness.stability import study_stability
        from optoscope.whole import find_edges

        if prepared["optimizer"] is None:
            return find_edges(as_whole(self.optimizer, trust=self.trust))
        return study_stability(
            name=self.optimizer,
            key=jax.random.key(self.seed),
            num_steps=self.num_steps,
            report=report.stage,
            **prepared,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the results and the figure."""
        from optoscope.figures.stability import save_stability_figure
        from optoscope.whole import WholeEdges

        if isinstance(result, WholeEdges):
            return [result.save(self.out / "edges.npz")]
        result.save(self.out)
        return list(save_stability_figure(result, self.out))
