"""`optoscope calibrate`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from optoscope._core.allowed import Allowed
from optoscope.cli._arguments import Force, Names, NumProcesses, Place, Seed
from optoscope.cli._checks import check_file, check_place
from optoscope.cli._command import Computes
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Calibrate(Computes):
    """Diagnose optimizers whose mechanisms are known by construction, and count how often that is wrong.

    Optimizers that are done are kept in --out; the same command goes on with those that are left.

    Example: optoscope calibrate --out calibration
    """

    out: Path
    """Directory for calibration.json, calibration_results.md and calibration.npz."""
    family: Names = ()
    """Families of planted optimizers; all of them, and imitating networks, if none is named."""
    num_steps: Annotated[int, Allowed(10, 100_000, advice="the paper uses 200")] = 200
    """Length of the runs by which optimizers are diagnosed."""
    seed: Seed = 0
    """Draws numbers, units, coordinates and the halves."""
    on: Place = "local"
    num_processes: NumProcesses = None
    force: Force = False

    def prepare(self) -> None:
        """Check the families and the directory."""
        from optoscope._core.choices import check_choice
        from optoscope.calibration.families import FAMILIES

        for family in self.family:
            check_choice("family", family, FAMILIES)
        check_file(self.out / "calibration.json", self.force)
        check_place(self.out / "done")

    def compute(self, prepared: None, report: Reporter) -> Any:
        """Calibrate."""
        import jax

        from optoscope.calibration import calibrate
        from optoscope.running.run_log import discard_run

        if (self.out / "calibration.json").exists():  # --force: what is done belongs to it
            discard_run(self.out / "done")
        return calibrate(
            key=jax.random.key(self.seed),
            families=self.family or None,
            num_steps=self.num_steps,
            on=self.on,
            num_processes=self.num_processes,
            directory=self.out / "done",
            report=report.stage,
            announce=report.note,
        )

    def save(self, result: Any) -> list[Path]:
        """Write the result and its page."""
        result.save(self.out / "calibration.npz")
        from optoscope.calibration.page import write_calibration

        return [write_calibration(result, self.out)]
