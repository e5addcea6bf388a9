"""Collections of optimizers that others made: every one of optax, of torch, and of the package pytorch_optimizer."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from optoscope._core.choices import check_choice
from optoscope.calibration.optax_rules import find_rules

COLLECTIONS = ("optax", "torch", "pytorch_optimizer")


class Entry(NamedTuple):
    """One optimizer of a collection.

    Attributes:
        name: as its collection has it.
        arguments: what it is given beside its defaults, as text.
        make: returns it, as `structure` takes it.
    """

    name: str
    arguments: str
    make: Callable[[], Any]


def find_entries(collection: str) -> list[Entry]:
    """Return every optimizer of an installed collection, made with its defaults.

    Args:
        collection: one of `COLLECTIONS`.

    Raises:
        ValueError: for an unknown collection.
        ImportError: if its package is not installed.
    """
    check_choice("collection", collection, COLLECTIONS)
    if collection == "optax":
        return [Entry(rule.name.removeprefix("optax."), rule.arguments, rule.make) for rule in find_rules()]
    if collection == "torch":
        module = importlib.import_module("torch.optim")
        base = module.Optimizer
        classes = {
            name: one
            for name, one in sorted(vars(module).items())
            if isinstance(one, type) and issubclass(one, base) and one is not base
        }
    else:
        try:
            module = importlib.import_module("pytorch_optimizer")
        except ImportError:
            raise ImportError("this collection needs its package: pip install pytorch_optimizer.") from None
        classes = {name: module.load_optimizer(name) for name in module.get_supported_optimizers()}
    return [_entry(name, one) for name, one in classes.items()]


def version_of(collection: str) -> str:
    """Return the version of the package that holds a collection."""
    from importlib.metadata import version

    return version(collection)


def _entry(name: str, kind: Any) -> Entry:
    lr = inspect.signature(kind).parameters.get("lr")
    if lr is not None and lr.default is inspect.Parameter.empty:
        return Entry(name, "lr=0.1", lambda: functools.partial(kind, lr=0.1))
    return Entry(name, "", lambda: lambda params: kind(params))
