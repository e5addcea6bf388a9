"""The files of a recording: parts of consecutive steps, thinned out under a bound; no JAX is loaded here.

Each process writes one JSON file, `process-0000.json`, that says what is recorded, and parts beside it, in safetensors:

- `process-0000-000000000128.safetensors`: steps from 128 on, with components. The part at work is written anew, whole,
  every two seconds, so that whoever dies loses no more than those.
- `process-0000-thin.safetensors`: steps of parts that were thinned out, without their components.

Names of arrays begin with `each.` where they have a row for each step, and with `kept.` where they hold components.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import safetensors
from safetensors.numpy import load as load_arrays

from optoscope._core.files import (
    DamagedFileError,
    digest_of_array,
    pack_arrays,
    parse_json,
    read_json,
    sealed,
    unsealed,
    write_json,
    write_whole,
)
from optoscope._core.locks import held
from optoscope._core.progress import Announce, silent

FORMAT, VERSION = "optoscope recording", 1
#: Steps of one part, and seconds after which what is not yet written is written.
STEPS, SECONDS = 128, 2.0
#: Parts at the beginning and at the end that are never thinned out.
FIRST, LATEST = 1, 3
#: Share of the bound that steps without components may take.
THIN_SHARE = 0.25

Row = Mapping[str, Any]


@final
class Writer:
    """Writes the steps of one process into a directory, never more than a bound.

    Args:
        directory: made if it is not there. If it holds a recording of the same things, this one goes on.
        about: what is recorded; JSON data.
        process: number of this process.
        bound: largest number of bytes of the parts of this process.
        row_bytes: size of a step with its components.

    Raises:
        ValueError: if it holds a recording of something else, or the bound is below what seven parts take.
        InUseError: if another process writes the same.
    """

    def __init__(self, directory: Path, about: dict[str, Any], *, process: int = 0, bound: int, row_bytes: int):
        needed = (FIRST + LATEST + 3) * STEPS * row_bytes
        if bound < needed:
            raise ValueError(
                f"a bound of {bound / 1e6:.3g} MB is too small: {STEPS * (FIRST + LATEST + 3)} steps take "
                f"{needed / 1e6:.3g} MB; raise `megabytes`, or record fewer `components`."
            )
        self.directory, self.bound, self._stem = Path(directory), bound, f"process-{process:04d}"
        self._held = contextlib.ExitStack()
        self._held.enter_context(held(self.directory / self._stem, is_file=True))
        try:
            self.next_step, self.session = self._begin(about)
        except BaseException:
            self._held.close()
            raise
        self._rows: list[Row] = []
        self._written, self._last = 0, time.monotonic()

    def _begin(self, about: dict[str, Any]) -> tuple[int, int]:
        path = self.directory / f"{self._stem}.json"
        if path.exists():
            before = read_about(path)
            differs = [k for k in ("parameters", "components", "framework") if before.get(k) != _as_read(about[k])]
            if differs:
                raise ValueError(
                    f"{self.directory} holds a recording of something else (other {', '.join(differs)}); choose "
                    "another directory."
                )
        self.describe(about)
        self._sizes = {one: one.stat().st_size for one in sorted(self.directory.glob(f"{self._stem}-*.safetensors"))}
        lasts = [part for part in (_read_part(one, silent) for one in self._sizes) if part is not None]
        steps = np.concatenate([part["each.step"] for part in lasts]) if lasts else np.zeros(0, int)
        sessions = np.concatenate([part["each.session"] for part in lasts]) if lasts else np.zeros(0, int)
        return (int(steps.max()) + 1, int(sessions.max()) + 1) if len(steps) else (0, 0)

    def describe(self, about: dict[str, Any]) -> None:
        """Write what is recorded."""
        write_json(self.directory / f"{self._stem}.json", sealed({"format": FORMAT, "version": VERSION, **about}))

    def add(self, row: Row) -> None:
        """Take one step; `each.step` must be larger than all before."""
        self._rows.append(row)
        self.next_step = int(row["each.step"]) + 1
        if len(self._rows) >= STEPS:
            self.flush()
            self._rows, self._written = [], 0
            while sum(self._sizes.values()) > self.bound - self._reserve() and self._thin():
                pass
        elif time.monotonic() - self._last > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what has come since the last time."""
        self._last = time.monotonic()
        if len(self._rows) == self._written:
            return
        names = {name: None for row in self._rows for name in row}
        whole = {name: _stacked([row.get(name) for row in self._rows]) for name in names}
        path = self.directory / f"{self._stem}-{int(self._rows[0]['each.step']):012d}.safetensors"
        self._write(path, whole)
        self._written = len(self._rows)

    def close(self) -> None:
        """Write the rest, and let go of the directory."""
        self.flush()
        self._held.close()

    def _reserve(self) -> int:
        """Room for the part at work."""
        return max(self._sizes.values(), default=0)

    def _write(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        about = json.dumps(sealed({"arrays": {name: digest_of_array(array) for name, array in arrays.items()}}))
        content = pack_arrays(arrays, {"optoscope": about})
        write_whole(path, content)
        self._sizes[path] = len(content)

    def _thin(self) -> bool:
        """Take the components from one part: parts stay close together where they are young, far apart where old."""
        thin = self.directory / f"{self._stem}-thin.safetensors"
        parts = sorted(path for path in self._sizes if path != thin)
        starts = [_first_step(path) for path in parts]
        candidates = range(FIRST, len(parts) - LATEST)
        if not candidates:
            return False
        chosen = parts[min(candidates, key=lambda i: (starts[i + 1] - starts[i - 1]) / (starts[-1] - starts[i]))]
        rows = [part for part in (_read_part(thin, silent), _read_part(chosen, silent)) if part is not None]
        if rows:
            names = [name for name in rows[-1] if name.startswith("each.")]
            merged = {name: np.concatenate([part[name] for part in rows if name in part]) for name in names}
            merged = {name: array[np.argsort(merged["each.step"])] for name, array in merged.items()}
            stride = 1
            while sum(array.nbytes for array in merged.values()) > THIN_SHARE * self.bound:
                stride *= 2  # an even stride, however often it was thinned out before
                merged = {name: array[merged["each.step"] % stride == 0] for name, array in merged.items()}
            self._write(thin, merged)
        chosen.unlink(missing_ok=True)
        del self._sizes[chosen]
        return True


def read_about(path: Path) -> dict[str, Any]:
    """Read what is recorded by one process.

    Raises:
        DamagedFileError: if the file is damaged, from another version or something else.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DamagedFileError(f"{path} is not of a recording of optoscope.")
    if data.get("version") != VERSION:
        raise DamagedFileError(f"{path} has version {data.get('version')!r}; this optoscope reads {VERSION}.")
    return unsealed(data, path.name)


def read_process(directory: Path, about_path: Path, announce: Announce) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read all that one process has written: what is recorded, and the steps in order.

    Damaged parts are passed over and announced. Arrays `kept.` have rows of their own, whose steps are `kept.step`.
    """
    about = read_about(about_path)
    parts = [
        part
        for path in sorted(directory.glob(f"{about_path.stem}-*.safetensors"))
        if (part := _read_part(path, announce)) is not None
    ]
    for part in parts:
        if any(name.startswith("kept.") for name in part):
            part["kept.step"] = part["each.step"]
    return about, joined(parts)


def joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join parts along their steps, in order, each step once; what a part does not hold is NaN there."""
    whole = {}
    for kind in ("each.", "kept."):
        some = [part for part in parts if f"{kind}step" in part]
        names = {name: part[name].shape[1:] for part in some for name in part if name.startswith(kind)}
        if not some:
            continue
        steps = np.concatenate([part[f"{kind}step"] for part in some])
        steps, order = np.unique(steps, return_index=True)
        for name, shape in names.items():
            blank = lambda part, shape=shape: np.full((len(part[f"{kind}step"]), *shape), np.nan, np.float32)  # noqa: B023
            whole[name] = np.concatenate([part.get(name, blank(part)) for part in some])[order]
        whole[f"{kind}step"] = steps
    return whole


def _read_part(path: Path, announce: Announce) -> dict[str, np.ndarray] | None:
    """The arrays of a part; None, and a sentence, if it is gone or damaged."""
    try:
        content = path.read_bytes()
        arrays = load_arrays(content)
        told = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["optoscope"]
        hashes = unsealed(parse_json(told.encode(), path.name), path.name)["arrays"]
        if hashes != {name: digest_of_array(array) for name, array in arrays.items()}:
            raise DamagedFileError("the hash of an array is another one")
        return arrays
    except FileNotFoundError:
        return None
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
        announce(f"{path.name} is damaged and was passed over ({error}).")
        return None


def _stacked(values: list[Any]) -> np.ndarray:
    known = next(value for value in values if value is not None)
    blank = np.full(np.shape(known), np.nan, np.float32)
    return np.stack([blank if value is None else np.asarray(value) for value in values])


def _first_step(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _as_read(data: Any) -> Any:
    return json.loads(json.dumps(data))
