"""`optoscope watch`."""

import dataclasses
import sys
import time
from typing import Annotated, Any

from optoscope._core.allowed import Allowed
from optoscope.cli._command import Command
from optoscope.cli.examine import Recorded
from optoscope.cli.output import Output, Reporter


@dataclasses.dataclass(frozen=True)
class Watch(Command):
    """Follow a run that is being recorded: loss, margin, clipping and warnings, in the terminal, until Ctrl-C.

    Where standard output is no terminal, or with --once, it says once how things stand.

    Example: optoscope watch run
    """

    directory: Recorded
    seconds: Annotated[float, Allowed(0.2, 3600)] = 2.0
    """Time from one look to the next."""
    once: bool = False
    """Say once how things stand, and end."""

    def prepare(self) -> None:
        """Check that there is a recording, or at least its beginning."""
        if not list(self.directory.glob("process-*.json")):
            raise FileNotFoundError(
                f"{self.directory} holds no recording; start the run with `optoscope.record(optimizer, "
                f"{str(self.directory)!r})` first."
            )

    def compute(self, prepared: None, report: Reporter) -> Any:
        """Look once."""
        del prepared, report
        from optoscope.recordings.watching import look

        return look(self.directory)

    def show(self, result: Any, out: Output) -> None:
        """Print how things stand, and go on looking where there is a terminal."""
        if self.json:
            out.data(**dataclasses.asdict(result))
            return
        if self.once or not sys.stdout.isatty():
            for line in result.lines():
                out.text(line)
            return
        self._follow(result)

    def _follow(self, first: Any) -> None:
        from rich.live import Live
        from rich.panel import Panel

        from optoscope.recordings.watching import look

        shown = lambda one: Panel("\n".join(one.lines()), title=f"{self.directory} (Ctrl-C ends)")
        with Live(shown(first), auto_refresh=False) as live:
            while True:
                time.sleep(self.seconds)
                live.update(shown(look(self.directory)), refresh=True)
