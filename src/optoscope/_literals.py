"""Reading `name(literals)` from text, with nothing evaluated."""

import ast
from typing import Any, NamedTuple


class Call(NamedTuple):
    """What `name(literals)` says."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]


def parse_call(text: str, *, example: str) -> Call:
    """Parse `name` or `name(literal arguments)`.

    Raises:
        ValueError: if the text is not of this form, or an argument is not a literal; the message ends with `example`.

    >>> parse_call("grid(3, size=(1, 2))", example="grid(3)")
    Call(name='grid', args=[3], kwargs={'size': (1, 2)})
    """
    hint = f"{text!r} is not name(literals); for instance {example}"
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError(f"{hint}.") from None
    if isinstance(node, ast.Name):
        return Call(node.id, [], {})
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"{hint}.")
    try:
        args = [ast.literal_eval(argument) for argument in node.args]
        kwargs = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    except ValueError:
        raise ValueError(f"{hint}; only literals are allowed as arguments.") from None
    return Call(node.func.id, args, kwargs)
