"""`optoscope gallery`."""

import dataclasses
from pathlib import Path
from typing import Any

from optoscope.cli._arguments import Force, Names
from optoscope.cli._checks import check_directory
from optoscope.cli._command import Computes
from optoscope.cli.output import Reporter


@dataclasses.dataclass(frozen=True)
class Gallery(Computes):
    """Diagnose every rule of the installed optax, or say why it is not the rule of one component.

    Example: optoscope gallery --out gallery
    """

    out: Path
    """Directory for optax_gallery.json and optax_gallery.md."""
    rule: Names = ()
    """Names of rules, such as adam or contrib.adopt; all of them if none is given."""
    force: Force = False

    def prepare(self) -> None:
        """Check the names and the directory."""
        from optoscope.calibration.gallery import check_rules

        check_rules(self.rule)
        check_directory(self.out, force=self.force)

    def compute(self, prepared: None, report: Reporter) -> Any:
        """Diagnose every rule."""
        from optoscope.calibration import optax_gallery

        return optax_gallery(names=self.rule or None, report=report.stage)

    def save(self, result: Any) -> list[Path]:
        """Write the table."""
        return [result.write(self.out)]
