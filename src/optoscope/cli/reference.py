"""Every argument and every setting as Markdown, from the same notes as the checks and the help."""

import ast
import dataclasses
import inspect
import textwrap
from typing import Any

from optoscope._core.allowed import describe, settings_of
from optoscope._core.markdown import table
from optoscope.cli.main import COMMANDS


def arguments_reference() -> str:
    """Return a section for each command: what it does, and a table of its arguments."""
    parts = []
    for kind in COMMANDS:
        says = inspect.getdoc(kind) or ""
        parts.append(f"### {kind.__name__.lower()}\n\n{says}\n\n{_table(kind)}")
    return "\n\n".join(parts)


def settings_reference() -> str:
    """Return the table of meta-training's settings."""
    from optoscope.training import MetaTrainConfig

    return _table(MetaTrainConfig)


def _table(kind: Any) -> str:
    hints, words = settings_of(kind), _field_docstrings(kind)
    shown = getattr(kind, "shown", lambda name: name)
    rows = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        helps = [one.help for one in getattr(hint, "__metadata__", ()) if getattr(one, "help", None)]
        default = "" if field.default is dataclasses.MISSING else f"`{field.default}`"
        what = " ".join((words.get(field.name) or "".join(helps[-1:])).split())
        rows.append([f"`{shown(field.name)}`", default, describe(hint), what])
    return table(["name", "default", "allowed", "what"], rows)


def _field_docstrings(kind: type) -> dict[str, str]:
    """The text below each field of a class."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    return {
        field.target.id: str(text.value.value)
        for field, text in zip(node.body, node.body[1:])
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }
