"""`optoscope explore`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from optoscope._core.allowed import Allowed
from optoscope.cli._arguments import Force, Optimizers, Seed, TaskOption
from optoscope.cli._checks import check_file, check_fits
from optoscope.cli._command import RunsTasks, TakesOptimizers
from optoscope.cli.output import Reporter

_Out = Annotated[Path, tyro.conf.arg(metavar="PAGE.html")]


def _note(sentence: str) -> None:
    sys.stderr.write(f"explore: {sentence}\n")


@dataclasses.dataclass(frozen=True)
class Explore(RunsTasks, TakesOptimizers):
    """Make one page on which optimizers can be touched: moved, driven, taken apart and raced against each other.

    Each OPTIMIZER is a shipped name, a path, or module:name(literals). The page opens from a file and loads nothing.

    Example: optoscope explore rosenbrock rosenbrock/adam --out explorer.html
    """

    optimizer: Optimizers
    """What is in the page, in this order."""
    out: _Out
    """The page."""
    task: TaskOption | None = None
    """Name of a task; with one, the page shows the states and curvatures that really occur there."""
    num_steps: Annotated[int, Allowed(10, 10_000, advice="the paper uses 200")] = 200
    """Length of the runs that are analyzed."""
    recording: Annotated[Path | None, tyro.conf.arg(name="run", metavar="DIRECTORY")] = None
    """A recording of yours, as `examine` takes it: its timeline, margin and arrays of parameters are shown, too."""
    seed: Seed = 0
    """Draws the task's test problems."""
    force: Force = False

    def prepare(self) -> tuple[list[Any], Any, Any]:
        """Return the optimizers, the task and the recording."""
        from optoscope import tasks
        from optoscope.artifacts.as_optimizer import read
        from optoscope.recordings import read_recording

        if not self.optimizer:
            raise ValueError("`explore` needs at least one OPTIMIZER; `optoscope list` shows what ships.")
        check_file(self.out, self.force, ending=".html")
        task = None if self.task is None else tasks.get(self.task)
        if task is not None:
            check_fits(task, num_problems=64, num_steps=self.num_steps)
        run = None if self.recording is None else read_recording(self.recording, announce=_note)
        return [read(one, trust=self.trust) for one in self.optimizer], task, run

    def compute(self, prepared: tuple[list[Any], Any, Any], report: Reporter) -> Any:
        """Diagnose each, and gather what the page shows."""
        import jax

        from optoscope.explorer import explore
        from optoscope.mechanisms import diagnose
        from optoscope.recordings import examine

        optimizers, task, recording = prepared
        run = None if recording is None else examine(recording)
        key, reports = jax.random.key(self.seed), []
        for i, (name, one) in enumerate(zip(self.optimizer, optimizers)):
            reports.append(diagnose(one, task=task, key=key, num_steps=self.num_steps, name=name))
            report.stage("diagnosing", i + 1, len(optimizers))
        return explore(*reports, num_steps=self.num_steps, run=run)

    def save(self, result: Any) -> list[Path]:
        """Write the page."""
        return [result.save(self.out)]
