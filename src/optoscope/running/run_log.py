"""The directory of a long run: held while it is written, its settings checked on resuming, its parts kept as they come.

A run's directory holds `run.json` (its settings), `log.jsonl` (one record a line) and what else the run writes. The
settings and every record carry their own hash.
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from optoscope._core.files import (
    CHECKSUM,
    DamagedFileError,
    digest,
    parse_json,
    read_json,
    sealed,
    unsealed,
    write_json,
    write_whole,
)
from optoscope._core.locks import held
from optoscope._core.progress import Announce, silent
from optoscope._core.provenance import provenance

_SETTINGS = "run.json"
_LOG = "log.jsonl"
_PROVENANCE = "provenance"
#: What a run writes in its directory, beside results; directories are runs that are part of it.
_FILES = (_SETTINGS, _LOG, "checkpoint-*.safetensors", ".*.part")
_PARTS = ("start", "sample_[0-9]*")
_LARGEST_RECORD = 4_000_000


@dataclasses.dataclass
class RunLog:
    """What is kept of a run while it goes on; without a directory it is kept in memory only.

    Attributes:
        folder: the run's directory, or None.
        identity: hash of the run's settings.
        records: all whole records, in the order in which they came.
        num_damaged: records that were in the log, but damaged or another run's.
        provenance: who started the run; of a new one, who runs now.
    """

    folder: Path | None
    identity: str
    records: list[dict[str, Any]]
    num_damaged: int
    provenance: dict[str, Any]

    def __post_init__(self):
        self._known = {_address(one["key"]): one["value"] for one in self.records if {"key", "value"} <= one.keys()}

    def append(self, record: dict[str, Any]) -> None:
        """Keep one record (JSON data)."""
        self.records.append(record)
        if self.folder is not None:
            with (self.folder / _LOG).open("a") as file:
                file.write(self._line(record))

    def keep(self, records: list[dict[str, Any]]) -> None:
        """Keep these records and no others."""
        self.records = records
        if self.folder is not None:
            write_whole(self.folder / _LOG, "".join(map(self._line, records)).encode())

    def knows(self, key: Any) -> bool:
        """Whether a value is kept under a key."""
        return _address(key) in self._known

    def known(self, key: Any) -> Any:
        """Return the value that is kept under a key."""
        return self._known[_address(key)]

    def known_or(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Return the value that is kept under a key, or compute it and keep it; both are JSON data."""
        if not self.knows(key):
            self._known[_address(key)] = value = compute()
            self.append({"key": key, "value": value})
        return self.known(key)

    def _line(self, record: dict[str, Any]) -> str:
        return json.dumps({**record, CHECKSUM: _seal(record, self.identity)}) + "\n"


@contextlib.contextmanager
def open_run(
    folder: Path | None,
    settings: dict[str, Any],
    *,
    resume: bool,
    announce: Announce = silent,
) -> Iterator[RunLog]:
    """Start a run in a directory, or go on with the same run; nobody else can meanwhile.

    Args:
        folder: the run's directory; nothing is written if None.
        settings: all that determines the run, as JSON data.
        resume: go on with a run that is already there.
        announce: called with what is not as it should be, but does not stop the run.

    Raises:
        FileExistsError: if there is a run and `resume` is false, or another process runs there.
        ValueError: if the run that is there has other settings, which the message names, or its settings are damaged.
        OSError: if the directory cannot be written.
    """
    settings = json.loads(json.dumps(settings))
    if folder is None:
        yield RunLog(None, digest(settings), [], 0, provenance())
        return
    with held(folder):
        found = _read_settings(folder)
        if found is None:
            write_whole(folder / _LOG, b"")
            made = provenance()
            write_json(folder / _SETTINGS, sealed({**settings, _PROVENANCE: made}))
            yield RunLog(folder, digest(settings), [], 0, made)
            return
        if not resume:
            raise FileExistsError(
                f"{folder} already holds a run; pass --resume to go on with it, --force to start anew, or choose "
                "another directory."
            )
        made = found.pop(_PROVENANCE)
        different = sorted(name for name in {*found, *settings} if found.get(name) != settings.get(name))
        if different:
            raise ValueError(
                f"{folder} holds a run with another {' and '.join(different)}; resume it with its own settings "
                f"(see {folder / _SETTINGS}), or choose another directory."
            )
        _announce_versions(made, announce)
        records, num_damaged = _read_records(folder, digest(settings))
        if num_damaged:
            announce(f"{num_damaged} damaged records of {folder / _LOG} are left out; what they held is computed anew")
        log = RunLog(folder, digest(settings), records, num_damaged, made)
        log.keep(records)  # so that what is appended next follows a whole line
        yield log


def recorded(folder: Path, name: str) -> Any:
    """Return one of the settings of the run in a directory; None if there is no run, or it is damaged."""
    with contextlib.suppress(ValueError, OSError):
        return (_read_settings(folder) or {}).get(name)
    return None


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Read the whole records of the run in a directory, which may still go on; none if there is no run."""
    settings = _read_settings(folder)
    if settings is None:
        return []
    settings.pop(_PROVENANCE)
    return _read_records(folder, digest(settings))[0]


def discard_run(folder: Path, *results: str) -> None:
    """Delete a run: its settings, log and checkpoints, the runs that are part of it, and its results by name.

    Raises:
        FileExistsError: if another process runs there.
    """
    if not folder.is_dir():
        return
    with held(folder):
        for pattern in (*_FILES, *results):
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)
        for pattern in _PARTS:
            for part in folder.glob(pattern):
                if part.is_dir():
                    discard_run(part)
                    with contextlib.suppress(OSError):  # it holds what is not the run's
                        part.rmdir()


def _address(key: Any) -> str:
    return json.dumps(key)


def _seal(record: dict[str, Any], identity: str) -> str:
    """A record's hash; it holds for this run only."""
    return digest([identity, record])[:16]


def _read_settings(folder: Path) -> dict[str, Any] | None:
    path = folder / _SETTINGS
    if not path.exists():
        return None
    try:
        found = unsealed(read_json(path), str(path))
    except DamagedFileError as error:
        raise DamagedFileError(f"{error} Without it the run cannot go on; --force starts it anew.") from None
    found.setdefault(_PROVENANCE, {})
    return found


def _read_records(folder: Path, identity: str) -> tuple[list[dict[str, Any]], int]:
    path, records, num_damaged = folder / _LOG, [], 0
    if not path.exists():
        return [], 1
    with path.open("rb") as file:
        while line := file.readline(_LARGEST_RECORD):
            try:
                record = parse_json(line, "a record")
                if not isinstance(record, dict) or record.pop(CHECKSUM, None) != _seal(record, identity):
                    raise DamagedFileError("a record is not whole, or another run's")
                records.append(record)
            except DamagedFileError:
                num_damaged += line.endswith(b"\n")  # a last line without an end was cut off by a kill
    return records, num_damaged


def _announce_versions(made: dict[str, Any], announce: Announce) -> None:
    now, then = provenance()["versions"], made.get("versions", {})
    changed = [f"{name} {then[name]} is {now[name]} now" for name in now if then.get(name, now[name]) != now[name]]
    if changed:
        announce(f"the run was begun with other versions, so its bits may differ from those: {', '.join(changed)}")
