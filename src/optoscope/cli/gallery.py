"""`optoscope gallery`."""

import dataclasses
from pathlib import Path

from optoscope.cli.commands import _Computes
from optoscope.cli.devices import prepare
from optoscope.cli.output import Output, make_reporter


@dataclasses.dataclass(frozen=True)
class Gallery(_Computes):
    """Diagnose every rule of the installed optax, or say why it is not the rule of one component.

    Example: optoscope gallery --out gallery
    """

    out: Path
    """Directory for optax_gallery.json and optax_gallery.md."""
    rule: tuple[str, ...] = ()
    """Names of rules, such as adam or contrib.adopt; all of them if none is given."""
    json: bool = False
    """Print JSON instead of a table."""
    force: bool = False
    """Write into a directory that is not empty."""

    def run(self) -> int:
        """Diagnose and save."""
        prepare(self.mnist_dir)
        from optoscope._files import fresh_directory
        from optoscope.calibration import optax_gallery

        fresh_directory(self.out, force=self.force)
        with make_reporter("gallery") as report:
            result = optax_gallery(names=self.rule or None, report=report.stage)
        page = result.write(self.out)
        out = Output(json=self.json)
        out.table(
            f"Rules of optax {result.optax}",
            ["rule", "arguments", "outcome", "what it is made of, or why not"],
            [[row["name"], row["arguments"], row["outcome"], row["text"]] for row in result.rules],
        )
        out.text(f"wrote {page}")
        return out.finish()
