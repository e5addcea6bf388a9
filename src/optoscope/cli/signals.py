"""How a command leaves at Ctrl-C or SIGTERM, whatever it is doing: with one sentence and exit code 130 or 143.

The signal raises `Interrupted`, so that files are put away and the terminal is restored. Not everywhere does that get
through. In a callback of the garbage collector, which JAX has, an exception is printed and dropped. While a compiled
module is imported, it can crash the process. And while XLA compiles, no Python runs. In the first two cases the process
leaves on the spot. A thread sees to the rest: it learns of signals even while no Python runs, and leaves in the main
thread's place if that has not left after a while, or at a second signal. Nothing is lost by it: files are whole at any
moment, and what must be finished first is inside `deferred`.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from optoscope._core.interrupts import SIGNALS, Interrupted, seconds_since_deferral

#: Seconds that the main thread has to leave by itself.
PATIENCE = 2.0
_SHOW_CURSOR = "\x1b[?25h\n"  # a progress bar hides it


class _Command:
    """The command that runs in this process.

    Attributes:
        channel: where the interpreter writes the number of each signal, at once.
        signum: the signal that came.
        hint: what it adds to its last sentence.
        has_said: whether that sentence was said.
    """

    channel: socket.socket
    signum: int | None = None
    hint = ""
    has_said = False


def say_how_to_go_on(hint: str) -> None:
    """Set what is added to the sentence with which this process leaves at a signal."""
    _Command.hint = hint


def farewell(stop: KeyboardInterrupt) -> int:
    """Say on standard error that the command was stopped, and how to go on; returns the exit code."""
    print(f"optoscope: {str(stop) or 'stopped'}{_Command.hint}.", file=sys.stderr)  # noqa: T201
    _Command.has_said = True
    return 128 + getattr(stop, "signum", int(signal.SIGINT))


def run_command(command: Callable[[], int]) -> int:
    """Run the one command of this process and return its exit code; at a signal, end the process."""
    reader, _Command.channel = socket.socketpair()
    _Command.channel.setblocking(False)
    signal.set_wakeup_fd(_Command.channel.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    sys.unraisablehook = _leave_if_dropped(sys.unraisablehook)
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:  # as in a shell's background job
            signal.signal(signum, _handle)
    try:
        code = command()
    except BaseException as error:
        if _Command.signum is None:
            raise
        if isinstance(error, Interrupted):  # else whatever it became on its way
            farewell(error)
        code = 1
    if _Command.signum is not None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        _leave(_Command.signum)
    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:  # a signal while the interpreter puts itself away
            signal.signal(signum, signal.SIG_DFL)
    return code


def _handle(signum: int, frame: FrameType | None) -> None:
    _Command.signum = signum
    if _is_importing(frame):
        _leave(signum)
    raise Interrupted(signum)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leave_if_dropped(otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def hook(dropped: Any) -> Any:
        if isinstance(dropped.exc_value, Interrupted):
            _leave(dropped.exc_value.signum)
        return otherwise(dropped)

    return hook


def _watch(signals: socket.socket) -> None:
    """Leave in the main thread's place if that does not."""
    signum = None
    while True:
        try:
            number = signals.recv(1)[0]
        except TimeoutError:
            if signum is not None and seconds_since_deferral() >= PATIENCE:
                _leave(signum)
            continue
        if number in SIGNALS:
            if signum is not None:
                _leave(number)
            signum = number
            signals.settimeout(PATIENCE)


def _leave(signum: int) -> NoReturn:
    """End the process at once, with a sentence if none was said."""
    if not _Command.has_said:
        with contextlib.suppress(OSError):
            os.write(2, f"{_SHOW_CURSOR if os.isatty(2) else ''}optoscope: stopped{_Command.hint}.\n".encode())
    os._exit(128 + signum)
