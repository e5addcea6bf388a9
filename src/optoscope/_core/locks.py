"""One process at a time: a directory or file that is being written is held until it is done."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


class InUseError(FileExistsError):
    """Another process writes there now."""


@contextlib.contextmanager
def held(path: Path, *, is_file: bool = False) -> Iterator[None]:
    """Hold a directory, or a file that is to be written, for this thread of this process alone.

    Directories that are missing are made, and those that are still empty at the end are removed again. Whoever holds
    a path may hold it once more. The lock goes when its process ends, however it ends.

    Args:
        path: a directory, or a file.
        is_file: whether it is a file.

    Raises:
        InUseError: if another process holds it.
        OSError: if it cannot be written.
    """
    path = Path(os.path.realpath(path))  # Path.resolve gives up on a link to itself with a RuntimeError
    folder = path.parent if is_file else path
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        lock = _locked(folder, f".{path.name}.lock" if is_file else ".lock", path)
        try:
            yield
        finally:
            if lock.lock_counter == 1:  # whoever waits for it notices that it is gone, and makes a new one
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()
    finally:
        for one in missing:
            with contextlib.suppress(OSError):
                one.rmdir()


def _locked(folder: Path, name: str, path: Path):
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / name, timeout=0, is_singleton=True)
        lock.acquire()
    except Timeout:
        raise InUseError(
            f"{path} is being written by another process; wait until it is done, or choose another place."
        ) from None
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(f"{folder} cannot be a directory, because a file is in the way.") from None
    except OSError as error:
        raise type(error)(f"cannot write in {folder}: {error.strerror or error}; choose another place.") from None
    return lock
