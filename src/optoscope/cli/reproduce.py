"""`optoscope reproduce`."""

import dataclasses
from pathlib import Path

from optoscope.cli._arguments import Force, Seed, Tasks
from optoscope.cli._checks import check_directory
from optoscope.cli._command import RunsTasks
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class Reproduce(RunsTasks):
    """Reproduce the paper's results: figures, table and an index page that opens without a network.

    Example: optoscope reproduce linear_regression rosenbrock --out reproduction
    """

    task: Tasks = ()
    """Tasks; if none is named all of them, MNIST where it is at hand."""
    out: Path = Path("reproduction")
    """Directory for the page, the figures and the numbers."""
    from_scratch: bool = False
    """Meta-train and tune everything anew instead of using what ships (minutes; two moons takes an hour); goes on
    where an earlier call in the same directory stopped."""
    seed: Seed = 0
    """Draws the test problems."""
    force: Force = False

    def prepare(self) -> None:
        """Check the tasks and the directory."""
        from optoscope.paper.reproduce import check_tasks

        check_tasks(self.task)
        check_directory(self.out, force=self.force or (self.from_scratch and (self.out / "artifacts").exists()))

    def compute(self, prepared: None, report: Reporter) -> Path:
        """Reproduce, and write as it goes on."""
        from optoscope.paper.reproduce import reproduce

        return reproduce(self.task, self.out, from_scratch=self.from_scratch, seed=self.seed, report=report.stage)

    def show(self, result: Path, out: Output) -> None:
        """Print where the page is."""
        out.text(f"wrote {result}")
        out.data(page=result)
