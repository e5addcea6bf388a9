"""The API reference: one page per subpackage, made from its source when the documentation is built.

A name is public if `optoscope.__all__` has it, or if the `__init__` of a subpackage defines it, or imports it under its
own name (`from somewhere import Name as Name`), without a leading underscore.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"
#: Subpackages that are no Python API: the commands have pages of their own.
_LEFT_OUT = ("optoscope.cli", "optoscope.explorer")


def rooms() -> list[str]:
    """Return the names of the subpackages with public names, `optoscope` itself first."""
    paths = sorted((SOURCE / "optoscope").rglob("__init__.py"))
    names = [".".join(path.parent.relative_to(SOURCE).parts) for path in paths]
    public = [name for name in names if not any(part.startswith("_") for part in name.split("."))]
    return [name for name in public if not name.startswith(_LEFT_OUT) and public_names(name)]


def public_names(room: str) -> dict[str, str]:
    """Return public name -> the module that defines it, in the order of the source."""
    if room == "optoscope":
        package = importlib.import_module(room)
        return {name: module for name, module in package._PUBLIC.items() if module is not None}
    tree = ast.parse((SOURCE.joinpath(*room.split(".")) / "__init__.py").read_text())
    return dict(pair for node in ast.walk(tree) for pair in _bound(node, room, tree.body))


def _bound(node: ast.AST, room: str, top: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.ImportFrom):
        yield from ((one.name, node.module or "") for one in node.names if one.asname == one.name)
    elif node in top:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, room
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id.isupper() and not target.id.startswith("_"):
            yield target.id, room


def first_line(room: str, name: str) -> str:
    """Return the first line of what a name says of itself; of a constant, the comment above it."""
    module = public_names(room)[name]
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return (inspect.getdoc(value) or "").partition("\n")[0]
    lines = Path(inspect.getfile(importlib.import_module(module))).read_text().splitlines()
    (row,) = [i for i, line in enumerate(lines) if line.startswith((f"{name}:", f"{name} ="))]
    comment: list[str] = []
    while row and lines[row - 1].startswith("#:"):
        row -= 1
        comment.insert(0, lines[row].removeprefix("#:").strip())
    return " ".join(comment)


def page(room: str) -> str:
    """Return the page of a subpackage: what each name is in a line, then all of its documentation."""
    says = inspect.getdoc(importlib.import_module(room)) or ""
    names = public_names(room)
    is_there = lambda name: hasattr(importlib.import_module(room), name)  # else it is there for type checkers only
    elsewhere = {name for other in rooms() if other != "optoscope" for name in public_names(other)}
    parts = [room, "=" * len(room), "", f".. py:module:: {room}", "", says, "", ".. list-table::", ""]
    for name in names:
        parts += [f"   * - :py:obj:`{name} <{_target(room, name)}>`", f"     - {first_line(room, name)}"]
    for name, module in names.items():
        if room == "optoscope" and name in elsewhere:
            continue  # it is documented in the room that it belongs to
        value, path = getattr(importlib.import_module(module), name), f"{room if is_there(name) else module}.{name}"
        if inspect.isclass(value):
            parts += ["", f".. autoclass:: {path}", "   :members:"]
        elif inspect.isroutine(value):
            parts += ["", f".. autofunction:: {path}"]
        else:
            parts += ["", f".. py:data:: {path}", "", f"   {first_line(room, name)}"]
    return "\n".join(parts) + "\n"


def _target(room: str, name: str) -> str:
    if room != "optoscope":
        return f"{room}.{name}"
    home = next((other for other in rooms() if other != room and name in public_names(other)), room)
    return f"{home}.{name}"


def write_pages(folder: Path) -> None:
    """Write every page into a folder."""
    folder.mkdir(exist_ok=True)
    for room in rooms():
        path = folder / f"{room}.rst"
        if not path.exists() or path.read_text() != page(room):
            path.write_text(page(room))
