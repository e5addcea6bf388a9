"""Faults that are planted in a child: at the n-th change of a folder it dies, is interrupted, or is refused.

An audit hook sees every file that is opened for writing, renamed or removed, whatever code does it; writing and
flushing are seen through wrapped file objects. Nothing of optoscope is replaced.
"""

import builtins
import errno
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

#: What a fault does, and at which changes it can strike.
KINDS: dict[str, tuple[str, ...]] = {
    "killed": ("create", "write", "flush", "rename", "remove", "mkdir", "mode"),
    "terminated": ("create", "write", "flush", "rename", "remove", "mkdir", "mode"),
    "interrupted": ("create", "write", "flush", "rename", "remove", "mkdir", "mode"),
    "disk full": ("create", "write", "flush", "mkdir"),
    "not permitted": ("create", "rename", "remove", "mkdir", "mode"),
    "paused": ("create", "write", "flush", "rename", "remove", "mkdir", "mode"),
}
_SIGNALS = {
    "killed": signal.SIGKILL,
    "terminated": signal.SIGTERM,
    "interrupted": signal.SIGINT,
    "paused": signal.SIGSTOP,
}
_ERRORS = {"disk full": errno.ENOSPC, "not permitted": errno.EACCES}
_AUDITED = {"os.rename": "rename", "os.link": "rename", "os.remove": "remove", "os.rmdir": "remove",
            "os.mkdir": "mkdir", "os.chmod": "mode", "os.truncate": "write"}  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Fault(NamedTuple):
    """What happens, and at which change, counted from 1; errors stay from then on, signals come once."""

    kind: str
    at: int


def plant(folder: Path, trace: Path, fault: Fault | None = None) -> None:
    """Watch all changes in a folder from now on, note each in a file, and let a fault strike.

    Args:
        folder: changes in it, and of itself, count.
        trace: a file outside of it that gets one line per change.
        fault: what strikes; None only notes.
    """
    _Watch(folder, os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fault).begin()


class _Watch:
    def __init__(self, folder: Path, notes: int, fault: Fault | None):
        self.folder, self.notes, self.fault, self.count = os.path.abspath(folder), notes, fault, 0
        self.open, self.fsync = io.open, os.fsync

    def begin(self) -> None:
        sys.addaudithook(self.audit)
        builtins.open = io.open = self.opened
        os.fsync = os.fdatasync = self.flushed

    def holds(self, path: Any) -> str | None:
        """The path inside the folder, or None if it lies elsewhere."""
        if isinstance(path, int):
            try:
                path = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return None
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        path = os.path.abspath(os.fsdecode(path))
        inside = path == self.folder or path.startswith(self.folder + os.sep)
        return os.path.relpath(path, self.folder) if inside else None

    def audit(self, event: str, arguments: tuple) -> None:
        what = _AUDITED.get(event)
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            what = "create" if not isinstance(arguments[0], int) else None
        if what is not None and (path := self.holds(arguments[0])) is not None:
            self.change(what, path)

    def opened(self, file, mode="r", *arguments, **settings):
        made = self.open(file, mode, *arguments, **settings)
        if set(mode) & set("wax+") and (path := self.holds(file)) is not None:
            write = made.write

            def watched(content):
                self.change("write", path, lambda: (write(content[: len(content) // 2]), made.flush()))
                return write(content)

            made.write = watched
        return made

    def flushed(self, handle):
        number = handle if isinstance(handle, int) else handle.fileno()
        if (path := self.holds(number)) is not None:
            self.change("flush", path)
        return self.fsync(handle)

    def change(self, what: str, path: str, half=lambda: None) -> None:
        """Note a change that is about to happen; where the fault strikes while writing, half is written before."""
        self.count += 1
        os.write(self.notes, f"{what} {path}\n".encode())
        if self.fault is None or what not in KINDS[self.fault.kind]:
            return
        if self.fault.kind in _ERRORS:
            if self.count >= self.fault.at:
                half()
                number = _ERRORS[self.fault.kind]
                raise OSError(number, os.strerror(number), os.path.join(self.folder, path))
        elif self.count == self.fault.at:
            if self.fault.kind == "killed":
                half()
            os.kill(os.getpid(), _SIGNALS[self.fault.kind])
