"""`optoscope diagnose`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from optoscope._core.allowed import Allowed
from optoscope.cli._arguments import Force, Optimizer, Seed, TaskOption
from optoscope.cli._checks import check_file, check_fits
from optoscope.cli._command import RunsTasks, TakesOptimizers
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class Diagnose(RunsTasks, TakesOptimizers):
    """Say which mechanisms an optimizer has: momentum, clipping, schedule, adaptation, grouping.

    OPTIMIZER is a shipped name, a path, or module:name(literals).

    Example: optoscope diagnose "optax:adam(learning_rate=0.001)"
    """

    optimizer: Optimizer
    task: TaskOption | None = None
    """Name of a task; without one nothing is said about gradients that really occur."""
    gradients: Annotated[
        tuple[float, ...], Allowed(1e-12, 1e12, distinct=True, at_most=2), tyro.conf.arg(metavar="MAGNITUDE")
    ] = ()
    """The largest magnitude of gradients, or the smallest and the largest."""
    out: Path | None = None
    """Directory for the report (JSON), the evidence (.npz) and the figure (PNG, SVG, and its numbers as JSON)."""
    num_steps: Annotated[int, Allowed(10, 100_000, advice="the paper uses 200")] = 200
    """Length of every run."""
    seed: Seed = 0
    """Draws the task's test problems."""
    force: Force = False

    def prepare(self) -> tuple[Any, Any]:
        """Return the optimizer and the task."""
        from optoscope import tasks
        from optoscope.artifacts.as_optimizer import read_whole

        if self.out is not None:
            check_file(self.out / "diagnosis.json", self.force)
        if len(self.gradients) == 2 and self.gradients[0] > self.gradients[1]:
            raise ValueError("--gradients takes the smallest magnitude first, then the largest.")
        task = None if self.task is None else tasks.get(self.task)
        if task is not None:
            check_fits(task, num_problems=64, num_steps=self.num_steps)
        return read_whole(self.optimizer, trust=self.trust), task

    def compute(self, prepared: tuple[Any, Any], report: Reporter) -> Any:
        """Diagnose."""
        del report
        import jax

        from optoscope.mechanisms import diagnose

        optimizer, task = prepared
        return diagnose(
            optimizer,
            task=task,
            key=jax.random.key(self.seed),
            gradients=list(self.gradients) or None,
            num_steps=self.num_steps,
            name=self.optimizer,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the report, the evidence and the figure."""
        if self.out is None:
            return []
        from optoscope.figures.diagnosis import save_diagnosis_figure

        path = result.save(self.out)
        save_diagnosis_figure(result, self.out)
        return [path]

    def show(self, result: Any, out: Output) -> None:
        """Print the verdicts, and for which gradients they hold."""
        super().show(result, out)
        low, high = result.gradients
        out.text(f"Gradients from {low:.3g} to {high:.3g} ({result.gradients_origin}).")
