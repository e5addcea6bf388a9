"""`optoscope search`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from optoscope._core.allowed import Allowed
from optoscope._core.tables import Table
from optoscope.cli._arguments import Resume, Seed, Settings, Task
from optoscope.cli._checks import check_place
from optoscope.cli._command import RunsTasks
from optoscope.cli._settings import configured
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class Search(RunsTasks):
    """Search meta-training's learning rate, scales, clip and width: short runs first, the best go on.

    Example: optoscope search rosenbrock --num-samples 16 --widths 16 32 --out runs/search
    """

    task: Task
    out: Path
    """Directory: one run per sample, and every result in log.jsonl."""
    num_samples: Annotated[int, Allowed(1, 1000, advice="a few dozen short runs find the right decade")] = 16
    """Settings to try; the first is the preset itself."""
    widths: Annotated[tuple[int, ...], Allowed(1, 4096, distinct=True), tyro.conf.arg(metavar="UNITS")] = ()
    """Numbers of units to choose from; the preset's if none is given."""
    preset: str = "fast"
    """Center of the search."""
    seed: Seed = 0
    """Determines everything random."""
    set: Settings = ()
    resume: Resume = False

    @property
    def title(self) -> str:
        """The task that is searched on."""
        return f"search on {self.task}"

    def prepare(self) -> tuple[Any, Any]:
        """Return the task and the configuration in the middle of the search."""
        from optoscope import tasks
        from optoscope.training import check_run

        check_place(self.out)
        task, config = tasks.get(self.task), configured(self.preset, self.task, self.set)
        for width in self.widths or (config.num_units,):
            check_run(task, dataclasses.replace(config, num_units=width))
        return task, config

    def compute(self, prepared: tuple[Any, Any], report: Reporter) -> tuple[Any, list]:
        """Search."""
        import jax

        from optoscope.training import search

        task, config = prepared
        return search(
            task,
            config=config,
            num_samples=self.num_samples,
            widths=self.widths,
            key=jax.random.key(self.seed),
            directory=self.out,
            resume=self.resume,
            seed=self.seed,
            report=report.stage,
            announce=report.note,
        )

    def failure(self, result: Any) -> str | None:
        """Return why nothing was learned, if so."""
        from optoscope.training.validation import why_nothing_was_learned

        why = why_nothing_was_learned(result[0])
        return why and f"{why} No optimizer was written."

    def save(self, result: tuple[Any, list]) -> list[Path]:
        """Write the best optimizer."""
        return [result[0].save(self.out / "best")]

    def show(self, result: tuple[Any, list], out: Output) -> None:
        """Print every sample."""
        columns = ["sample", "num_meta_steps", "validation", "seconds", "settings"]
        rows = [[getattr(one, column) for column in columns] for one in result[1]]
        out.table(Table("samples", columns, rows, title="Samples, best first"))
