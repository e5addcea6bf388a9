"""Files that are whole or absent when written, and checked when read."""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

#: The largest JSON file that is read, in bytes; what optoscope writes is far smaller.
LARGEST_JSON = 16_000_000
#: The key under which sealed data hold their own hash.
CHECKSUM = "checksum"


class DamagedFileError(ValueError):
    """A file is not what was written; the message names it, says what was found and what to do."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part, even if this process is killed."""
    aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, (json.dumps(data, indent=1) + "\n").encode())


def parse_json(content: bytes, what: str) -> Any:
    """Read JSON from bytes.

    Raises:
        DamagedFileError: if they are not whole JSON in UTF-8, nested too deeply or too large; it begins with `what`.
    """
    if len(content) > LARGEST_JSON:
        raise DamagedFileError(f"{what} is too large ({len(content)} bytes; at most {LARGEST_JSON}); it is not ours.")
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]
        raise DamagedFileError(f"{what} is not whole JSON ({why}); copy or make it again.") from None


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DamagedFileError: as `parse_json`.
        FileNotFoundError: if there is no such file.
    """
    if path.stat().st_size > LARGEST_JSON:
        raise DamagedFileError(f"{path.name} is too large ({path.stat().st_size} bytes; at most {LARGEST_JSON}).")
    return parse_json(path.read_bytes(), path.name)


def digest(data: Any) -> str:
    """Return the SHA-256 of bytes, or of JSON data however they are spaced and ordered.

    >>> digest({"b": 1, "a": (2.5,)}) == digest({"a": [2.5], "b": 1})
    True
    """
    if not isinstance(data, bytes):
        data = json.loads(json.dumps(data))  # as it will be read: tuples are lists, keys are text
        data = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(data).hexdigest()


def sealed(data: dict[str, Any]) -> dict[str, Any]:
    """Return JSON data with their own hash, for `unsealed`."""
    return {**data, CHECKSUM: digest(data)}


def unsealed(data: Any, what: str) -> dict[str, Any]:
    """Check what `sealed` made, and return it without its hash.

    Raises:
        DamagedFileError: if the data are not an object, have no hash or another one; it begins with `what`.
    """
    if not isinstance(data, dict) or CHECKSUM not in data:
        raise DamagedFileError(f"{what} holds no checksum, so it cannot be trusted; make it again.")
    rest = {name: value for name, value in data.items() if name != CHECKSUM}
    if digest(rest) != data[CHECKSUM]:
        raise DamagedFileError(f"{what} was changed or damaged: its checksum is another one; copy or make it again.")
    return rest


def pack_arrays(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """Return the bytes of a safetensors file."""
    return safetensors.numpy.save({k: np.array(v, order="C") for k, v in arrays.items()}, metadata)


def digest_of_array(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's type, shape and values."""
    header = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()


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
