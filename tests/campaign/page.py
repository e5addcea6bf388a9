"""The page of the documentation that says what a campaign found."""

import importlib.metadata
import os
import platform
from collections import Counter
from pathlib import Path
from string import Template

from tests.campaign.ledger import Ledger

_TEMPLATE = Path(__file__).parent / "page.md"


def page(ledgers: dict[str, Ledger], *, seed: int, minutes: float) -> str:
    """Return the page.

    Args:
        ledgers: of all parts, by name.
        seed: of the campaign.
        minutes: how long it took.
    """
    fields = {f"{part.replace(' ', '_')}_table": _table(ledger.counts()) for part, ledger in ledgers.items()}
    fields |= {f"num_{part.replace(' ', '_')}": f"{len(ledger.cases):,}" for part, ledger in ledgers.items()}
    fields |= {f"sources_{part.replace(' ', '_')}": ledger.sources for part, ledger in ledgers.items()}
    versions = {name: importlib.metadata.version(name) for name in ("optoscope", "jax", "numpy", "safetensors")}
    faults = [case for ledger in ledgers.values() for case in ledger.faults]
    return Template(_TEMPLATE.read_text()).substitute(
        fields,
        seed=seed,
        minutes=f"{minutes:.0f}",
        cores=len(os.sched_getaffinity(0)),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        python=platform.python_version(),
        num_killed=sum("at a" in case.group and "killed" in case.group for case in ledgers["kills"].cases.values()),
        num_faults=len(faults),
        faults=_faults(faults),
    )


def _table(counts: dict[str, Counter]) -> str:
    total = sum(counts.values(), Counter())
    outcomes = [outcome for outcome, _ in total.most_common() if outcome != "FAULT"]
    rows = [["", "cases", *outcomes, "faults"]]
    for group, count in [*counts.items(), ("all", total)]:
        rows.append([group, sum(count.values()), *(count[outcome] for outcome in outcomes), count["FAULT"]])
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _faults(faults: list) -> str:
    if not faults:
        return "None."
    return "\n".join(f"- {case.part}: `{case.name}`: {case.fault[:200]}" for case in faults[:50])
