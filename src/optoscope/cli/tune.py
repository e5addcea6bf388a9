"""`optoscope tune`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from optoscope._core.allowed import Allowed
from optoscope.cli._arguments import Force, Resume, Rule, Seed, Task
from optoscope.cli._checks import check_place
from optoscope.cli._command import RunsTasks
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class Tune(RunsTasks):
    """Tune a hand-designed optimizer on a task by random search.

    Example: optoscope tune linear_regression momentum --out runs/momentum
    """

    task: Task
    rule: Rule
    """Name of a rule, such as momentum, rmsprop or adam."""
    out: Path
    """Directory for the tuned optimizer."""
    num_samples: Annotated[int, Allowed(1, 1_000_000, advice="the paper uses 2500")] = 2500
    """Random settings to try."""
    recheck: Annotated[int, Allowed(0, 1_000_000)] = 0
    """Settings dropped early that are given a whole run after all, to see whether dropping them lost anything."""
    seed: Seed = 0
    """Determines everything random."""
    resume: Resume = False
    force: Force = False

    @property
    def title(self) -> str:
        """The rule and the task."""
        return f"{self.rule} on {self.task}"

    def prepare(self) -> Any:
        """Return the task."""
        from optoscope import optimizers, tasks
        from optoscope.training.search_spaces import search_space

        check_place(self.out)
        task = tasks.get(self.task)
        optimizers.get(self.rule)
        search_space(self.task, self.rule)
        return task

    def compute(self, prepared: Any, report: Reporter) -> Any:
        """Tune."""
        import jax

        from optoscope.running.run_log import discard_run
        from optoscope.training import tune

        if self.force and not self.resume:
            discard_run(self.out, f"{self.rule}.*")
        return tune(
            prepared,
            self.rule,
            num_samples=self.num_samples,
            num_rechecked=self.recheck,
            key=jax.random.key(self.seed),
            seed=self.seed,
            directory=self.out,
            resume=self.resume,
            report=report.stage,
            announce=report.note,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the tuned optimizer."""
        return [result.save(self.out / self.rule)]

    def show(self, result: Any, out: Output) -> None:
        """Print the winner."""
        for sentence in result.widened:
            out.text(sentence)
        setting = ", ".join(f"{name}={value:.4g}" for name, value in result.hyperparameters.items())
        out.text(f"best: {setting}, meta-objective {result.score:.5f}")
        out.data(hyperparameters=result.hyperparameters, score=result.score, widened=result.widened)
