"""Damage to npz archives: to their members, to the records of the archive, and bombs."""

import functools
import io
import random
import re
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.campaign.damage_bytes import Damage, flip
from tests.campaign.damage_json import JSON

#: Bytes that a bomb takes when it is read.
BOMB = 800_000_000


def _of_members(change: Callable[[dict[str, bytes], random.Random], Any], *, packed: bool | None = None) -> Damage:
    """Damage to the members of an npz archive, which is sound again afterwards; compressed by chance if None."""

    def edit(content: bytes, rng: random.Random, other: bytes) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
        except (zipfile.BadZipFile, zlib.error, OSError):
            return flip(content, rng, other)
        change(members, rng)
        file = io.BytesIO()
        method = zipfile.ZIP_DEFLATED if (rng.random() < 0.5 if packed is None else packed) else zipfile.ZIP_STORED
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name), data, method)
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
            return flip(content, rng, other)
        value, chosen = rng.choice(values), rng.choice(at)
        return content[:chosen] + value + content[chosen + len(value) :]

    return edit


#: Damage to an npz archive.
NPZ: dict[str, Damage] = {
    "another dtype": _of_members(
        _edit_array(
            rb"'descr': '[^']*'",
            lambda found: tuple(
                b"'descr': '%s'" % d for d in (b"<f4", b"<i8", b"|O", b">f8", b"<c16", b"|b1", b"<U2", b"x")
            ),
        )
    ),
    "another shape": _of_members(
        _edit_array(
            rb"'shape': \([^)]*\)",
            lambda found: tuple(
                b"'shape': (%s)" % d for d in (b"", b"1,", b"-1,", b"99999999999999,", b"2, 1", b"1.5,")
            ),
        )
    ),
    "another order": _of_members(
        _edit_array(rb"'fortran_order': \w+", lambda found: (b"'fortran_order': True", b"'fortran_order': 7"))
    ),
    "arrays changed places": _of_members(_replace_member),
    "an array is missing": _of_members(lambda members, rng: members.pop(rng.choice([*members]))),
    "an array too many": _of_members(
        lambda members, rng: members.__setitem__("surprise.npy", next(iter(members.values())))
    ),
    "numbers that are not finite": _of_members(_nan_in_array),
    "damage to its JSON": _of_members(_json_of_result),
    "a bomb": lambda content, rng, other: _bomb(),
    "a bomb in place of an array": _of_members(_bomb_in_place, packed=True),
    "an unknown compression": _of_zip(b"PK\x01\x02", 10, (b"\x63\x00", b"\x0c\x00", b"\x0e\x00", b"\x08\x00")),
    "a password": _of_zip(b"PK\x01\x02", 8, (b"\x01\x00",)),
    "another size": _of_zip(b"PK\x01\x02", 24, (b"\xff\xff\xff\x7f", b"\x01\x00\x00\x00")),
    "another checksum": _of_zip(b"PK\x01\x02", 16, (b"\x00\x00\x00\x00",)),
}
