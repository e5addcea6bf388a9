"""Ctrl-C and SIGTERM while work is under way that must be saved: it is finished first, then the signal has its way.

This file imports neither JAX nor NumPy, so that a command can take care of signals before either is loaded.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

#: What asks a process to leave: a terminal's Ctrl-C, and what clusters send before they kill.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop; the text says how far the work has come.

    Attributes:
        signum: the signal.
    """

    def __init__(self, signum: int, text: str = ""):
        super().__init__(text)
        self.signum = int(signum)


class Deferral:
    """A signal that came while signals wait, if one did.

    Attributes:
        signum: the signal; None if none came.
    """

    num_open = 0
    last_end = float("-inf")

    def __init__(self):
        self.signum: int | None = None

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Take a note of the first signal; do not wait with the second.

        Raises:
            Interrupted: at the second signal.
        """
        if self.signum is not None:
            raise Interrupted(signum)
        self.signum = signum

    def deliver(self, text: str) -> None:
        """Hand the signal that came, if one did, to whoever handled it before; if nobody did, SIGTERM ends the process.

        Args:
            text: how far the work has come.

        Raises:
            Interrupted: if a signal came, and its handler did nothing worse.
        """
        if self.signum is None:
            return
        handler = signal.getsignal(self.signum)
        with contextlib.suppress(KeyboardInterrupt):
            handler(self.signum, None) if callable(handler) else signal.raise_signal(self.signum)
        raise Interrupted(self.signum, text)


def seconds_since_deferral() -> float:
    """Return for how long no signal has had to wait: 0 while one has to, infinite if none ever had."""
    return 0.0 if Deferral.num_open else time.monotonic() - Deferral.last_end


@contextlib.contextmanager
def deferred() -> Iterator[Deferral]:
    """Let signals wait while work is under way that must be saved; afterwards, `deliver` the one that came.

    Signals that are ignored stay ignored, and handlers are restored at the end. Handlers belong to the main thread: in
    another one nothing waits.
    """
    deferral, previous = Deferral(), {}
    if threading.current_thread() is threading.main_thread():
        previous = {signum: signal.getsignal(signum) for signum in SIGNALS}
    # None: a handler that is not Python's.
    previous = {signum: handler for signum, handler in previous.items() if handler not in (signal.SIG_IGN, None)}
    Deferral.num_open += bool(previous)
    try:
        for signum in previous:
            signal.signal(signum, deferral.handle)
        yield deferral
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
        Deferral.num_open -= bool(previous)
        Deferral.last_end = time.monotonic()
