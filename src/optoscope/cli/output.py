"""What commands print: tables or JSON on standard output, progress on standard error."""

import contextlib
import json as json_module
import sys
import time
from collections.abc import Iterator
from typing import Any

from optoscope._core.json_data import to_json
from optoscope._core.shown import Shown
from optoscope._core.tables import Table


class Output:
    """Collects what a command has to say and prints it as text, or as one JSON object."""

    def __init__(self, *, json: bool = False):
        self.json = json
        self._data: dict[str, Any] = {}

    def result(self, result: Shown) -> None:
        """Show a result: as JSON what its `to_json` returns, else its headline and its tables."""
        if self.json:
            self._data |= result.to_json()
            return
        if result.headline != type(result).__name__:
            self.text(result.headline)
        for table in result.tables():
            self.table(table)

    def text(self, line: str) -> None:
        """Say one line, which JSON leaves out."""
        if not self.json:
            sys.stdout.write(line + "\n")

    def data(self, **values: Any) -> None:
        """Give values to the JSON object, which text leaves out."""
        self._data |= to_json(values)

    def table(self, table: Table) -> None:
        """Show a table."""
        if self.json:
            self._data[table.name] = table.records()
        else:
            sys.stdout.write(table.text(width=None if sys.stdout.isatty() else 160))

    def finish(self) -> int:
        """Print what is left; returns the exit code."""
        if self.json:
            sys.stdout.write(json_module.dumps(self._data, indent=1, allow_nan=False) + "\n")
        return 0


class Reporter:
    """Shows progress: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, title: str, bar):
        self._title, self._bar = title, bar
        self._tasks: dict[str, Any] = {}
        self._last = 0.0

    def meta_training(self, progress) -> None:
        """Show a `training.Progress`."""
        validation = progress.best_validation
        text = (
            f"objective {progress.objective:.4f}, best validation {validation:.4f}, "
            f"{progress.num_skipped} skipped, {progress.num_rollbacks} rolled back, "
            f"{progress.steps_per_second:.1f} steps/s"
        )
        self._show("meta-training", progress.step, progress.num_steps, text, progress.seconds_left)

    def stage(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` parts of something are done."""
        self._show(what, done, total, "", None)

    def note(self, sentence: str) -> None:
        """Show a sentence above the progress."""
        if self._bar is not None:
            self._bar.console.print(sentence)
        else:
            sys.stderr.write(f"{self._title}: {sentence}\n")
            sys.stderr.flush()

    def _show(self, what: str, done: int, total: int, text: str, seconds_left: float | None) -> None:
        if self._bar is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total, text="")
            self._bar.update(self._tasks[what], completed=done, total=total, text=text)
            return
        now = time.monotonic()
        if done < total and now - self._last < 5:
            return
        self._last = now
        left = "" if seconds_left is None else f", {seconds_left:.0f} s left"
        sys.stderr.write(f"{self._title}: {what} {done}/{total}{': ' + text if text else ''}{left}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def make_reporter(title: str) -> Iterator[Reporter]:
    """Yield a reporter that fits where standard error goes."""
    if not sys.stderr.isatty():
        yield Reporter(title, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield Reporter(title, bar)
