"""Damage to any file: bits, bytes and pieces."""

import functools
import random
from collections.abc import Callable

#: What damages content: it takes the content, a source of chance, and the same file of another run.
Damage = Callable[[bytes, random.Random, bytes], bytes]


def at(content: bytes, rng: random.Random) -> int:
    return rng.randrange(max(1, len(content)))


def piece(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = at(content, rng)
    return start, min(len(content), start + rng.choice((1, 2, 8, 64, 1024)))


def flip(content: bytes, rng: random.Random, other: bytes, num: int = 1) -> bytes:
    changed = bytearray(content)
    for _ in range(num if changed else 0):
        changed[at(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(content: bytes, rng: random.Random, other: bytes) -> bytes:
    return content[: at(content, rng)]


def _hole(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start, end = piece(content, rng)
    return content[:start] + content[end:]


def _doubled(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start, end = piece(content, rng)
    return content[:end] + content[start:end] + content[end:]


def _zeros(content: bytes, rng: random.Random, other: bytes) -> bytes:
    start, end = piece(content, rng)
    return content[:start] + bytes(end - start) + content[end:]


def not_text(content: bytes, rng: random.Random, other: bytes) -> bytes:
    where = at(content, rng)
    return content[:where] + rng.choice((b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\x00")) + content[where:]


#: Damage to anything.
BYTES: dict[str, Damage] = {
    "a flipped bit": flip,
    "eight flipped bits": functools.partial(flip, num=8),
    "cut off": cut,
    "a hole": _hole,
    "a doubled piece": _doubled,
    "zeros": _zeros,
    "not UTF-8": not_text,
    "garbage behind": lambda content, rng, other: content + rng.randbytes(rng.choice((1, 100))),
    "empty": lambda content, rng, other: b"",
    "another run's file": lambda content, rng, other: other,
}
