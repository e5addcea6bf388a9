"""Damage to the content of a file, by what the file is: bytes, JSON, lines of JSON, safetensors, npz.

Every function takes a source of chance, so that one number makes a mutant again, and hypothesis can shrink it.
"""

import functools
import io
import json
import random
import re
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

#: How deep JSON is nested.
DEPTH = 100_000
#: Bytes that a bomb takes when it is read.
BOMB = 800_000_000

Damage = Callable[[bytes, random.Random, bytes], bytes]


def damages_of(name: str) -> dict[str, Damage]:
    """Return all damages that can be done to a file of that name, by what they are called."""
    special = {".json": JSON, ".jsonl": LINES, ".safetensors": SAFETENSORS, ".npz": NPZ}
    return BYTES | special["." + name.rpartition(".")[2]]


def damage(name: str, content: bytes, rng: random.Random, other: bytes) -> tuple[str, bytes]:
    """Damage a file's content.

    Args:
        name: its name; the ending tells what it is.
        content: what it holds.
        rng: draws what is done.
        other: the same file of another run.

    Returns:
        What was done, and what came of it.
    """
    known = damages_of(name)
    special = [one for one in known if one not in BYTES]
    word = rng.choice(special if rng.random() < 0.7 else [*BYTES])
    return word, known[word](content, rng, other)


def _at(content: bytes, rng: random.Random) -> int:
    return rng.randrange(max(1, len(content)))


def _piece(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = _at(content, rng)
    return start, min(len(content), start + rng.choice((1, 2, 8, 64, 1024)))


def _flip(content: bytes, rng: random.Random, other: bytes, num: int = 1) -> bytes:
    changed = bytearray(content)
    for _ in range(num if changed else 0):
        changed[_at(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, rng: random.Random, other: bytes) -> bytes:
    return content[: _at(content, rng)]


def _hole(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start, end = _piece(content, rng)
    return content[:start] + content[end:]


def _doubled(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start, end = _piece(content, rng)
    return content[:end] + content[start:end] + content[end:]


def _zeros(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start, end = _piece(content, rng)
    return content[:start] + bytes(end - start) + content[end:]


def _not_text(content: bytes, rng: random.Random, other: bytes) -> bytes:
    at = _at(content, rng)
    return content[:at] + rng.choice((b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\x00")) + content[at:]


#: Damage to anything.
BYTES: dict[str, Damage] = {
    "a flipped bit": _flip,
    "eight flipped bits": functools.partial(_flip, num=8),
    "cut off": _cut,
    "a hole": _hole,
    "a doubled piece": _doubled,
    "zeros": _zeros,
    "not UTF-8": _not_text,
    "garbage behind": lambda content, rng, other: content + rng.randbytes(rng.choice((1, 100))),
    "empty": lambda content, rng, other: b"",
    "another run's file": lambda content, rng, other: other,
}

_STRANGE = (
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


def _nested(rng: random.Random) -> str:
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


def _with_strange_value(data: Any, rng: random.Random) -> Any:
    # Of the names on the way to a leaf any may be hit, so that whole branches are replaced as well.
    path = rng.choice(_leaves(data))
    path = path[: rng.randint(min(1, len(path)), len(path))]
    if not path:
        return rng.choice(_STRANGE)
    _parent(data, path)[path[-1]] = rng.choice(_STRANGE)
    return data


def _with_other_number(data: Any, rng: random.Random) -> Any:
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
    return {**data, "surprise": rng.choice(_STRANGE)} if isinstance(data, dict) else [data]


def _edited(change: Callable[[Any, random.Random], Any]) -> Damage:
    """Damage to the data that JSON text holds; what is no JSON gets a flipped bit."""

    def edit(content: bytes, rng: random.Random, other: bytes) -> bytes:
        try:
            data = json.loads(content)
        except ValueError:
            return _flip(content, rng, other)
        return json.dumps(change(data, rng), indent=1).encode()

    return edit


def _other_digit(content: bytes, rng: random.Random, other: bytes) -> bytes:
    at = [match.start() for match in re.finditer(rb"\d", content)]
    if not at:
        return _flip(content, rng, other)
    chosen = rng.choice(at)
    digit = rng.choice([d for d in b"0123456789" if d != content[chosen]])
    return content[:chosen] + bytes([digit]) + content[chosen + 1 :]


def _deep(content: bytes, rng: random.Random, other: bytes) -> bytes:
    """Nest the value of a name, or everything, very deeply."""
    names = [match.end() for match in re.finditer(rb'": ', content)]
    text = _nested(rng).encode()
    if not names or rng.random() < 0.3:
        return text
    at = rng.choice(names)
    return content[:at] + text + b', "rest": ' + content[at:]


def _twice_named(content: bytes, rng: random.Random, other: bytes) -> bytes:
    names = [match for match in re.finditer(rb'"(\w+)": ', content)]
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
    "a strange value": _edited(_with_strange_value),
    "another number": _edited(_with_other_number),
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
    "a line that is not UTF-8": _one_line(_not_text),
    "a line cut off": _one_line(_cut),
    "a line missing": _of_lines(_line_missing),
    "a line twice": _of_lines(_line_twice),
    "lines in another order": _of_lines(_reordered),
    "a line of another run": _of_lines(_line_of_another),
    "an over-long line": lambda content, rng, other: content + b'{"step": "' + b"x" * 50_000_000 + b'"}\n',
    "a long line without an end": lambda content, rng, other: content + b'{"step": "' + b"x" * 50_000_000,
    "an empty line": _of_lines(lambda lines, rng, other: [*lines, b"\n", b"\n"]),
    "the last line cut off": lambda content, rng, other: content[: -rng.randint(1, 20)],
}


def _of_header(change: Callable[[Any, random.Random], Any], *, padded: bool = True) -> Damage:
    """Damage to the JSON at the head of a safetensors file, with its length set right again."""

    def edit(content: bytes, rng: random.Random, other: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        try:
            header = json.loads(content[8 : 8 + length])
        except ValueError:
            return _flip(content, rng, other)
        text = change(header, rng)
        text = text if isinstance(text, bytes) else json.dumps(text).encode()
        text += b" " * (-len(text) % 8 if padded else 0)
        return len(text).to_bytes(8, "little") + text + content[8 + length :]

    return edit


def _tensors(header: dict) -> list[str]:
    return [name for name in header if name != "__metadata__"]


def _other_dtype(header: dict, rng: random.Random) -> dict:
    name = rng.choice(_tensors(header))
    twins = {
        "F32": ("I32", "U32"),
        "I32": ("F32", "U32"),
        "U32": ("F32", "I32"),
        "F64": ("I64",),
        "I64": ("F64", "U64"),
    }
    header[name]["dtype"] = rng.choice((*twins.get(header[name]["dtype"], ()), "F16", "BF16", "Q7"))
    return header


def _other_shape(header: dict, rng: random.Random) -> dict:
    name = rng.choice(_tensors(header))
    shape = header[name]["shape"]
    header[name]["shape"] = rng.choice((shape[::-1], [*shape, 1], [1, *shape], shape[:-1], [10**12], [-1], shape))
    return header


def _other_place(header: dict, rng: random.Random) -> dict:
    one, two = rng.choice(_tensors(header)), rng.choice(_tensors(header))
    same = [name for name in _tensors(header) if header[name]["shape"] == header[one]["shape"]]
    two = rng.choice(same) if rng.random() < 0.7 else two
    header[one]["data_offsets"], header[two]["data_offsets"] = header[two]["data_offsets"], header[one]["data_offsets"]
    return header


def _renamed_tensor(header: dict, rng: random.Random) -> dict:
    name = rng.choice(_tensors(header))
    header[name + "x"] = header.pop(name)
    return header


def _numbers_not_finite(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start = 8 + int.from_bytes(content[:8], "little")
    if len(content) < start + 8:
        return content
    at = start + 4 * rng.randrange((len(content) - start) // 4)
    return content[:at] + rng.choice((b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f")) + content[at + 4 :]


#: Damage to a safetensors file.
SAFETENSORS: dict[str, Damage] = {
    "another dtype": _of_header(_other_dtype),
    "another shape": _of_header(_other_shape),
    "arrays changed places": _of_header(_other_place),
    "a wrong name of an array": _of_header(_renamed_tensor),
    "an array is missing": _of_header(
        lambda header, rng: {n: v for n, v in header.items() if n != _tensors(header)[0]}
    ),
    "strange values in the header": _of_header(_with_strange_value),
    "another number in the header": _of_header(_with_other_number),
    "a header nested deeply": _of_header(lambda header, rng: _nested(rng).encode()),
    "a header of 2**60 bytes": lambda content, rng, other: (2**60).to_bytes(8, "little") + content[8:],
    "numbers that are not finite": _numbers_not_finite,
}


def _of_members(change: Callable[[dict[str, bytes], random.Random], Any]) -> Damage:
    """Damage to the members of an npz archive, which is a sound archive again afterwards."""

    def edit(content: bytes, rng: random.Random, other: bytes) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
        except (zipfile.BadZipFile, zlib.error, OSError):
            return _flip(content, rng, other)
        change(members, rng)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name), data)
        return file.getvalue()

    return edit


def _arrays(members: dict[str, bytes]) -> list[str]:
    return [name for name in members if name != "json.npy"]


def _edit_array(pattern: bytes, choices: Callable[[re.Match], tuple[bytes, ...]]):
    """Replace something in the head of an array; its length stays."""

    def change(members: dict[str, bytes], rng: random.Random) -> None:
        name = rng.choice(_arrays(members) or [*members])
        found = re.search(pattern, members[name][:300])
        if found:
            end = members[name].index(b"\n")
            text = rng.choice(choices(found))
            head = members[name][: found.start()] + text + members[name][found.end() : end].rstrip(b" ")
            members[name] = head[:end].ljust(end) + members[name][end:]

    return change


def _replace_member(members: dict[str, bytes], rng: random.Random) -> None:
    one, two = rng.choice([*members]), rng.choice([*members])
    members[one], members[two] = members[two], members[one]


def _nan_in_array(members: dict[str, bytes], rng: random.Random) -> None:
    name = rng.choice(_arrays(members) or [*members])
    start = members[name].index(b"\n") + 1
    if len(members[name]) >= start + 8:
        at = start + 8 * rng.randrange((len(members[name]) - start) // 8)
        members[name] = members[name][:at] + b"\x00\x00\x00\x00\x00\x00\xf8\x7f" + members[name][at + 8 :]


def _json_of_result(members: dict[str, bytes], rng: random.Random) -> None:
    if "json.npy" not in members:
        return
    import numpy as np

    text = str(np.load(io.BytesIO(members["json.npy"])))
    changed = rng.choice([*JSON.values()][:-1])(text.encode(), rng, b"{}")
    file = io.BytesIO()
    np.save(file, np.array(changed.decode(errors="replace")))
    members["json.npy"] = file.getvalue()


@functools.cache
def _bomb() -> bytes:
    """An archive of less than a megabyte whose arrays take `BOMB` bytes."""
    head = b"\x93NUMPY\x01\x00v\x00" + (b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % (BOMB // 8))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in ("json.npy", "losses.npy"):
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(head.ljust(127) + b"\n")
                for _ in range(BOMB // 2_000_000):
                    member.write(bytes(1_000_000))
    return file.getvalue()


def _bomb_in_place(members: dict[str, bytes], rng: random.Random) -> None:
    name = rng.choice(_arrays(members) or [*members])
    head = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (30000000,), }"
    members[name] = head.ljust(127) + b"\n" + bytes(240_000_000)


def _of_zip(pattern: bytes, offset: int, values: tuple[bytes, ...]) -> Damage:
    """Replace a field of a zip record."""

    def edit(content: bytes, rng: random.Random, other: bytes) -> bytes:
        at = [match.start() + offset for match in re.finditer(re.escape(pattern), content)]
        if not at:
            return _flip(content, rng, other)
        value, chosen = rng.choice(values), rng.choice(at)
        return content[:chosen] + value + content[chosen + len(value) :]

    return edit


#: Damage to an npz archive.
NPZ: dict[str, Damage] = {
    "another dtype": _of_members(
        _edit_array(rb"'descr': '[^']*'", lambda found: tuple(b"'descr': '%s'" % d for d in (b"<f4", b"<i8", b"|O", b">f8", b"<c16", b"|b1", b"<U2", b"x")))
    ),
    "another shape": _of_members(
        _edit_array(rb"'shape': \([^)]*\)", lambda found: tuple(b"'shape': (%s)" % d for d in (b"", b"1,", b"-1,", b"99999999999999,", b"2, 1", b"1.5,")))
    ),
    "another order": _of_members(_edit_array(rb"'fortran_order': \w+", lambda found: (b"'fortran_order': True", b"'fortran_order': 7"))),
    "arrays changed places": _of_members(_replace_member),
    "an array is missing": _of_members(lambda members, rng: members.pop(rng.choice([*members]))),
    "an array too many": _of_members(lambda members, rng: members.__setitem__("surprise.npy", next(iter(members.values())))),
    "numbers that are not finite": _of_members(_nan_in_array),
    "damage to its JSON": _of_members(_json_of_result),
    "a bomb": lambda content, rng, other: _bomb(),
    "a bomb in place of an array": _of_members(_bomb_in_place),
    "an unknown compression": _of_zip(b"PK\x01\x02", 10, (b"\x63\x00", b"\x0c\x00", b"\x0e\x00", b"\x08\x00")),
    "a password": _of_zip(b"PK\x01\x02", 8, (b"\x01\x00",)),
    "another size": _of_zip(b"PK\x01\x02", 24, (b"\xff\xff\xff\x7f", b"\x01\x00\x00\x00")),
    "another checksum": _of_zip(b"PK\x01\x02", 16, (b"\x00\x00\x00\x00",)),
}  # fmt: skip
