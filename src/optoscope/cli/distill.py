"""`optoscope distill`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from optoscope._core.allowed import Allowed
from optoscope.cli._arguments import Force, NumSteps, Optimizer, Seed, TaskOption
from optoscope.cli._checks import check_file, check_fits
from optoscope.cli._command import RunsTasks, TakesOptimizers
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Distill(RunsTasks, TakesOptimizers):
    """Distill an optimizer into a formula of few numbers, and measure what the formula keeps.

    OPTIMIZER is a shipped name, a path, or module:name(literals).

    Example: optoscope distill rosenbrock --task rosenbrock --out distilled
    """

    is_long = True
    optimizer: Optimizer
    task: TaskOption
    out: Path | None = None
    """Directory for the result (.npz), its summary (JSON), the formula (text and LaTeX) and the figure."""
    max_numbers: Annotated[int, Allowed(1, 1000)] = 30
    """Constants that the formula may have."""
    path: tuple[str, ...] = ()
    """Pieces in the order in which they are added, those that come together joined by +, momentum first; a path that
    suits Rosenbrock if none. docs/distillation.md lists them."""
    effort: Annotated[float, Allowed(1e-6, 1000, advice="1 is the usual length of all searches")] = 1.0
    """Multiplies the lengths of all searches."""
    num_test: Annotated[int, Allowed(2, 1_000_000)] = 4096
    """Test problems."""
    num_steps: NumSteps = 200
    seed: Seed = 0
    """Draws problems and starts."""
    force: Force = False

    @property
    def title(self) -> str:
        """The optimizer and the task."""
        return f"distill {self.optimizer} on {self.task}"

    def prepare(self) -> tuple[Any, Any, Any]:
        """Return the optimizer, the task and how hard to try."""
        from optoscope import tasks
        from optoscope.distillation import DistillConfig

        task = tasks.get(self.task)
        if self.out is not None:
            check_file(self.out / "distilled.npz", self.force)
        config = DistillConfig(max_numbers=self.max_numbers, num_test=self.num_test, num_steps=self.num_steps)
        if self.path:
            groups = tuple(tuple(piece.replace("_", " ") for piece in group.split("+")) for group in self.path)
            config = dataclasses.replace(config, path=groups)
        check_fits(task, num_problems=self.num_test, num_steps=self.num_steps)
        return self.read_rule(self.optimizer), task, config.with_effort(self.effort)

    def compute(self, prepared: tuple[Any, Any, Any], report: Reporter) -> Any:
        """Distill."""
        import jax

        from optoscope.distillation import distill

        optimizer, task, config = prepared
        return distill(
            optimizer,
            task,
            key=jax.random.key(self.seed),
            source=self.optimizer,
            config=config,
            report=report.stage,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the result and the figure."""
        if self.out is None:
            return []
        from optoscope.figures.distillation import save_distillation_figure

        return [result.save(self.out / "distilled.npz"), *save_distillation_figure(result, self.out)]
