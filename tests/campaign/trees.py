"""What a directory holds: whether anything changed in it, and whether two runs left the same results."""

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays

#: What differs between two runs that did the same: when, how long, how much memory, and hashes of files that say so.
_VOLATILE = ("seconds", "made", "gigabytes", "sha256", "hash", "checksum", "digest", "steps_per_second")


def snapshot(folder: Path) -> dict[str, tuple]:
    """Return what is in a folder: of each path its kind, its permissions and a hash of its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name, info = path.relative_to(folder).as_posix(), path.lstat()
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("directory", oct(info.st_mode))
        else:
            found[name] = ("file", oct(info.st_mode), hashlib.sha256(_bytes(path)).hexdigest())
    return found


def changes(before: dict[str, tuple], after: dict[str, tuple]) -> list[str]:
    """Say in words what differs between two snapshots."""
    said = [f"{name} is new" for name in sorted(after.keys() - before.keys())]
    said += [f"{name} is gone" for name in sorted(before.keys() - after.keys())]
    return said + [f"{name} has changed" for name in sorted(before.keys() & after) if before[name] != after[name]]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def results(folder: Path) -> dict[str, Any]:
    """Return the results in a folder without what differs between two runs that did the same.

    Pictures count by their names; of checkpoints only the last, and hidden files not at all.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.name.startswith("checkpoint-") and path != max(path.parent.glob("checkpoint-*.safetensors")):
            continue
        try:
            found[name] = content(path)
        except Exception as error:  # whatever a damaged file causes
            found[name] = f"unreadable: {type(error).__name__}"
    return found


def content(path: Path) -> Any:
    """Return what one file says, as far as it is a result."""
    if path.suffix == ".json":
        return stable(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [stable(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix == ".npz":
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return stable({name: archive[name] for name in archive.files})
    if path.suffix == ".safetensors":
        return stable(load_arrays(path.read_bytes()))
    return "a file"


def stable(value: Any) -> Any:
    """Return data without their volatile parts, arrays as dtype, shape and bytes."""
    if isinstance(value, dict):
        kept = {name: one for name, one in value.items() if not any(word in str(name) for word in _VOLATILE)}
        return {str(name): stable(one) for name, one in kept.items()}
    if isinstance(value, list | tuple):
        return [stable(one) for one in value]
    if isinstance(value, np.ndarray):
        if value.ndim == 0 and value.dtype.kind == "U" and str(value).startswith(("{", "[")):
            return stable(json.loads(str(value)))
        return [str(value.dtype), [*value.shape], np.ascontiguousarray(value).tobytes().hex()]
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return value


def difference(one: Any, other: Any, where: str = "") -> str:
    """Say where two results differ first; empty if they do not."""
    if type(one) is not type(other):
        return f"{where or 'it'} is {_short(one)} in one and {_short(other)} in the other"
    if isinstance(one, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            if name not in one or name not in other:
                return f"{where}/{name} is only in the {'first' if name in one else 'second'}"
            if said := difference(one[name], other[name], f"{where}/{name}"):
                return said
        return ""
    if isinstance(one, list):
        if len(one) != len(other):
            return f"{where} has {len(one)} entries in one and {len(other)} in the other"
        return next(
            (said for i, (a, b) in enumerate(zip(one, other)) if (said := difference(a, b, f"{where}[{i}]"))), ""
        )
    return "" if one == other else f"{where or 'it'} is {_short(one)} in one and {_short(other)} in the other"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."
