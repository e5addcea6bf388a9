"""The directory of a long run: its settings, checked on resuming, and a log that survives any interruption."""

import contextlib
import json
from pathlib import Path
from typing import Any

from optoscope._files import write_json, write_whole
from optoscope._provenance import provenance

_SETTINGS = "run.json"
_LOG = "log.jsonl"


def open_run(folder: Path, settings: dict[str, Any], *, resume: bool) -> None:
    """Start a run in a directory, or make sure that it holds the same run.

    Args:
        folder: the run's directory.
        settings: all that determines the run, as JSON data.
        resume: go on with a run that is already there.

    Raises:
        FileExistsError: if there is a run and `resume` is false.
        ValueError: if the run that is there has other settings; the message names them.
    """
    manifest = folder / _SETTINGS
    if manifest.exists():
        if not resume:
            raise FileExistsError(
                f"{folder} already holds a run; pass --resume to go on with it, or choose another directory."
            )
        found = json.loads(manifest.read_text())
        wanted = json.loads(json.dumps(settings))
        different = [name for name in wanted if found.get(name) != wanted[name]]
        if different:
            raise ValueError(
                f"{folder} holds a run with another {' and '.join(different)}; resume it with its own settings "
                f"(see {manifest}), or choose another directory."
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _LOG, b"")
    write_json(manifest, {**settings, "provenance": provenance()})


def append_record(folder: Path, record: dict[str, Any]) -> None:
    """Add one record to the run's log (JSON lines)."""
    with (folder / _LOG).open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Read the run's log; a last line that was cut off is left out."""
    path, records = folder / _LOG, []
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            records.append(json.loads(line))
    return records


def recovered_records(folder: Path) -> list[dict[str, Any]]:
    """Read the log of a run that goes on, and drop a last line that was cut off from it."""
    records = read_records(folder)
    rewrite_records(folder, records)
    return records


def rewrite_records(folder: Path, records: list[dict[str, Any]]) -> None:
    """Replace the run's log, so that what is appended next follows a whole line."""
    write_whole(folder / _LOG, "".join(json.dumps(record) + "\n" for record in records).encode())


def discard_run(folder: Path) -> None:
    """Delete a run's settings, log and checkpoints, and nothing else."""
    if folder.is_dir():
        for path in (*folder.glob("checkpoint-*.safetensors"), folder / _LOG, folder / _SETTINGS):
            path.unlink(missing_ok=True)
