"""Mutants of a file, by what the file is.

One source of chance determines a mutant, so that a number makes it again and hypothesis can shrink it.
"""

import random

from tests.campaign.damage_bytes import BYTES, Damage
from tests.campaign.damage_json import JSON, LINES
from tests.campaign.damage_npz import NPZ
from tests.campaign.damage_safetensors import SAFETENSORS

_SPECIAL = {"json": JSON, "jsonl": LINES, "safetensors": SAFETENSORS, "npz": NPZ}


def damages_of(name: str) -> dict[str, Damage]:
    """Return all damages that can be done to a file of that name, by what they are called."""
    return BYTES | _SPECIAL[name.rpartition(".")[2]]


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
    special = _SPECIAL[name.rpartition(".")[2]]
    word = rng.choice([*special] if rng.random() < 0.7 else [*BYTES])
    return word, damages_of(name)[word](content, rng, other)
