"""What is common to all results: JSON, tables, and a picture."""

import base64
import dataclasses
import html
import io
import sys
import typing
from collections.abc import Callable
from typing import Any

import numpy as np

from optoscope._core.json_data import to_json
from optoscope._core.tables import Table

_MOST_ROWS = 12  # of a table, on a screen
_LONGEST = 78  # characters of a field's value


class Shown:
    """Base of whatever is shown to people: a dataclass that prints as a few lines and draws itself."""

    def __init_subclass__(cls, **settings: Any):
        super().__init_subclass__(**settings)
        if "__repr__" not in cls.__dict__:  # before `dataclass` writes one of its own
            cls.__repr__ = Shown.__repr__

    @property
    def headline(self) -> str:
        """What stands above everything else."""
        summary = getattr(self, "summary", None)
        name = getattr(self, "optimizer", None)
        if not isinstance(summary, str):
            return type(self).__name__
        return f"{name}: {summary}." if isinstance(name, str) else f"{summary}."

    def tables(self) -> list[Table]:
        """Return what people read of it; the same rows stand in `to_json` and are printed by the command line."""
        return []

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data with stable names: the tables and the fields, but arrays only if there are no tables.

        A field takes the place of a table of its name. Complex numbers are pairs, and what is not finite is null. What
        `repr` leaves out is left out here too.
        """
        tables = self.tables()
        shown = {table.name for table in tables}
        fields = {field.name: getattr(self, field.name) for field in _shown_fields(self)}
        about = {name: fields.pop(name) for name in ("provenance",) if name in fields}
        if tables:
            fields = {k: v for k, v in fields.items() if k in shown or not isinstance(v, np.ndarray)}
        return {table.name: table.records() for table in tables} | to_json(fields | about)

    def plot(self):
        """Draw it; returns a `matplotlib.figure.Figure`."""
        # Rooms that draw lie above those that compute, so drawing is asked of the package, not imported.
        return sys.modules[__name__.partition(".")[0]].figures.figure_of(self)

    def __repr__(self) -> str:
        lines = [self.headline]
        tables = self.tables()
        if not tables:
            lines += [f"  {name}: {value}" for name, value in self._fields()]
        return "\n".join([*lines, *(table.text(width=100, most_rows=_MOST_ROWS).rstrip() for table in tables)])

    def _repr_html_(self) -> str:
        tables = self.tables() or [Table("fields", ["field", "value"], [list(pair) for pair in self._fields()])]
        parts = [f"<p>{html.escape(self.headline)}</p>", *(table.html(most_rows=_MOST_ROWS) for table in tables)]
        picture = io.BytesIO()
        self.plot().savefig(picture, format="png", dpi=110)
        source = base64.b64encode(picture.getvalue()).decode()
        return "".join([*parts, f'<img alt="{html.escape(type(self).__name__)}" src="data:image/png;base64,{source}">'])

    def _fields(self) -> list[tuple[str, str]]:
        hints = typing.get_type_hints(type(self))
        return [
            (field.name, _brief(getattr(self, field.name), hints.get(field.name)))
            for field in _shown_fields(self)
            if field.name != "provenance"
        ]


def _shown_fields(result: Any) -> list[dataclasses.Field]:
    return [field for field in dataclasses.fields(result) if field.repr]


def axes_of(name: str, annotation: Any, ndim: int) -> tuple[str, ...]:
    """Return the names of an array's axes from its annotation, or numbered ones."""
    is_union = typing.get_args(annotation) and not hasattr(annotation, "dim_str")
    for option in typing.get_args(annotation) if is_union else (annotation,):
        names = getattr(option, "dim_str", "").split()
        if len(names) == ndim and all(name.isidentifier() for name in names):
            repeats = [names[:i].count(name) for i, name in enumerate(names)]
            return tuple(name if not n else f"{name}_{n + 1}" for name, n in zip(names, repeats))
    return tuple(f"{name}_{i}" for i in range(ndim))


def _brief(value: Any, annotation: Any) -> str:
    if isinstance(value, np.ndarray) and (value.ndim != 1 or value.size > 4):
        axes = ", ".join(f"{axis} {n}" for axis, n in zip(axes_of("axis", annotation, value.ndim), value.shape))
        return f"{value.dtype} [{axes}]"
    if isinstance(value, Shown):
        return type(value).__name__
    text = str(to_json(value)) if not isinstance(value, Callable) else type(value).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
