"""What JAX compiled is kept on this machine, so that the next command need not compile it again.

It lies in the user's cache directory, in a folder for this kind of processor: a program that was compiled for another
one may hold instructions that this one lacks. JAX itself names each program by its code, its settings and JAX's own
version. Commands that run for long do without: there is little to win, and a process that has thousands of programs is
no place to load more.

`OPTOSCOPE_COMPILED` names another directory, or is `off`; where `JAX_COMPILATION_CACHE_DIR` is set, that holds.
"""

import contextlib
import hashlib
import os
import platform
from pathlib import Path

VARIABLE = "OPTOSCOPE_COMPILED"
#: The oldest programs go when there are more bytes than these.
_MOST_BYTES = 256 * 2**20
#: Seconds of compiling below which a program is not worth a file.
_WORTH_KEEPING = 0.02


def keep_compilations() -> None:
    """Let JAX keep what it compiles and find what it kept, unless the user said otherwise or it cannot be written."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted.lower() == "off" or os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    import jax

    folder = _folder(wanted)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _drop_what_is_not_whole(folder)
    except OSError:
        return
    if os.access(folder, os.W_OK | os.X_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", _MOST_BYTES)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)


def _folder(wanted: str) -> Path:
    import platformdirs

    place = Path(wanted) if wanted else Path(platformdirs.user_cache_dir("optoscope")) / "compiled"
    return place / hashlib.sha256(_processor().encode()).hexdigest()[:16]


def _processor() -> str:
    """This kind of processor: its name, and what it can do."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        told = [
            line for line in lines if line.split("\t")[0].strip() in ("model name", "flags", "Features", "CPU part")
        ]
        if told:
            return "\n".join([platform.machine(), *told])
    return f"{platform.machine()} {platform.processor()} {platform.node()}"


def _drop_what_is_not_whole(folder: Path) -> None:
    """Delete programs whose writing was cut short: JAX writes a program first, and then the time of its last use."""
    from filelock import FileLock, Timeout

    with contextlib.suppress(Timeout), FileLock(folder / ".lockfile", timeout=1):  # JAX's own lock
        names = {path.name for path in folder.iterdir()}
        for name in names:
            other = name.removesuffix("-cache") + "-atime" if name.endswith("-cache") else name[:-6] + "-cache"
            if name.endswith(("-cache", "-atime")) and other not in names:
                (folder / name).unlink(missing_ok=True)
