"""A command leaves at Ctrl-C and SIGTERM whatever it is doing: real processes, real signals."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SENTENCE = "optoscope: stopped"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}

#: Where an exception does not get through, as the body of a command; each would run for a minute.
AWKWARD = {
    "callback of the garbage collector": """
        gc.callbacks.append(lambda *_: come())
        gc.collect()
        time.sleep(60)
    """,
    "destructor": """
        class Thing:
            def __del__(self):
                come()
        Thing()
        time.sleep(60)
    """,
    "caught by a library": """
        try:
            come()
        except BaseException:
            pass
        time.sleep(60)
    """,
    "no Python runs": """
        threading.Timer(0.2, come).start()
        hashlib.pbkdf2_hmac("sha512", b"", b"", 2**31 - 1)
    """,
    "turned into another exception": """
        try:
            come()
        except BaseException as error:
            raise RuntimeError("INTERNAL: a callback failed") from error
    """,
    "import": """
        Path("leaves.py").write_text("import os, time; os.kill(os.getpid(), NUMBER); time.sleep(60)")
        sys.path.insert(0, ".")
        import leaves
    """,
    "second signal": """
        with deferred():
            come()
            threading.Timer(0.2, come).start()
            hashlib.pbkdf2_hmac("sha512", b"", b"", 2**31 - 1)
    """,
    "nothing in the way": """
        come()
        time.sleep(60)
    """,
}
_SCRIPT = """
import gc, hashlib, os, sys, threading, time
from pathlib import Path
from optoscope._core.interrupts import deferred
from optoscope.cli.signals import run_command

def come():
    os.kill(os.getpid(), NUMBER)

def command():
    BODY
    return 0

sys.exit(run_command(command))
"""


def script(body: str, signum: int) -> list[str]:
    lines = [line.removeprefix("    ") for line in body.rstrip().strip("\n").split("\n")]
    return [sys.executable, "-c", _SCRIPT.replace("    BODY", "\n".join(lines)).replace("NUMBER", str(int(signum)))]


@pytest.mark.parametrize("place", AWKWARD)
def test_a_command_leaves_with_one_sentence_wherever_the_signal_meets_it(place, tmp_path):
    signum = signal.SIGTERM if place == "second signal" else signal.SIGINT
    result = subprocess.run(script(AWKWARD[place], signum), capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (CODES[signum], f"{SENTENCE}.\n")


def test_what_is_deferred_is_finished_however_long_it_takes(tmp_path):
    body = """
        with deferred() as interruption:
            come()
            time.sleep(3)
            Path("saved").touch()
        interruption.deliver("stopped after saving")
    """
    result = subprocess.run(script(body, signal.SIGTERM), capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (143, "optoscope: stopped after saving.\n")
    assert (tmp_path / "saved").exists()


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    body = """
        come()
        return 7
    """
    ignoring = f"import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv({sys.executable!r}, "
    result = subprocess.run([sys.executable, "-c", f"{ignoring}{script(body, signal.SIGINT)!r})"], timeout=30)
    assert result.returncode == 7


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "optoscope", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip


TRAIN = ["train", "linear_regression", "--out", "run", "--set", "num_units=4", "num_steps=10", "batch_size=2"]
TRAIN += ["segment_length=None", "num_validation_problems=4", "num_meta_steps=1000000"]
DIAGNOSE = ["diagnose", "optax:adam(0.001)"]


def test_training_saves_at_sigterm(tmp_path):
    process = start(TRAIN, tmp_path)
    while process.poll() is None and not list(tmp_path.glob("run/checkpoint-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    last = said.strip().splitlines()[-1]
    assert last.startswith("optoscope: stopped after meta-step ")
    assert last.endswith("; the same command with --resume goes on.")
    num_steps = int(last.split(";")[0].split()[-1])
    assert (tmp_path / "run" / f"checkpoint-{num_steps:08d}.safetensors").exists()


def leaves(arguments: list[str], folder: Path, signum: int, moment: float) -> None:
    folder.mkdir()
    process = start(arguments, folder)
    time.sleep(moment)
    process.send_signal(signum)
    done, said = process.communicate(timeout=60)
    if "explains" in done:  # it was done before, and putting itself away at most
        assert process.returncode in (0, -signum) and not said
        return
    assert process.returncode == CODES[signum], (moment, said)
    assert [line.split(" after")[0].split(";")[0].rstrip(".") for line in said.splitlines()[-1:]] == [SENTENCE]
    assert said.count("\n") <= 3 and "Traceback" not in said and "ignored" not in said, (moment, said)


@pytest.mark.parametrize("arguments", [TRAIN, DIAGNOSE], ids=["train", "diagnose"])
def test_an_early_ctrl_c_is_not_lost(arguments, tmp_path):
    leaves(arguments, tmp_path / "it", signal.SIGINT, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("signum", CODES)
@pytest.mark.parametrize("arguments", [TRAIN, DIAGNOSE], ids=["train", "diagnose"])
def test_no_signal_is_lost_at_any_moment(arguments, signum, tmp_path):
    rng = random.Random(int(signum))
    for attempt, moment in enumerate([0.5, 0.75, 1.0, 1.25, 1.5, *(rng.uniform(0.4, 4.0) for _ in range(15))]):
        leaves(arguments, tmp_path / str(attempt), signum, moment)
