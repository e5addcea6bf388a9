"""Checkpoints of a running meta-training: one file each, whole or absent, checked when read; the newest whole wins."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors
from safetensors.numpy import load as load_arrays

from optoscope._core.files import DamagedFileError, digest, digest_of_array, pack_arrays, parse_json, write_whole
from optoscope._core.progress import Announce, silent

_PATTERN = "checkpoint-*.safetensors"
_KEPT = 3


class Checkpoint(NamedTuple):
    """A pytree of arrays and the JSON data that goes with it."""

    arrays: Any
    data: dict[str, Any]


def save_checkpoint(directory: Path, step: int, arrays: Any, data: dict[str, Any], *, run: str) -> None:
    """Write a checkpoint and drop all but the last few.

    Args:
        directory: where checkpoints live.
        step: orders them.
        arrays: any pytree of arrays.
        data: JSON data.
        run: identity of the run, which alone may read it.
    """
    named = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(arrays)}
    path = directory / _name(step)
    text = json.dumps(data)
    write_whole(path, pack_arrays(named, {"data": text, "seal": _seal(named, text, run)}))
    earlier = [one for one in sorted(directory.glob(_PATTERN)) if one.name <= path.name]
    for old in earlier[:-_KEPT]:
        old.unlink()


def load_checkpoint(directory: Path, like: Any, *, run: str, announce: Announce = silent) -> Checkpoint | None:
    """Read the newest checkpoint that is whole; damaged ones and other runs' are passed over, which is announced.

    Args:
        directory: where checkpoints live.
        like: a pytree of the structure that was saved; its leaves give shapes and dtypes.
        run: identity of the run.
        announce: called with what is passed over, and why.

    Returns:
        The checkpoint, or None if there is none.
    """
    for path in sorted(directory.glob(_PATTERN), reverse=True):
        try:
            return _read(path, like, run)
        except (DamagedFileError, OSError) as error:
            announce(f"{error} It is passed over.")
    return None


def _name(step: int) -> str:
    return f"checkpoint-{step:08d}.safetensors"


def _seal(arrays: dict[str, np.ndarray], text: str, run: str) -> str:
    return digest([run, text, {name: digest_of_array(array) for name, array in arrays.items()}])


def _read(path: Path, like: Any, run: str) -> Checkpoint:
    content = path.read_bytes()
    try:
        arrays = load_arrays(content)
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")], path.name)["__metadata__"]
        text, seal = header["data"], header["seal"]
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{path.name} is damaged ({str(error)[:120]}).") from None
    if _seal(arrays, text, run) != seal:
        raise DamagedFileError(f"{path.name} is damaged or belongs to another run: its hash is another one.")

    def pick(key_path, leaf):
        name = jax.tree_util.keystr(key_path)
        if name not in arrays or arrays[name].shape != np.shape(leaf):
            raise DamagedFileError(
                f"{path.name} was written by another version: {name} is missing or has another shape."
            )
        return arrays[name]

    return Checkpoint(jax.tree.map_with_path(pick, like), parse_json(text.encode(), path.name))
