"""Damage to safetensors files: to the JSON at their head, and to their numbers."""

import json
import random
from collections.abc import Callable
from typing import Any

from tests.campaign.damage_bytes import Damage, flip
from tests.campaign.damage_json import nested, with_other_number, with_strange_value


def _of_header(change: Callable[[Any, random.Random], Any], *, padded: bool = True) -> Damage:
    """Damage to the JSON at the head of a safetensors file, with its length set right again."""

    def edit(content: bytes, rng: random.Random, other: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        try:
            header = json.loads(content[8 : 8 + length])
        except ValueError:
            return flip(content, rng, other)
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
    "strange values in the header": _of_header(with_strange_value),
    "another number in the header": _of_header(with_other_number),
    "a header nested deeply": _of_header(lambda header, rng: nested(rng).encode()),
    "a header of 2**60 bytes": lambda content, rng, other: (2**60).to_bytes(8, "little") + content[8:],
    "numbers that are not finite": _numbers_not_finite,
}
