"""Run-time checks of every annotation of the package.

jaxtyping's checks compare shapes across arguments, and cost 30 microseconds a call. Functions whose annotations name
no array are checked by beartype alone, and those without annotations not at all: they are called millions of times.
"""

import inspect
import typing

import jaxtyping
from beartype import BeartypeConf, beartype

#: As in PEP 484, an int is as good as a float.
_PLAIN = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))
_WITH_SHAPES = jaxtyping.jaxtyped


def install() -> None:
    """Check the package's annotations from its next import on."""
    jaxtyping.jaxtyped = _jaxtyped  # the hook's decorators look it up by this name
    jaxtyping.install_import_hook("optoscope", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


def _jaxtyped(*context, typechecker=None):
    if context:  # not the hook's: a context in which axes are compared
        return _WITH_SHAPES(*context)

    def decorate(function):
        if inspect.isfunction(function) and not any(map(_names_an_array, function.__annotations__.values())):
            return _PLAIN(function) if function.__annotations__ else function
        return _WITH_SHAPES(function, typechecker=typechecker)

    return decorate


def _names_an_array(hint: object) -> bool:
    if isinstance(hint, str) or getattr(hint, "__module__", "").startswith("jaxtyping"):
        return True
    if isinstance(hint, list | tuple):
        return any(map(_names_an_array, hint))
    return any(map(_names_an_array, typing.get_args(hint)))
