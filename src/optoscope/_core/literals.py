"""Reading literals, and `name(literals)`, from text, with nothing evaluated."""

import ast
import math
from typing import Any, NamedTuple

#: Longer texts are refused: what a person types is short, and parsing takes time and stack that grow with the length.
LONGEST = 2000


class Call(NamedTuple):
    """What `name(literals)` says."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]


def read_literal(text: str) -> Any:
    """Return the literal (number, string, tuple ...) that a text is.

    Raises:
        ValueError: if it is none, or has a number that is not finite.

    >>> read_literal("(1, 2.5)")
    (1, 2.5)
    """
    return _value(_parsed(text))


def name_in(text: str) -> str:
    """Return the name in `name` or `name(anything)`.

    >>> name_in("grid(3)"), name_in("grid")
    ('grid', 'grid')
    """
    return text.partition("(")[0]


def parse_call(text: str, *, example: str) -> Call:
    """Parse `name` or `name(literal arguments)`.

    Raises:
        ValueError: if the text is not of this form, or an argument is not a literal; the message ends with `example`.

    >>> parse_call("grid(3, size=(1, 2))", example="grid(3)")
    Call(name='grid', args=[3], kwargs={'size': (1, 2)})
    """
    shown = ascii(text) if len(text) <= 60 else ascii(text[:57]) + "..."
    hint = f"{shown} is not name(literals); for instance {example}"
    try:
        node = _parsed(text)
    except ValueError as error:
        raise ValueError(f"{hint}{f'; {error}' if str(error) else ''}.") from None
    if isinstance(node, ast.Name):
        return Call(node.id, [], {})
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"{hint}.")
    try:
        args = [_value(argument) for argument in node.args]
        kwargs = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    except ValueError as error:
        raise ValueError(f"{hint}; {error}.") from None
    if len(kwargs) < len(node.keywords) or "None" in kwargs:
        raise ValueError(f"{hint}; every setting has a name of its own.")
    return Call(node.func.id, args, kwargs)


def _parsed(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text)} characters, at most {LONGEST} are read")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):  # also text that no encoding holds
        raise ValueError("") from None
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deeply") from None


def _value(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):  # TypeError: a list as a key
        raise ValueError("only literals are allowed as arguments") from None
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deeply") from None
    _check_finite(value)
    return value


def _check_finite(value: Any) -> None:
    if isinstance(value, float | complex) and not (math.isfinite(value.real) and math.isfinite(value.imag)):
        raise ValueError("its numbers must be finite")
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple | set):
        for entry in value:
            _check_finite(entry)
