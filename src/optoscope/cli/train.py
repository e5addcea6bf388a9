"""`optoscope train`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from optoscope._core.literals import name_in
from optoscope.cli._arguments import Resume, Seed, Settings, Task
from optoscope.cli._checks import check_place
from optoscope.cli._command import RunsTasks
from optoscope.cli._settings import configured
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class Train(RunsTasks):
    """Meta-train a learned optimizer on a task.

    Example: optoscope train linear_regression --preset fast --out runs/lr

    Ctrl-C saves and leaves; the same command with --resume goes on, to the same bits.
    """

    task: Task
    out: Path
    """Directory for the trained optimizer, its checkpoints and its log."""
    preset: str = "fast"
    """Settings: fast, rehearsal, paper, authors or momentum."""
    seed: Seed = 0
    """Determines everything random."""
    set: Settings = ()
    resume: Resume = False
    force: Annotated[bool, tyro.conf.arg(help="Start anew in a directory that holds a run, which is lost.")] = False

    @property
    def title(self) -> str:
        """The task and how it is trained on."""
        return f"{self.task}, preset {self.preset}, seed {self.seed}"

    def prepare(self) -> tuple[Any, Any]:
        """Return the task and the configuration."""
        from optoscope import tasks
        from optoscope.training import check_run

        check_place(self.out)
        task, config = tasks.get(self.task), configured(self.preset, self.task, self.set)
        check_run(task, config)
        return task, config

    def compute(self, prepared: tuple[Any, Any], report: Reporter) -> Any:
        """Train."""
        import jax

        from optoscope.running.run_log import discard_run
        from optoscope.training import meta_train

        task, config = prepared
        if self.force and not self.resume:
            discard_run(self.out, f"{name_in(self.task)}.*")
        return meta_train(
            task,
            config=config,
            key=jax.random.key(self.seed),
            directory=self.out,
            resume=self.resume,
            preset=self.preset if not self.set else f"{self.preset} with {' '.join(self.set)}",
            seed=self.seed,
            report=report.meta_training,
            announce=report.note,
        )

    def failure(self, result: Any) -> str | None:
        """Return why nothing was learned, if so."""
        from optoscope.training.validation import why_nothing_was_learned

        why = why_nothing_was_learned(result)
        return why and f"{why} No optimizer was written."

    def save(self, result: Any) -> list[Path]:
        """Write the trained optimizer."""
        return [result.save(self.out / name_in(self.task))]

    def show(self, result: Any, out: Output) -> None:
        """Print how well it did."""
        metrics = result.metrics
        out.text(
            f"best validation {metrics['best_validation']:.5f} at meta-step {metrics['best_step']} "
            f"({metrics['seconds']:.0f} s, {metrics['num_skipped']} steps skipped, "
            f"{metrics['num_rollbacks']} rolled back)"
        )
        out.data(task=result.task, preset=result.preset, seed=result.seed, config=result.config, metrics=metrics)
