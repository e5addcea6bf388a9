"""Tables of results: the same rows as JSON, as text and as HTML."""

import dataclasses
import html
import math
import sys
from typing import Any

from optoscope._core.json_data import to_json


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows with named columns.

    Attributes:
        name: its key in JSON, in snake_case.
        columns: their keys in JSON; people read them with spaces.
        rows: numbers, texts, and lists and dictionaries of these.
        title: what people read above it.
    """

    name: str
    columns: list[str]
    rows: list[list[Any]]
    title: str = ""

    def records(self) -> list[dict[str, Any]]:
        """Return one object per row, as JSON data."""
        return [dict(zip(self.columns, to_json(row))) for row in self.rows]

    def text(self, *, width: int | None = None, most_rows: int | None = None) -> str:
        """Return it as text.

        Args:
            width: of a line, in characters; if None that of the terminal.
            most_rows: what is beyond is counted, not shown.
        """
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=Text(self.title or _words(self.name)), title_justify="left")
        for column in self.columns:
            table.add_column(Text(_words(column)))
        for row in self.rows[:most_rows]:
            table.add_row(*(Text(_cell(value)) for value in row))  # as it is: brackets are markup elsewhere
        console = Console(file=sys.stdout, width=width)
        with console.capture() as captured:
            console.print(table)
        return captured.get() + self._more(most_rows)

    def html(self, *, most_rows: int | None = None) -> str:
        """Return it as HTML."""
        row = lambda tag, cells: f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
        head, body = row("th", map(_words, self.columns)), [row("td", map(_cell, r)) for r in self.rows[:most_rows]]
        caption = html.escape(self.title or _words(self.name))
        return f"<table><caption>{caption}</caption>{head}{''.join(body)}</table>{html.escape(self._more(most_rows))}"

    def _more(self, most_rows: int | None) -> str:
        left = 0 if most_rows is None else len(self.rows) - most_rows
        return f"and {left} more rows\n" if left > 0 else ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_cell, value)) + "]"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_cell(entry)}" for name, entry in value.items())
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return "" if value is None else str(value)
