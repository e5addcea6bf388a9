"""`optoscope gallery`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from optoscope._core.allowed import Allowed
from optoscope.cli._arguments import Force, Names, NumProcesses, NumSteps, Place
from optoscope.cli._checks import check_file, check_place
from optoscope.cli._command import Computes
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Gallery(Computes):
    """Measure and diagnose every optimizer of a collection, or say what it needs.

    COLLECTION is optax, torch, or pytorch_optimizer (a package to install first). Optimizers that are done are kept in
    --out; the same command goes on with those that are left.

    Example: optoscope gallery torch --out gallery
    """

    collection: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="COLLECTION")]
    """optax, torch or pytorch_optimizer."""
    out: Path
    """Directory for COLLECTION_gallery.json and the page COLLECTION_gallery.html."""
    name: Names = ()
    """Names of optimizers; all of them if none is given."""
    num_steps: NumSteps = 200
    """Steps that each diagnosis looks at; torch's optimizers take long with many."""
    on: Place = "local"
    num_processes: NumProcesses = None
    limit: Annotated[float, Allowed(1.0, 1e6)] | None = None
    """Seconds for one optimizer, with --on processes; one that takes longer is given up."""
    force: Force = False

    def prepare(self) -> None:
        """Check the collection and the directory."""
        from optoscope.calibration.gallery import check_names

        check_names(self.collection, self.name)
        if self.limit is not None and self.on == "local":
            raise ValueError("--limit needs --on processes: what runs in this process cannot be ended.")
        check_file(self.out / f"{self.collection}_gallery.json", self.force)
        check_place(self.out / "done")

    def compute(self, prepared: None, report: Reporter) -> Any:
        """Measure them all."""
        from optoscope.calibration import gallery

        return gallery(
            self.collection,
            names=self.name or None,
            num_steps=self.num_steps,
            on=self.on,
            num_processes=self.num_processes,
            limit=self.limit,
            directory=self.out / "done",
            report=report.stage,
            announce=report.note,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the page."""
        return [result.write(self.out)]
