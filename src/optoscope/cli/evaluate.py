"""`optoscope evaluate`."""

import dataclasses
from pathlib import Path
from typing import Any

from optoscope.cli._arguments import Force, NumSteps, Optimizers, Seed, SeveralProblems, Task
from optoscope.cli._checks import check_file, check_fits
from optoscope.cli._command import RunsTasks, TakesOptimizers
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Evaluate(RunsTasks, TakesOptimizers):
    """Run optimizers on the same fresh problems of a task and compare them in pairs.

    Without OPTIMIZER: the learned optimizer and the tuned baselines that ship for the task.
    An OPTIMIZER is a shipped name, a path, or module:name(literals).

    Example: optoscope evaluate linear_regression linear_regression "optax:sgd(learning_rate=3.0, momentum=0.9)"
    """

    is_long = True
    task: Task
    optimizer: Optimizers = ()
    """Optimizers; the first is compared with each of the others."""
    num_problems: SeveralProblems = 64
    """Fresh test problems."""
    num_steps: NumSteps = 200
    seed: Seed = 0
    """Draws the test problems."""
    out: Path | None = None
    """Also write the whole result (losses of every run) to this .npz file."""
    force: Force = False

    @property
    def title(self) -> str:
        """The task."""
        return self.task

    def prepare(self) -> tuple[Any, dict[str, Any]]:
        """Return the task and the optimizers."""
        from optoscope import artifacts, tasks

        task = tasks.get(self.task)
        names = self.optimizer or artifacts.shipped_for(self.task)
        if not names:
            raise ValueError(f"nothing ships for {self.task}; name the optimizers to evaluate.")
        check_file(self.out, self.force, ending=".npz")
        check_fits(task, num_problems=self.num_problems, num_steps=self.num_steps)
        return task, {name: self.read_optimizer(name) for name in names}

    def compute(self, prepared: tuple[Any, dict[str, Any]], report: Reporter) -> Any:
        """Evaluate."""
        import jax

        from optoscope.running import evaluate

        task, optimizers = prepared
        return evaluate(
            task,
            optimizers,
            num_problems=self.num_problems,
            num_steps=self.num_steps,
            key=jax.random.key(self.seed),
            report=report.stage,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the losses of every run."""
        return [] if self.out is None else [result.save(self.out)]
