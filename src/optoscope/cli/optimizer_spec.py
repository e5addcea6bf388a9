"""From what a person types to an optimizer."""

import importlib
import re
import sys

import optax

from optoscope import artifacts
from optoscope._literals import parse_call
from optoscope.optimizers import AbstractOptimizer, from_optax, from_torch

_SPEC = re.compile(r"(?P<module>[\w.]+):(?P<call>\w.*\))", re.DOTALL)


def parse_optimizer(text: str) -> AbstractOptimizer | optax.GradientTransformation:
    """Return the optimizer that `text` names: a shipped name, a path, or `module:name(literal arguments)`.

    Arguments are literals (numbers, strings, lists ...); nothing else is evaluated. The class of a torch optimizer, as
    in `torch.optim:SGD(lr=0.1, momentum=0.9)`, is taken through `from_torch`.

    Raises:
        ValueError: if the text is none of these, or the call fails.
        FileNotFoundError: for an unknown name or path.

    >>> parse_optimizer("optoscope.optimizers:Momentum(learning_rate=0.1, decay=0.9)").decay
    0.9
    """
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        return artifacts.load(text).optimizer
    name, args, kwargs = parse_call(match["call"], example="optax:sgd(learning_rate=0.1, momentum=0.9)")
    try:
        target = getattr(importlib.import_module(match["module"]), name)
    except (ImportError, AttributeError) as error:
        missing = str(getattr(error, "name", "")).split(".")[0]
        extra = '; pip install "optoscope[torch]"' if missing == "torch" and isinstance(error, ImportError) else ""
        raise ValueError(f"cannot find {match['module']}:{name}: {error}{extra}.") from None
    try:
        if _is_torch(target):
            return from_torch(lambda params: target(params, *args, **kwargs))
        made = target(*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text} failed: {error}") from None
    if not isinstance(made, AbstractOptimizer | optax.GradientTransformation):
        raise ValueError(f"{text} gave a {type(made).__name__}, not an optimizer.")
    return made


def _is_torch(target):
    torch = sys.modules.get("torch")  # a class made from torch's has loaded it
    return torch is not None and isinstance(target, type) and issubclass(target, torch.optim.Optimizer)


def parse_component_wise(text: str) -> AbstractOptimizer:
    """Return the component-wise optimizer that `text` names; optax transformations are taken through `from_optax`.

    Raises:
        ValueError: as `parse_optimizer`, or if the optimizer is not component-wise.
    """
    found = parse_optimizer(text)
    return found if isinstance(found, AbstractOptimizer) else from_optax(found)
