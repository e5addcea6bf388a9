"""What can go wrong with a call, and what is said about it: a wrong call is one thing, a bug another."""

import contextlib
import dis
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from optoscope._core.status import DivergedError

FAILED, WRONG_CALL, BUG, PIPE_CLOSED = 1, 2, 70, 141  # 70: EX_SOFTWARE of <sysexits.h>

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_RAISE = dis.opmap["RAISE_VARARGS"]


def check_call(arguments: Sequence[str]) -> None:
    """Check what no command could make sense of.

    Raises:
        ValueError: if an argument is empty, cannot be printed or is given twice, or there is no standard output.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _fill_closed_streams()
    if sys.stdout is None:
        raise ValueError("standard output is closed, so nothing can be shown; send it to a file or to /dev/null.")
    given = set()
    for argument in arguments:
        if not argument.strip() or (argument.startswith("--") and argument.endswith("=")):
            raise ValueError(f"an argument is empty ({argument!r}); leave it out, or say what it should be.")
        if not argument.isprintable():
            raise ValueError(f"the argument {ascii(argument)[:80]} holds characters that cannot be printed.")
        if argument.startswith("--") and len(argument) > 2:
            name = argument[2:].partition("=")[0].replace("_", "-").removeprefix("no-")
            if name in given:
                raise ValueError(f"--{name} is given twice; give it once.")
            given.add(name)


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code of an error and what is said about it; the traceback of a bug is printed.

    An error that optoscope itself raises is about the call. So is what the operating system refuses, and a package
    that is missing. All others are bugs.
    """
    text = str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        first = text.splitlines()[0][:200] if text else "MemoryError"
        return FAILED, f"there was not enough memory ({first}); choose fewer problems, steps or units."
    if isinstance(error, DivergedError):
        return FAILED, text
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return WRONG_CALL, f"{where}{error.strerror}."
    if isinstance(error, ImportError) and not (error.name or "").startswith("optoscope"):
        return WRONG_CALL, text
    if isinstance(error, ValueError | TypeError | NotImplementedError | OSError) and _is_own(error):
        return WRONG_CALL, text
    if sys.stderr is not None:
        traceback.print_exception(error)
    return BUG, f"this is a bug in optoscope, not in your call: {type(error).__name__}: {text}. Please report it."


def _is_own(error: BaseException) -> bool:
    """Whether a `raise` of optoscope raised it, and not something that optoscope called."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return False
    code = last.tb_frame.f_code
    return code.co_filename.startswith(_PACKAGE) and code.co_code[last.tb_lasti] == _RAISE


def _fill_closed_streams() -> None:
    """Let no file that is opened later take the place of a stream that was closed, where others would write to it."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.dup(2), "w")


def silence_output() -> None:
    """Let what is still to be written go nowhere: nobody reads it."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
