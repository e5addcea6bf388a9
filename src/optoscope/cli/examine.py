"""`optoscope examine`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from optoscope.cli._arguments import Force, Trust
from optoscope.cli._checks import check_directory
from optoscope.cli._command import Command
from optoscope.cli.output import Output, Reporter

Recorded = Annotated[
    Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIRECTORY", help="What was given to `optoscope.record`.")
]


@dataclasses.dataclass(frozen=True)
class Examine(Command):
    """Say what a run of yours did, from its recording: its rule, its mechanisms at work, and what is wrong.

    DIRECTORY is what `optoscope.record` or `optoscope.write_recording` wrote; a run may still be writing it.

    Example: optoscope examine run --expect "torch.optim:AdamW(lr=0.001)"
    """

    directory: Recorded
    expect: Annotated[str | None, tyro.conf.arg(metavar="OPTIMIZER")] = None
    """The optimizer that was meant, as module:name(literals): differences are named."""
    optimizer: Annotated[str | None, tyro.conf.arg(metavar="OPTIMIZER")] = None
    """The optimizer that was run: what each mechanism of its diagnosis did on this run is told."""
    out: Path | None = None
    """Directory for the page (index.html), examination.json and the pictures; DIRECTORY/examination without it."""
    force: Force = False
    trust: Trust = False

    def prepare(self) -> Any:
        """Return the recording, after checking that there is one."""
        from optoscope.artifacts.as_optimizer import as_whole
        from optoscope.recordings import read_recording

        if self.out is not None:
            check_directory(self.out, force=self.force)
        for spec in filter(None, (self.expect, self.optimizer)):
            as_whole(spec, trust=self.trust)
        return read_recording(self.directory, announce=self._note)

    def compute(self, prepared: Any, report: Reporter) -> Any:
        """Examine it."""
        del report
        from optoscope.recordings import examine

        return examine(prepared, expect=self.expect, optimizer=self.optimizer, trust=self.trust)

    def save(self, result: Any) -> list[Path]:
        """Write the page."""
        from optoscope.recordings.page import write_examination

        return write_examination(result, self.out or self.directory / "examination")[:2]

    def show(self, result: Any, out: Output) -> None:
        """Print the findings as sentences, and what each mechanism did."""
        if self.json:
            out.result(result)
            return
        out.text(result.headline)
        for line in result.sentences():
            out.text(line)
        for table in result.tables():
            if table.name == "mechanisms":
                out.table(table)

    @staticmethod
    def _note(sentence: str) -> None:
        import sys

        sys.stderr.write(f"examine: {sentence}\n")
