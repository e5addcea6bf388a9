"""Small programs with planted faults: a campaign that does not find them could not fail."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.subjects import Subject

_NUM_PARTS = 3


def _run(folder: Path, resume: bool, *, save: Callable[[Path, str], None], forgets: bool = False) -> int:
    """A long run in small: parts that are kept in a log, and a result made of them."""
    try:
        folder.mkdir(exist_ok=True)
        log = folder / "log.jsonl"
        text = log.read_text() if resume and log.exists() and not forgets else ""
        known = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        save(log, "".join(json.dumps(one) + "\n" for one in known))
        for part in range(len(known), _NUM_PARTS):
            known.append({"part": part, "value": part**2, "made": time.time_ns()})
            with log.open("a") as file:
                file.write(json.dumps(known[-1]) + "\n")
        if not (folder / "result.json").exists():
            save(folder / "result.json", json.dumps({"sum": sum(one["value"] for one in known)}))
    except OSError as error:
        sys.stderr.write(f"optoscope: {error}; make room and go on.\n")
        return 2
    return 0


def _whole(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text)
    os.replace(aside, path)


def _in_place(path: Path, text: str) -> None:
    path.write_text(text)


def sound(folder: Path, resume: bool) -> int:
    """Nothing is wrong with this one."""
    return _run(folder, resume, save=_whole)


def writes_in_place(folder: Path, resume: bool) -> int:
    """Its result is there in part, and taken for whole."""
    return _run(folder, resume, save=_in_place)


def forgets(folder: Path, resume: bool) -> int:
    """It goes on to the same result by doing everything again."""
    return _run(folder, resume, save=_whole, forgets=True)


def dies_without_a_word(folder: Path, resume: bool) -> int:
    """It notices SIGTERM, and does not say that it was stopped."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    return _run(folder, resume, save=_whole)


def tracebacks(folder: Path, resume: bool) -> int:
    """It does not expect that a disk is full."""
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text("1")
    return 0


def hangs(connection: Any) -> None:
    """A worker that answers the first task, and none after it."""
    connection.send(connection.recv())
    time.sleep(1000)


def dies(connection: Any) -> None:
    """A worker that dies of every second task."""
    while connection.recv() % 2 == 0:
        connection.send("done")
    os.abort()


def writes_where_it_may_not(folder: Path) -> int:
    """What root may do and others may not."""
    try:
        (folder / "new").touch()
    except PermissionError:
        return 2
    return 0


def _read(folder: Path) -> tuple[Any, str]:
    return json.loads((folder / "planted.json").read_text()), ""


def _read_carefully(folder: Path) -> tuple[Any, str]:
    text = (folder / "planted.json").read_bytes()
    if text != b'{"value": 1.5}':
        raise ValueError("planted.json is damaged: it is not what was written; write it again.")
    return {"value": 1.5}, ""


def _read_greedily(folder: Path) -> tuple[Any, str]:
    text = (folder / "planted.json").read_bytes()
    if text != b'{"value": 1.5}':
        bytearray(300_000_000)[::4096] = b"x" * len(range(0, 300_000_000, 4096))
    return _read_carefully(folder)


def _read_and_swallow(folder: Path) -> tuple[Any, str]:
    try:
        return _read(folder)
    except Exception:
        return None, ""


#: Ways to read a small file; only the careful one is right.
READERS = {
    "careful": Subject("planted", "planted.json", _read_carefully, 1),
    "trusting": Subject("planted", "planted.json", _read, 1),
    "greedy": Subject("planted", "planted.json", _read_greedily, 1),
    "swallowing": Subject("planted", "planted.json", _read_and_swallow, 1),
}
