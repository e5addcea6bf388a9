"""`optoscope claims`."""

import dataclasses
from pathlib import Path
from typing import Any

from optoscope.cli._arguments import Force, Seed, Tasks
from optoscope.cli._checks import check_file, check_source
from optoscope.cli._command import RunsTasks
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class Claims(RunsTasks):
    """Print the paper's claims with what was measured: reproduced, partly, or not, by a stated rule.

    Example: optoscope claims linear_regression rosenbrock --out claims
    """

    task: Tasks = ()
    """The paper's tasks; all of them if none is named."""
    out: Path | None = None
    """Directory for claims.json, with every number, interval and rule."""
    source: Path | None = None
    """Directory with artifacts in the layout of the shipped ones."""
    seed: Seed = 0
    """Draws the test problems."""
    force: Force = False

    def prepare(self) -> None:
        """Check the tasks and the directories."""
        from optoscope._core.choices import check_choice
        from optoscope.paper.study import PAPER_TASKS

        for task in self.task:
            check_choice("task of the paper", task, PAPER_TASKS)
        check_source(self.source)
        if self.out is not None:
            check_file(self.out / "claims.json", self.force)

    def compute(self, prepared: None, report: Reporter) -> Any:
        """Judge."""
        from optoscope.paper.claims import make_ledger

        return make_ledger(self.task, seed=self.seed, source=self.source, report=report.stage)

    def save(self, result: Any) -> list[Path]:
        """Write the ledger."""
        if self.out is None:
            return []
        result.save(self.out)
        return [self.out / "claims.json"]

    def show(self, result: Any, out: Output) -> None:
        """Print the ledger, and what is left out."""
        super().show(result, out)
        for reason in result.left_out.values():
            out.text(f"left out: {reason}")
