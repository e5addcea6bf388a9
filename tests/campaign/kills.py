"""Part 1: long runs die, are interrupted or refused, and then go on: to the same bits, with nothing lost.

At every save point by planted faults, and at random moments by signals from outside.
"""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.campaign import children, trees
from tests.campaign.faults import KINDS, Fault
from tests.campaign.judge import complaint
from tests.campaign.ledger import Case, Ledger
from tests.campaign.workloads import RUNS, Workload, perform

#: Changes between two of which a disk holds something else: a file that is created, flushed or given its mode is not
#: there under its name yet.
_SAVE_POINTS = ("write", "rename", "remove", "mkdir")
#: Exit codes that a fault may end with; 0 where the run went on to its end all the same.
_CODES = {
    "killed": (-signal.SIGKILL,),
    "terminated": (128 + signal.SIGTERM, 130, 0),
    "interrupted": (130, 0),
    "disk full": (2, 0),
    "not permitted": (2, 0),
}
_SIGNALS = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM, "interrupted": signal.SIGINT}
#: Seconds after a signal in which a run that was at its end all the same may end as if nothing had been.
_AT_ITS_END = 5.0


class Reference(NamedTuple):
    """What a run leaves that nobody disturbs.

    Attributes:
        workload: the run.
        results: what `trees.results` says.
        changes: every change of its directory, in order.
    """

    workload: Workload
    results: dict
    changes: list[str]

    def seconds(self, out: Path) -> float:
        """How long it takes as a process of its own."""
        began = time.monotonic()
        subprocess.run(_process(self.workload, out), check=True, capture_output=True)
        return time.monotonic() - began


class Kill(NamedTuple):
    """A case: a workload, what happens to it, and when: at a change (a whole number), or after a share of its time."""

    workload: str
    kind: str
    at: float
    is_planted: bool

    @property
    def name(self) -> str:
        """What tells it from others."""
        when = f"at change {self.at:.0f}" if self.is_planted else f"after {self.at:.4f} of its time"
        return f"{self.workload}, {self.kind} {when}"


def make_reference(workload: Workload, folder: Path) -> Reference:
    """Run a workload twice undisturbed; the second run must leave the same results.

    Raises:
        RuntimeError: if it fails or differs, for then nothing can be compared with it.
    """
    found, trace = [], folder / "trace"
    for name in ("one", "other"):
        shutil.rmtree(folder / name, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        ended = children.run(perform, workload, folder / name, False, trace, None)
        if wrong := complaint(ended.code, ended.out, ended.err, allowed=(0,)):
            raise RuntimeError(f"{workload.command} fails undisturbed: {wrong}")
        found.append(trees.results(folder / name))
    if said := trees.difference(*found):
        raise RuntimeError(f"{workload.command} differs from itself: {said}")
    return Reference(workload, found[0], trace.read_text().splitlines())


def plan(references: dict[str, Reference], seed: int, share: float = 1.0) -> list[Kill]:
    """All cases: every save point killed, some of them otherwise, and random moments; `share` keeps only some."""
    rng, cases = random.Random(seed), []
    for workload, reference in references.items():
        kinds = [change.split()[0] for change in reference.changes]
        points = [i + 1 for i, kind in enumerate(kinds) if kind in _SAVE_POINTS]
        planted = [Kill(workload, "killed", at, True) for at in _some(rng, points, share)]
        for kind, num in (("terminated", 4), ("interrupted", 4), ("disk full", 6), ("not permitted", 6)):
            able = [i + 1 for i, what in enumerate(kinds) if what in KINDS[kind]]
            planted += [Kill(workload, kind, at, True) for at in _some(rng, able, share * num / len(able))]
        moments = []
        for kind in ("killed", "killed", "terminated", "interrupted") * 2 if reference.workload.command else ():
            moments.append(Kill(workload, kind, round(rng.uniform(0.02, 1.0), 4), False))
        cases += planted + _some(rng, moments, share)
    return cases


def perform_case(case: Kill, reference: Reference, folder: Path, seconds: float = 0.0) -> Case:
    """Disturb a run, let it go on, and compare it with the undisturbed one.

    Args:
        case: what happens to it.
        reference: the undisturbed one.
        folder: a place for it.
        seconds: how long the undisturbed one takes as a process of its own.
    """
    workload = reference.workload
    shutil.rmtree(folder, ignore_errors=True)
    out = folder / "out"
    folder.mkdir(parents=True)
    if case.is_planted:
        ended = children.run(perform, workload, out, False, folder / "trace", Fault(case.kind, int(case.at)))
    else:
        ended = _signal_from_outside(case, workload, out, case.at * seconds)
    group = f"{case.kind} {'at a save point' if case.is_planted else 'at a random moment'}"
    outcome, fault = _judge(case, workload, ended)
    kept = _kept(out)
    again = _go_on(workload, out)
    if not fault:
        if wrong := complaint(again.code, again.out, again.err, allowed=(0,)):
            fault = f"cannot go on: {wrong}"
        elif said := trees.difference(reference.results, trees.results(out)):
            fault = f"other results: {said}"
        elif lost := _lost(workload, kept, out, ended.out, again.out):
            fault = f"lost: {lost}"
    if not fault:
        shutil.rmtree(folder)
    return Case("kills", f"{case.workload.partition(',')[0]}: {group}", case.name, outcome, fault)


def campaign(ledger: Ledger, folder: Path, *, seed: int, share: float = 1.0, num_workers: int = 2) -> None:
    """Work off all kills that the ledger does not hold yet."""
    with ThreadPoolExecutor(num_workers) as pool:
        ledger.say("undisturbed runs")
        places = {name: folder / "reference" / name.replace(" ", "_") for name in RUNS}
        references = dict(zip(RUNS, pool.map(make_reference, RUNS.values(), places.values())))
        out = lambda name: places[name] / "process"
        timed = {name: one for name, one in references.items() if one.workload.command}
        for name in timed:
            shutil.rmtree(out(name), ignore_errors=True)
        seconds = {name: one.seconds(out(name)) for name, one in timed.items()}
        cases = plan(references, seed, share)

        def one(number_and_case):
            number, case = number_and_case
            if case.name not in ledger.cases:
                place, length = folder / f"case_{number:04d}", seconds.get(case.workload, 0.0)
                done = perform_case(case, references[case.workload], place, length)
                ledger.add(done, len(cases))

        list(pool.map(one, enumerate(cases)))


def _some(rng: random.Random, items: list, share: float) -> list:
    return sorted(rng.sample(items, min(len(items), max(1, round(share * len(items)))))) if share < 1 else items


def _process(workload: Workload, out: Path) -> list[str]:
    return [sys.executable, "-m", "optoscope", *workload.arguments(out)]


def _signal_from_outside(case: Kill, workload: Workload, out: Path, after: float) -> children.Ended:
    process = subprocess.Popen(_process(workload, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            said = process.communicate(timeout=after)
            return children.Ended(process.returncode, *said, 0.0, 0)
        except subprocess.TimeoutExpired:
            process.send_signal(_SIGNALS[case.kind])
        sent = time.monotonic()
        try:
            said = process.communicate(timeout=children.PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return children.Ended(None, *process.communicate(), children.PATIENCE, 0)
        return children.Ended(process.returncode, *said, time.monotonic() - sent, 0)


def _judge(case: Kill, workload: Workload, ended: children.Ended) -> tuple[str, str]:
    """How a disturbed run ended, and what is wrong with that."""
    if not case.is_planted and case.kind != "killed" and "/optoscope/" not in ended.err:
        at_once = (-_SIGNALS[case.kind], 1, 130)
        if ended.code in at_once and (not ended.err or "Traceback" in ended.err):
            return "died while Python loaded", ""
    allowed = _CODES[case.kind] if case.is_planted else (*_CODES[case.kind], 0)
    if not case.is_planted and ended.out:  # it had said its result, and Python was putting itself away
        allowed = (*allowed, -_SIGNALS[case.kind])
    if workload.call is not None and case.kind == "terminated":
        allowed = (*allowed, -signal.SIGTERM)  # what a script does outside of the library is its own
    wrong = complaint(ended.code, ended.out, ended.err, allowed=allowed)
    if wrong:
        return "ended badly", wrong
    if not case.is_planted and ended.code == 0 and ended.seconds > _AT_ITS_END:
        return "ended badly", f"the signal was swallowed: it went on for {ended.seconds:.0f} s, to its end"
    words = {0: "finished all the same", 2: "refused with a paragraph"}
    words |= {-signal.SIGKILL: "died at once", -signal.SIGTERM: "died at once"}
    return words.get(ended.code or 0, "stopped with a sentence"), ""


def _go_on(workload: Workload, out: Path) -> children.Ended:
    """Run the same command with --resume; without, where nothing was begun."""
    begun = out.exists() and any(not path.name.startswith(".") for path in out.rglob("*"))
    return children.run(perform, workload, out, begun, None, None)


def _kept(out: Path) -> dict[str, object]:
    """What a run that was stopped had kept: whole records of its logs, whole cells, the last checkpoint's number."""
    kept: dict[str, object] = {}
    for path in out.rglob("*"):
        name = path.relative_to(out).as_posix()
        if path.name == "log.jsonl":
            kept[name] = [line for line in path.read_bytes().split(b"\n")[:-1] if _is_json(line)]
        elif path.parent.name == "cells" and not path.name.startswith("."):
            kept[name] = path.read_bytes()
    return kept


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _lost(workload: Workload, kept: dict, out: Path, before: str, after: str) -> str:
    """Say what was kept and is not there any more, or was done twice though it was saved."""
    for name, one in kept.items():
        now = (out / name).read_bytes() if (out / name).exists() else b""
        if isinstance(one, bytes) and now != one:
            return f"{name} was run again"
        is_memory = name == "log.jsonl" and not workload.rerecords
        if is_memory and isinstance(one, list) and not set(one) <= set(now.split(b"\n")):
            return f"records of {name}"
    if workload.call is not None:
        done = [int(step) for step in re.findall(r"meta-step (\d+)", before)]
        next_ = [int(step) for step in re.findall(r"meta-step (\d+)", after)]
        redone = (done[-1] if done else 0) - (next_[0] - 1 if next_ else done[-1] if done else 0)
        if redone > 1:
            return f"{redone} meta-steps"
    return ""
