"""Files that are either whole or absent: written aside, flushed to disk, renamed."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part, even if this process is killed."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, (json.dumps(data, indent=1) + "\n").encode())


def pack_arrays(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """Return the bytes of a safetensors file."""
    return safetensors.numpy.save({k: np.array(v, order="C") for k, v in arrays.items()}, metadata)


def fresh_directory(path: Path, *, force: bool = False) -> Path:
    """Create a directory for output.

    Raises:
        FileExistsError: if it exists and is not empty, and `force` is false.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())) and not force:
        raise FileExistsError(
            f"{path} exists and is not empty; choose another --out, or pass --force to write into it."
        )
    path.mkdir(parents=True, exist_ok=True)
    return path
