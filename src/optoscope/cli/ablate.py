"""`optoscope ablate`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from optoscope._core.allowed import Allowed
from optoscope.cli._arguments import Force, Names, NumSteps, Optimizer, Resume, Seed, SeveralProblems, TaskOption
from optoscope.cli._checks import check_file, check_fits
from optoscope.cli._command import RunsTasks, TakesOptimizers
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Ablate(RunsTasks, TakesOptimizers):
    """Remove each mechanism of an optimizer, and try each alone: which are needed, and which are enough?

    OPTIMIZER is a shipped name, a path, or module:name(literals).

    Example: optoscope ablate rosenbrock --task rosenbrock --out ablation
    """

    is_long = True
    optimizer: Optimizer
    task: TaskOption
    out: Path | None = None
    """Directory for the whole result (.npz), the figure (PNG, SVG), its numbers (JSON), and a log of
    finished parts."""
    mechanisms: Names = ()
    """Mechanisms: momentum, clipping, schedule, adaptation, non-monotonicity, grouping; all if none is named."""
    num_problems: SeveralProblems = 64
    """Test problems, and as many to tune each variant's scale of updates on."""
    num_steps: NumSteps = 200
    num_controls: Annotated[int, Allowed(0, 1000)] = 5
    """Random draws beside the removal of modes."""
    seed: Seed = 0
    """Draws problems and controls."""
    resume: Resume = False
    force: Force = False

    @property
    def title(self) -> str:
        """The optimizer and the task."""
        return f"ablate {self.optimizer} on {self.task}"

    def prepare(self) -> tuple[Any, Any]:
        """Return the optimizer and the task."""
        from optoscope import tasks
        from optoscope._core.choices import check_choice
        from optoscope.interventions import MECHANISMS

        for mechanism in self.mechanisms:
            check_choice("mechanism", mechanism, MECHANISMS)
        task = tasks.get(self.task)
        if self.out is not None:
            check_file(self.out / "ablation.npz", self.force or self.resume)
        check_fits(task, num_problems=self.num_problems, num_steps=self.num_steps)
        return self.read_rule(self.optimizer), task

    def compute(self, prepared: tuple[Any, Any], report: Reporter) -> Any:
        """Ablate."""
        import jax

        from optoscope.interventions import MECHANISMS, ablate
        from optoscope.running.run_log import discard_run

        if self.out is not None and self.force and not self.resume:
            discard_run(self.out, "ablation.npz")
        return ablate(
            *prepared,
            key=jax.random.key(self.seed),
            num_problems=self.num_problems,
            num_steps=self.num_steps,
            mechanisms=self.mechanisms or MECHANISMS,
            num_controls=self.num_controls,
            directory=self.out,
            resume=self.resume,
            report=report.stage,
            announce=report.note,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the result and the figure."""
        if self.out is None:
            return []
        from optoscope.figures.ablation import save_ablation_figure

        return [result.save(self.out / "ablation.npz"), *save_ablation_figure(result, self.out)]
