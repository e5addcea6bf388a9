"""`module:name(literals)`: what such a text names is called only if it is an optimizer.

Whether it is one is decided before anything runs: first from where the module is and from its source, then, once it is
imported, from the class or the annotation of what it names.
"""

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any, NamedTuple

import optax

from optoscope._core.literals import parse_call
from optoscope.optimizers import AbstractOptimizer

_SPEC = re.compile(r"\s*(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<call>[^\W\d]\w*\(.*\))\s*", re.DOTALL)
_BARE = re.compile(r"\s*[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*\s*")
_EXAMPLE = "optax:sgd(learning_rate=0.1, momentum=0.9)"

#: Names of the types that optax's functions are annotated with.
_TRANSFORMATIONS = ("GradientTransformation", "GradientTransformationExtraArgs")
_ALLOWED = (
    "A spec may name a subclass of optoscope's AbstractOptimizer or of torch.optim.Optimizer, or a function whose "
    "annotation says that it returns an optax.GradientTransformation"
)
_INSTEAD = (
    "pass --trust (in Python: trust=True) if you know what it does, or call it in Python yourself and pass what it "
    "returns"
)


class OptimizerSpec(NamedTuple):
    """What `module:name(literals)` says."""

    text: str
    module: str
    name: str
    args: list[Any]
    kwargs: dict[str, Any]


def parse_spec(text: str) -> OptimizerSpec | None:
    """Return the parts of `module:name(literals)`; None if the text has another form. Nothing is imported.

    Raises:
        ValueError: if it has this form, but the arguments are not literals.

    >>> parse_spec("optax:sgd(0.1)").name, parse_spec("rosenbrock")
    ('sgd', None)
    """
    match = _SPEC.fullmatch(text)
    if match is not None:
        return OptimizerSpec(text.strip(), match["module"], *parse_call(match["call"], example=_EXAMPLE))
    if _BARE.fullmatch(text):
        raise ValueError(f"{text.strip()} needs parentheses, with its settings between them; for instance {_EXAMPLE}.")
    return None


def find_target(spec: OptimizerSpec, *, trust: bool = False) -> Any:
    """Return the class or function that a spec names, if it makes optimizers; it is not called.

    Args:
        spec: from `parse_spec`.
        trust: return whatever it names.

    Raises:
        ValueError: if there is no such thing, or nothing says that it makes optimizers.
    """
    where = f"{spec.module}:{spec.name}"
    if spec.module.partition(".")[0] in {*sys.stdlib_module_names, "__main__"}:
        raise ValueError(
            f"{where} was not called: {spec.module} is a part of Python, which holds no optimizers. {_ALLOWED}."
        )
    if spec.module not in sys.modules:
        _check_source(spec, trust)
    try:
        target = getattr(importlib.import_module(spec.module), spec.name)
    except AttributeError:
        raise ValueError(f"cannot find {where}: the module has no {spec.name}.") from None
    except (Exception, SystemExit) as error:
        raise ValueError(f"cannot find {where}: importing it failed with {type(error).__name__}: {error}.") from None
    if not trust:
        reason = _why_not(target)
        if reason:
            raise _refusal(where, reason)
    if not callable(target):
        raise ValueError(f"{where} is a {type(target).__name__}, which cannot be called. {_ALLOWED}.")
    return target


def is_torch_class(target: Any) -> bool:
    """Return whether something is a class of torch optimizers; torch is not imported for it."""
    torch = sys.modules.get("torch")  # a class made from torch's has loaded it
    return torch is not None and isinstance(target, type) and issubclass(target, torch.optim.Optimizer)


def returns_transformation(function: Any) -> bool:
    """Return whether a function says that it returns an optax transformation; it is not called.

    Functions of optax itself that say nothing count: they compute, and do nothing else.

    >>> returns_transformation(optax.sgd), returns_transformation(optax.global_norm)
    (True, False)
    """
    if not inspect.isfunction(function):
        return False
    if "return" not in function.__annotations__:
        return function.__module__.partition(".")[0] == "optax"
    promised = function.__annotations__["return"]
    if isinstance(promised, str):
        try:
            holder = types.SimpleNamespace(__annotations__={"return": promised})
            promised = typing.get_type_hints(holder, globalns=function.__globals__)["return"]
        except Exception:  # a name that is imported for type checkers only: its last word has to do
            return _says_transformation(promised)
    options = typing.get_args(promised) if typing.get_origin(promised) in (typing.Union, types.UnionType) else ()
    return all(
        isinstance(one, type) and issubclass(one, optax.GradientTransformation) for one in options or (promised,)
    )


def _says_transformation(annotation: str) -> bool:
    return annotation.strip("'\" ").rpartition(".")[2] in _TRANSFORMATIONS


def _why_not(target: Any) -> str:
    """Why something is not accepted as what makes optimizers; empty if it is."""
    if isinstance(target, type):
        if issubclass(target, AbstractOptimizer):
            return "it is an abstract class" if inspect.isabstract(target) else ""
        return "" if is_torch_class(target) else "it is a class, but not one of optimizers"
    if returns_transformation(target):
        return ""
    return "nothing says that it returns an optimizer" if callable(target) else f"it is a {type(target).__name__}"


def _refusal(where: str, reason: str) -> ValueError:
    return ValueError(f"{where} was not called: {reason}. {_ALLOWED}; for anything else {_INSTEAD}.")


def _check_source(spec: OptimizerSpec, trust: bool) -> None:
    """Refuse to import what is not there, and what its source shows to hold no optimizer of this name."""
    where = f"{spec.module}:{spec.name}"
    found = _locate(spec.module)
    if found is None:
        missing = spec.module.partition(".")[0]
        hint = '; pip install "optoscope[torch]"' if missing == "torch" else ""
        if Path(f"{missing}.py").exists() or Path(missing).is_dir():
            hint = f"; {missing} is here, where Python does not search: put PYTHONPATH=. before the command"
        raise ValueError(f"cannot find {where}: there is no module {spec.module}{hint}.")
    if trust:
        return
    try:
        tree = ast.parse(Path(found).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        raise _refusal(where, f"{spec.module} has no Python source that could be read beforehand") from None
    reason = _reason_in_source(tree, spec.name)
    if reason:
        raise _refusal(where, f"{reason}, so {spec.module} was not even imported")


def _locate(module: str) -> str | None:
    """Return the file of a module without importing anything, not even the packages that it is in; None if absent."""
    path, name, found = None, "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        try:
            found = (
                importlib.util.find_spec(name) if path is None else importlib.machinery.PathFinder.find_spec(name, path)
            )
        except (ImportError, ValueError, OSError):
            return None
        if found is None:
            return None
        path = found.submodule_search_locations or []
    return "" if found is None or found.origin is None else found.origin


def _reason_in_source(tree: ast.Module, name: str) -> str:
    """Why a name of a module cannot be an optimizer; empty if it may be one."""
    pending, last = list(tree.body), f"there is no {name} in it"
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.ClassDef):
            if node.name == name:
                last = "" if node.bases else f"{name} is a class without a base class"
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == "__getattr__":
                return ""
            if node.name == name:
                says = node.returns is not None and any(one in ast.unparse(node.returns) for one in _TRANSFORMATIONS)
                last = "" if says else f"nothing says that {name} returns an optimizer"
            continue
        if name in _names_bound(node):  # imported from elsewhere, or assigned: only the import will tell
            last = ""
        pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.excepthandler)]
    return last


def _names_bound(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        return names if "*" not in names else _Everything()
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {one.id for target in targets if target is not None for one in ast.walk(target) if isinstance(one, ast.Name)}


class _Everything(set):
    """What `from x import *` may bind."""

    def __contains__(self, name: object) -> bool:
        return True
