"""Part 4: two commands at once on one --out, in all pairs: one works, the other is refused, nothing is damaged.

The first is stopped in the middle of its work, so that the second comes at a moment that is known; then it goes on.
"""

import itertools
import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.campaign import children, trees
from tests.campaign.faults import Fault
from tests.campaign.judge import complaint
from tests.campaign.ledger import Case, Ledger
from tests.campaign.workloads import WORKLOADS, perform

#: Commands whose results are times.
_TIMED = ("costs",)


class Alone(NamedTuple):
    """A command on its own: what it leaves, and the changes of its directory that are in the middle of its work."""

    results: dict
    moments: list[int]


def undisturbed(name: str, folder: Path) -> Alone:
    """Run a command on its own.

    Raises:
        RuntimeError: if that fails, for then nothing can be compared with it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ended = children.run(perform, WORKLOADS[name], folder / "out", False, folder / "trace", None)
    if wrong := complaint(ended.code, ended.out, ended.err, allowed=(0,)):
        raise RuntimeError(f"{name} fails undisturbed: {wrong}")
    changes = [line.split(" ", 1) for line in (folder / "trace").read_text().splitlines()]
    # Before the first of these it has not begun; after the last it is done.
    work = [i + 1 for i, (what, path) in enumerate(changes) if what in ("write", "rename") and "lock" not in path]
    return Alone(trees.results(folder / "out"), work)


def names() -> list[str]:
    """The commands that are paired."""
    return [name for name, workload in WORKLOADS.items() if workload.command]


def pairs() -> list[tuple[str, str]]:
    """All pairs with the same kind of --out: who came first, and who came second; each with itself as well."""
    both = itertools.product(names(), repeat=2)
    return [(first, second) for first, second in both if WORKLOADS[first].out == WORKLOADS[second].out]


def judge(first: str, second: str, alone: dict[str, Alone], at: int, folder: Path) -> tuple[str, str]:
    """Start one command, stop it at a change, start the other, let the first go on.

    Args:
        first: the command that came first.
        second: the one that came second.
        alone: each on its own.
        at: the change of its directory before which the first is stopped; at an even one the second wants to resume.
        folder: a place for both.

    Returns:
        How it ended, and what is wrong.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    out = folder / "out"
    one = children.Child(perform, WORKLOADS[first], out, False, folder / "trace", Fault("paused", at))
    deadline = time.monotonic() + children.PATIENCE  # to come to the place where it is stopped
    while not one.is_stopped() and not one.has_ended() and time.monotonic() < deadline:
        time.sleep(0.02)
    there = trees.snapshot(out) if out.exists() else {}
    resume = "--resume" in WORKLOADS[second].resume and at % 2 == 0
    other = children.run(perform, WORKLOADS[second], out, resume, None, None)
    after = trees.snapshot(out) if out.exists() else {}
    one.signal(signal.SIGCONT)
    ended = one.wait()
    words = f"the second{' (--resume)' if resume else ''}"
    if wrong := complaint(ended.code, ended.out, ended.err, allowed=(0, 2)):
        return "badly", f"the first ends badly: {wrong}"
    if wrong := complaint(other.code, other.out, other.err, allowed=(0, 2)):
        return "badly", f"{words} ends badly: {wrong}"
    if ended.code == other.code:
        return "badly", f"both are {'refused' if ended.code else 'accepted'}"
    if other.code == 2 and (said := trees.changes(there, after)):
        return "badly", f"{words} is refused, and yet {', '.join(said)}"
    works = first if ended.code == 0 else second
    if works not in _TIMED and (said := trees.difference(alone[works].results, trees.results(out))):
        return "badly", f"{works} works, and has other results than alone: {said}"
    return f"the {'first' if works == first and ended.code == 0 else 'second'} works, the other is refused", ""


def campaign(ledger: Ledger, folder: Path, *, seed: int, share: float = 1.0, num_workers: int = 2) -> None:
    """Try all pairs that the ledger does not hold yet; `share` keeps only some."""
    chosen = random.Random(seed).sample(pairs(), max(1, round(share * len(pairs()))))
    with ThreadPoolExecutor(num_workers) as pool:
        met = [name for name in names() if any(name in pair for pair in chosen)]
        alone = dict(zip(met, pool.map(lambda name: undisturbed(name, folder / "alone" / name), met)))

        def one(number_and_pair):
            number, (first, second) = number_and_pair
            name = f"{first}, then {second}"
            if name in ledger.cases:
                return
            at = random.Random(f"{seed} {name}").choice(alone[first].moments)
            place = folder / f"pair_{number:03d}"
            outcome, fault = judge(first, second, alone, at, place)
            shutil.rmtree(place)
            case = Case("pairs", first, name, outcome, fault and f"{fault} (stopped before change {at})")
            ledger.add(case, len(chosen))

        list(pool.map(one, enumerate(chosen)))
