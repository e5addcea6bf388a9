"""Functions of a rule that take whatever a person has in its place."""

import functools
from collections.abc import Callable
from typing import TypeVar

from optoscope.artifacts.as_optimizer import AnyOptimizer, as_rule

R = TypeVar("R")


def takes_rule(function: Callable[..., R]) -> Callable[..., R]:
    """Let a function whose first argument is a rule take anything that `as_rule` takes."""

    @functools.wraps(function)
    def call(optimizer: AnyOptimizer, *args, **kwargs) -> R:
        return function(as_rule(optimizer), *args, **kwargs)

    return call
