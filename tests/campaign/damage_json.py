"""Damage to JSON, and to lines of it: to the text, and to the data that it holds."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

from tests.campaign.damage_bytes import Damage, cut, flip, not_text

#: How deep JSON is nested.
DEPTH = 100_000
STRANGE = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    float("nan"),
    float("inf"),
    1e300,
    "",
    "x",
    "é\u0000",
    [],
    {},
    [[]],
    [None],
)


def nested(rng: random.Random) -> str:
    start, end = rng.choice((("[", "]"), ('{"a":', "}")))
    return start * DEPTH + "1" + end * DEPTH


def _leaves(data: Any, path: tuple = ()) -> list[tuple]:
    if isinstance(data, dict) and data:
        return [one for name, value in data.items() for one in _leaves(value, (*path, name))]
    if isinstance(data, list) and data:
        return [one for i, value in enumerate(data) for one in _leaves(value, (*path, i))]
    return [path]


def _parent(data: Any, path: tuple) -> Any:
    for step in path[:-1]:
        data = data[step]
    return data


def with_strange_value(data: Any, rng: random.Random) -> Any:
    # Of the names on the way to a leaf any may be hit, so that whole branches are replaced as well.
    path = rng.choice(_leaves(data))
    path = path[: rng.randint(min(1, len(path)), len(path))]
    if not path:
        return rng.choice(STRANGE)
    _parent(data, path)[path[-1]] = rng.choice(STRANGE)
    return data


def with_other_number(data: Any, rng: random.Random) -> Any:
    numbers = []
    for path in _leaves(data):
        value = _parent(data, path)[path[-1]] if path else data
        if path and isinstance(value, int | float) and not isinstance(value, bool):
            numbers.append(path)
    if numbers:
        path = rng.choice(numbers)
        value = _parent(data, path)[path[-1]]
        _parent(data, path)[path[-1]] = rng.choice((value + 1, value * 2, -value, value * (1 + 1e-6)))
    return data


def _without_name(data: Any, rng: random.Random) -> Any:
    paths = [path for path in _leaves(data) if path]
    if paths:
        path = rng.choice(paths)
        path = path[: rng.randint(1, len(path))]
        del _parent(data, path)[path[-1]]
    return data


def _with_wrong_name(data: Any, rng: random.Random) -> Any:
    if isinstance(data, dict) and data:
        name = rng.choice([*data])
        data[rng.choice((name + "x", name.upper(), ""))] = data.pop(name)
    return data


def _with_more(data: Any, rng: random.Random) -> Any:
    return {**data, "surprise": rng.choice(STRANGE)} if isinstance(data, dict) else [data]


def _edited(change: Callable[[Any, random.Random], Any]) -> Damage:
    """Damage to the data that JSON text holds; what is no JSON gets a flipped bit."""

    def edit(content: bytes, rng: random.Random, other: bytes) -> bytes:
        try:
            data = json.loads(content)
        except ValueError:
            return flip(content, rng, other)
        return json.dumps(change(data, rng), indent=1).encode()

    return edit


def _other_digit(content: bytes, rng: random.Random, other: bytes) -> bytes:
    at = [match.start() for match in re.finditer(rb"\d", content)]
    if not at:
        return flip(content, rng, other)
    chosen = rng.choice(at)
    digit = rng.choice([d for d in b"0123456789" if d != content[chosen]])
    return content[:chosen] + bytes([digit]) + content[chosen + 1 :]


def _deep(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Nest the value of a name, or everything, very deeply."""
    names = [match.end() for match in re.finditer(rb'": ', content)]
    text = nested(rng).encode()
    if not names or rng.random() < 0.3:
        return text
    at = rng.choice(names)
    return content[:at] + text + b', "rest": ' + content[at:]


def _twice_named(content: bytes, rng: random.Random, other: bytes) -> bytes:
    names = [*re.finditer(rb'"(\w+)": ', content)]
    if not names:
        return content
    match = rng.choice(names)
    return content[: match.start()] + match[0] + b"[1], " + content[match.start() :]


def _long_number(content: bytes, rng: random.Random, other: bytes) -> bytes:
    numbers = [*re.finditer(rb"\d+", content)]
    if not numbers:
        return content + b"9" * 10_000
    match = rng.choice(numbers)
    return content[: match.start()] + b"9" * 10_000 + content[match.end() :]


#: Damage to a JSON object.
JSON: dict[str, Damage] = {
    "a strange value": _edited(with_strange_value),
    "another number": _edited(with_other_number),
    "another digit": _other_digit,
    "a name is missing": _edited(_without_name),
    "a wrong name": _edited(_with_wrong_name),
    "a name too many": _edited(_with_more),
    "a name given twice": _twice_named,
    "`schema_version: true`": _edited(
        lambda data, rng: (
            {**data, "schema_version": rng.choice((True, 1.0, "1", 2, None))} if isinstance(data, dict) else data
        )
    ),
    "an empty object": lambda content, rng, other: b"{}",
    "no object": lambda content, rng, other: rng.choice((b"[]", b"null", b"1", b'"x"', b"NaN", b"true")),
    "nested deeply": _deep,
    "a number of 10,000 digits": _long_number,
    "a text of 50 MB": lambda content, rng, other: b'{"format": "' + b"x" * 50_000_000 + b'"}',
}


def _of_lines(change: Callable[[list[bytes], random.Random, bytes], list[bytes]]) -> Damage:
    def edit(content: bytes, rng: random.Random, other: bytes) -> bytes:
        return b"".join(change(content.splitlines(keepends=True), rng, other))

    return edit


def _one_line(make: Callable[[bytes, random.Random, bytes], bytes]) -> Damage:
    def change(lines: list[bytes], rng: random.Random, other: bytes) -> list[bytes]:
        if lines:
            at = rng.randrange(len(lines))
            lines[at] = make(lines[at].rstrip(b"\n"), rng, other).replace(b"\n", b" ") + b"\n"
        return lines

    return _of_lines(change)


def _reordered(lines: list[bytes], rng: random.Random, other: bytes) -> list[bytes]:
    rng.shuffle(lines)
    return lines


def _line_twice(lines: list[bytes], rng: random.Random, other: bytes) -> list[bytes]:
    if lines:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return lines


def _line_missing(lines: list[bytes], rng: random.Random, other: bytes) -> list[bytes]:
    if lines:
        del lines[rng.randrange(len(lines))]
    return lines


def _line_of_another(lines: list[bytes], rng: random.Random, other: bytes) -> list[bytes]:
    theirs = other.splitlines(keepends=True)
    if lines and theirs:
        lines[rng.randrange(len(lines))] = rng.choice(theirs)
    return lines


#: Damage to lines of JSON.
LINES: dict[str, Damage] = {
    **{f"a line with {name}": _one_line(make) for name, make in JSON.items() if "text of" not in name},
    "a line that is not UTF-8": _one_line(not_text),
    "a line cut off": _one_line(cut),
    "a line missing": _of_lines(_line_missing),
    "a line twice": _of_lines(_line_twice),
    "lines in another order": _of_lines(_reordered),
    "a line of another run": _of_lines(_line_of_another),
    "an over-long line": lambda content, rng, other: content + b'{"step": "' + b"x" * 50_000_000 + b'"}\n',
    "a long line without an end": lambda content, rng, other: content + b'{"step": "' + b"x" * 50_000_000,
    "an empty line": _of_lines(lambda lines, rng, other: [*lines, b"\n", b"\n"]),
    "the last line cut off": lambda content, rng, other: content[: -rng.randint(1, 20)],
}
