"""Calls in children of a fork server: each has optoscope loaded, its own directory and streams, and a time limit."""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

#: Loaded once, before any child is made; none of it starts JAX's backend, whose threads would not survive a fork.
LOADED = (
    "jax",
    "optax",
    "optoscope.artifacts",
    "optoscope.__main__",
    "optoscope.cli.main",
    "optoscope.figures",
    "optoscope.interventions",
    "optoscope.mechanisms",
    "optoscope.robustness",
    "optoscope.training",
    "tests.campaign.faults",
    "tests.campaign.workloads",
)
#: Seconds of processor time that a child may take; what takes more hangs.
PROCESSOR_SECONDS = 90
#: Seconds until a child that does nothing counts as hanging as well; many, because the machine may have other work.
PATIENCE = 600.0
#: Address space of a child: what asks for more gets a MemoryError instead of the machine's last page.
ADDRESS_SPACE = 12 << 30
_DROP_FROM_BOUNDS = 24  # PR_CAPBSET_DROP of <sys/prctl.h>
_OVERRIDE = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, <linux/capability.h>
_CAPABILITIES_3 = 0x20080522

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload([*LOADED])


class Ended(NamedTuple):
    """How a child ended.

    Attributes:
        code: its exit code, negative for the signal that it died of, None if it hung.
        out: its standard output.
        err: its standard error.
        seconds: how long it ran.
        peak: the most memory that it had, in bytes; 0 if it died of a signal.
    """

    code: int | None
    out: str
    err: str
    seconds: float
    peak: int


#: What the fork server answers when it was told no exit code; the child's own word is taken then.
_UNKNOWN = 255


class Child:
    """A child that runs; `wait` says how it ended."""

    def __init__(
        self,
        call: Callable[..., int | None],
        *arguments: Any,
        cwd: Path | None = None,
        environment: Mapping[str, str | None] | None = None,
    ):
        self.streams = Path(tempfile.mkdtemp(prefix="campaign-"))
        self._process = SERVER.Process(
            target=_body, args=(self.streams, cwd, dict(environment or {}), call, arguments), daemon=False
        )
        self._began = time.monotonic()
        self._process.start()

    @property
    def pid(self) -> int:
        """The child's process."""
        assert self._process.pid is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def is_stopped(self) -> bool:
        """Whether the child was stopped by SIGSTOP."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False

    def has_ended(self) -> bool:
        """Whether the child is no more."""
        return not self._process.is_alive()

    def wait(self, patience: float = PATIENCE) -> Ended:
        """Wait for the end, at most `patience` seconds; what runs longer is killed."""
        self._process.join(patience)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
        elif code == -signal.SIGXCPU:
            code = None
        seconds = time.monotonic() - self._began
        read = lambda name: (
            (self.streams / name).read_text(errors="backslashreplace") if (self.streams / name).exists() else ""
        )
        if code == _UNKNOWN and read("code"):
            code = int(read("code"))
        ended = Ended(code, read("out"), read("err"), seconds, int(read("peak") or 0))
        for path in self.streams.iterdir():
            path.unlink()
        self.streams.rmdir()
        return ended


def run(call: Callable[..., int | None], *arguments: Any, **settings: Any) -> Ended:
    """Call a function in a child and wait for it; see `Child`."""
    return Child(call, *arguments, **settings).wait()


def limit_processor_time(seconds: int = PROCESSOR_SECONDS) -> None:
    """End this process by SIGXCPU when it has taken so many more seconds of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def peak_memory() -> int:
    """The most memory that this process has had, in bytes, since `forget_peak`."""
    return _status("VmHWM")


def resident_memory() -> int:
    """The memory that this process has, in bytes."""
    return _status("VmRSS")


def forget_peak() -> None:
    """Let `peak_memory` begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def obey_permissions() -> None:
    """Make a process of root obey the permissions of files, as everybody else has to."""
    if os.getuid() == 0:
        header = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
        sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, twice 32 bits
        libc = ctypes.CDLL(None)
        for capability in range(32):
            if _OVERRIDE >> capability & 1:
                libc.prctl(_DROP_FROM_BOUNDS, capability, 0, 0, 0)  # or root has it again after `exec`
        if libc.capget(header, sets) == 0:
            for word in range(3):
                sets[word] &= ~_OVERRIDE
            libc.capset(header, sets)


def _body(streams, cwd, environment, call, arguments) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(streams / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if cwd is not None:
        os.chdir(cwd)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_processor_time()
    obey_permissions()
    try:
        code = call(*arguments) or 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:  # as the interpreter does it
        traceback.print_exc()
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
        (streams / "peak").write_text(str(peak_memory()))
        (streams / "code").write_text(str(code))
    os._exit(code)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    return 0


class Workers:
    """Long-lived children that work off tasks one by one; one that hangs or dies is replaced.

    Args:
        serve: called in the child with a connection; answers each task that it receives.
        num: how many.
        patience: seconds until a task that is not answered counts as hanging.
    """

    def __init__(self, serve: Callable[[Any], None], *, num: int, patience: float = PATIENCE):
        self._serve, self._num, self._patience = serve, num, patience

    def work_off(self, tasks: list[Any], done: Callable[[Any, Any], None]) -> None:
        """Work off tasks; `done` gets each with its answer, or with `hangs` or `dies: CODE`."""
        left, lock, failed = list(reversed(tasks)), threading.Lock(), []

        def supervise():
            process = None
            try:
                while True:
                    with lock:
                        if not left or failed:
                            break
                        task = left.pop()
                    if process is None:
                        here, there = SERVER.Pipe()
                        process = SERVER.Process(target=_serve_quietly, args=(self._serve, there), daemon=True)
                        process.start()
                        there.close()
                    here.send(task)
                    answer = None
                    with contextlib.suppress(EOFError, ConnectionResetError):
                        answer = here.recv() if here.poll(self._patience) else "hangs"
                    if answer is None or answer == "hangs":
                        process.kill()
                        process.join()
                        hangs = process.exitcode == -signal.SIGXCPU
                        answer = answer or ("hangs" if hangs else f"dies: {process.exitcode}")
                        process = None
                    with lock:
                        done(task, answer)
            except BaseException as error:
                failed.append(error)
            if process is not None:
                process.kill()
                process.join()

        threads = [threading.Thread(target=supervise) for _ in range(self._num)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]


def _serve_quietly(serve, connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    obey_permissions()
    with contextlib.suppress(EOFError):
        serve(connection)
    os._exit(0)
