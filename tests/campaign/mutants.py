"""Part 2: damaged files. What is accepted must give the same result; what is refused, one clear paragraph.

Nothing may hang, or take more than a bounded memory beyond that of reading the sound file.
"""

import collections
import gc
import random
import shutil
import time
from pathlib import Path
from typing import Any

from tests.campaign import children
from tests.campaign.judge import undocumented
from tests.campaign.ledger import Case, Ledger
from tests.campaign.mutations import damage
from tests.campaign.subjects import FOLDERS, OTHER, Subject, make_fixtures, subjects

#: Bytes that reading a damaged file may take beyond what reading the sound one takes.
MEMORY = 100_000_000
#: Seconds of processor time after which reading counts as hanging.
LIMIT = 60


class Reader:
    """Reads damaged files of a folder of fixtures, one by one, in a folder of its own.

    Args:
        fixtures: the sound files.
        scratch: where copies of them are damaged.
        known: the kinds of files.
    """

    def __init__(self, fixtures: Path, scratch: Path, known: dict[str, Subject]):
        self.fixtures, self.scratch, self.subjects = fixtures, scratch, known
        self._sound: dict[str, tuple[Any, str, int]] = {}

    def sound(self, name: str) -> tuple[Any, str, int]:
        """What the sound files hold, what is said on reading, and its memory; twice, to load what is loaded once."""
        if name not in self._sound:
            subject = self.subjects[name]
            for _ in range(2):
                place = self.lay_out(subject, None)
                read, memory = _with_memory(lambda place=place: subject.read(place))
            self._sound[name] = *read, memory
        return self._sound[name]

    def lay_out(self, subject: Subject, content: bytes | None) -> Path:
        """Copy a subject's folder, with another content of its file if one is given."""
        place = self.scratch / subject.folder
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.fixtures / subject.folder, place)
        if content is not None:
            (place / subject.file).write_bytes(content)
        return place

    def mutant(self, name: str, rng: random.Random) -> tuple[str, bytes]:
        """Return what is done to a subject's file, and what comes of it."""
        subject = self.subjects[name]
        content = (self.fixtures / subject.folder / subject.file).read_bytes()
        theirs = self.fixtures / (subject.folder + OTHER) / subject.file
        return damage(subject.file, content, rng, theirs.read_bytes() if theirs.exists() else b"")

    def judge(self, name: str, content: bytes) -> tuple[str, str]:
        """Read a damaged file; returns how that ended, and what is wrong with it."""
        subject = self.subjects[name]
        expected, usually_said, usual = self.sound(name)
        place = self.lay_out(subject, content)
        error, found, spoken = None, None, ""
        try:
            (found, spoken), memory = _with_memory(lambda: subject.read(place))
        except Exception as caught:
            error, memory = caught, children.peak_memory() - _before[0]
        said = "" if error is None else undocumented(error, Path(subject.file).name.split(".")[0])
        if memory > usual + MEMORY:
            return "took much memory", f"{(memory - usual) / 1e6:.0f} MB"
        if error is not None:
            return f"refused: {type(error).__name__}", said
        if found != expected:
            return "accepted", "accepted with another result"
        if spoken != usually_said:  # it went on from elsewhere
            is_named = Path(subject.file).name.split("-")[0] in spoken
            return "passed over, and said so", "" if is_named else "passed over without a word"
        return "accepted: the same result", ""


_before = [0]


def _with_memory(call) -> tuple[Any, int]:
    """Call a function; returns its value, and the memory that it took meanwhile."""
    gc.collect(0)
    children.forget_peak()
    _before[0] = children.resident_memory()
    value = call()
    return value, children.peak_memory() - _before[0]


def serve(connection, fixtures: Path, scratch: Path) -> None:
    """Judge mutants by number, in a worker."""
    scratch.mkdir(parents=True, exist_ok=True)
    reader = Reader(fixtures, scratch, subjects(fixtures))
    while True:
        name, number, seed = connection.recv()
        children.limit_processor_time(LIMIT)
        word, content = reader.mutant(name, rng_of(name, number, seed))
        connection.send((word, *reader.judge(name, content)))


def rng_of(name: str, number: int, seed: int) -> random.Random:
    """The source of chance of one mutant."""
    return random.Random(f"{seed} {name} {number}")


def campaign(ledger: Ledger, folder: Path, *, seed: int, num: int = 10_000, num_workers: int = 2) -> None:
    """Judge mutants that the ledger does not hold yet."""
    fixtures = folder / "fixtures"
    if not (fixtures / "whole").exists():
        ledger.say("sound files")
        shutil.rmtree(fixtures, ignore_errors=True)
        for name in FOLDERS:
            ended = children.run(make_fixtures, fixtures, (name,))
            if ended.code != 0:
                raise RuntimeError(f"the sound files of {name} cannot be made: {ended.err}")
        (fixtures / "whole").touch()
    known = subjects(fixtures)
    total = sum(subject.share for subject in known.values())
    tasks = [
        (name, number, seed) for name, subject in known.items() for number in range(round(num * subject.share / total))
    ]
    of = len(tasks)
    tasks = [task for task in tasks if _name(task) not in ledger.cases]
    random.Random(seed).shuffle(tasks)  # so that the part of a campaign that was stopped is a sample of it

    def done(task, answer):
        word, outcome, fault = answer if isinstance(answer, tuple) else ("damage", answer, answer)
        ledger.add(Case("mutants", task[0], _name(task), outcome, f"{word}: {fault}" if fault else ""), of)

    serve_here = _Serve(fixtures, folder / "scratch")
    children.Workers(serve_here, num=num_workers).work_off(tasks, done)


class _Serve:
    """`serve` with its folders, in a form that reaches another process."""

    def __init__(self, fixtures: Path, scratch: Path):
        self.fixtures, self.scratch = fixtures, scratch

    def __call__(self, connection) -> None:
        serve(connection, self.fixtures, self.scratch / str(time.monotonic_ns()))


def _name(task) -> str:
    name, number, _ = task
    return f"{name}, mutant {number}"


def tally(ledger: Ledger) -> collections.Counter:
    """How often each kind of fault was found."""
    return collections.Counter((case.group, case.fault[:80]) for case in ledger.faults)
