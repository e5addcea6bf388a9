"""What a campaign has found so far: one line per case, kept, so that a campaign that was stopped goes on."""

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import optoscope


class Case(NamedTuple):
    """One case.

    Attributes:
        part: `kills`, `mutants`, `command lines` or `pairs`.
        group: what a table counts together, such as a command or a kind of file.
        name: tells the case from all others, and how to make it again.
        outcome: how it ended, in words that a table can count.
        fault: what is wrong; empty if nothing is.
    """

    part: str
    group: str
    name: str
    outcome: str
    fault: str = ""


class Ledger:
    """The cases of one part, in a file.

    Args:
        path: the file.
        part: the part's name.
        seed: of the campaign; cases of another seed, or of other sources, are dropped.
        as_it_is: keep what another version of the sources came to; for a part that is only shown.

    Attributes:
        sources: a hash of the sources that the cases were made with.
    """

    def __init__(self, path: Path, part: str, seed: int, *, as_it_is: bool = False):
        self.path, self.part, self._lock = path, part, threading.Lock()
        self._began = self._said = time.monotonic()
        header = {"seed": seed, "sources": digest_of_sources()}
        lines = path.read_text().splitlines() if path.exists() else []
        self.cases: dict[str, Case] = {}
        self.seconds = 0.0  # that earlier sittings and this one took
        if as_it_is and lines and json.loads(lines[0])["seed"] == seed:
            header = json.loads(lines[0])
        self.sources: str = header["sources"]
        if lines and json.loads(lines[0]) == header:
            for *case, seconds in map(json.loads, lines[1:]):
                self.cases[case[2]], self.seconds = Case(*case), seconds
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(header) + "\n")

    def add(self, case: Case, of: int) -> None:
        """Keep a case, and show how far it is."""
        with self._lock:
            self.cases[case.name] = case
            self.seconds += time.monotonic() - self._began
            self._began = time.monotonic()
            with self.path.open("a") as file:
                file.write(json.dumps([*case, round(self.seconds, 1)]) + "\n")
            if case.fault:
                self.say(f"{case.name}: {case.fault}")
            if time.monotonic() - self._said > 10 or len(self.cases) == of:
                self._said = time.monotonic()
                self.say(f"{len(self.cases)} of {of}, {len(self.faults)} faults")

    def say(self, sentence: str) -> None:
        """Show a sentence."""
        sys.stderr.write(f"{self.part}: {sentence}\n")
        sys.stderr.flush()

    @property
    def faults(self) -> list[Case]:
        """The cases in which something is wrong."""
        return [case for case in self.cases.values() if case.fault]

    def counts(self) -> dict[str, Counter]:
        """How often each group ended how."""
        found: dict[str, Counter] = {}
        for case in self.cases.values():
            found.setdefault(case.group, Counter())[case.outcome if not case.fault else "FAULT"] += 1
        return found


def digest_of_sources() -> str:
    """A hash of optoscope's sources and of the campaign's."""
    digest = hashlib.sha256()
    for root in (Path(optoscope.__file__).parent, Path(__file__).parent):
        for path in sorted(root.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
