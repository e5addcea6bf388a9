"""Checkpoints of a running meta-training: one file each, whole or absent, the newest valid one wins."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors
from safetensors.numpy import load as load_arrays

from optoscope._files import pack_arrays, write_whole

_PATTERN = "checkpoint-*.safetensors"
_KEPT = 3


class Checkpoint(NamedTuple):
    """A pytree of arrays and the JSON data that goes with it."""

    arrays: Any
    data: dict[str, Any]


def save_checkpoint(directory: Path, step: int, arrays: Any, data: dict[str, Any]) -> None:
    """Write a checkpoint and drop all but the last few.

    Args:
        directory: where checkpoints live.
        step: orders them.
        arrays: any pytree of arrays.
        data: JSON data.
    """
    named = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(arrays)}
    path = directory / f"checkpoint-{step:08d}.safetensors"
    write_whole(path, pack_arrays(named, {"data": json.dumps(data)}))
    for old in sorted(directory.glob(_PATTERN))[:-_KEPT]:
        old.unlink()


def load_checkpoint(directory: Path, like: Any) -> Checkpoint | None:
    """Read the newest checkpoint that is whole; damaged ones are passed over.

    Args:
        directory: where checkpoints live.
        like: a pytree of the structure that was saved; its leaves give shapes and dtypes.

    Returns:
        The checkpoint, or None if there is none.

    Raises:
        ValueError: if the newest whole one belongs to a run of another shape.
    """
    for path in sorted(directory.glob(_PATTERN), reverse=True):
        try:
            content = path.read_bytes()
            arrays = load_arrays(content)
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            data = json.loads(header["__metadata__"]["data"])
        except (safetensors.SafetensorError, ValueError, KeyError):
            continue
        return Checkpoint(_restore(path, arrays, like), data)
    return None


def _restore(path, arrays, like):
    def pick(key_path, leaf):
        name = jax.tree_util.keystr(key_path)
        if name not in arrays or arrays[name].shape != np.shape(leaf):
            found = arrays[name].shape if name in arrays else "nothing"
            raise ValueError(
                f"{path.name} does not belong to this run: {name} should have shape {np.shape(leaf)}, found {found}. "
                "Resume with the settings of the run that wrote it, or choose another directory."
            )
        return arrays[name]

    return jax.tree.map_with_path(pick, like)
