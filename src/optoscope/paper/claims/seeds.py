"""Ledgers on several sets of test problems: which verdicts depend on the problems."""

from collections.abc import Mapping
from typing import Any


def compare_ledgers(ledgers: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the first ledger's counts, and every claim whose verdict differs between seeds.

    Args:
        ledgers: seed of the test problems -> the ledger as JSON data (`Ledger.to_json`).

    Returns:
        JSON data; `flips` counts the claims that one seed reproduces and another does not.
    """
    verdicts = {
        seed: {(one["task"], one["claim"]): one["verdict"] for one in ledger["findings"]}
        for seed, ledger in ledgers.items()
    }
    first = next(iter(ledgers))
    changed = [
        {"task": task, "claim": claim, "verdicts": {str(seed): found[task, claim] for seed, found in verdicts.items()}}
        for task, claim in verdicts[first]
        if len({found[task, claim] for found in verdicts.values()}) > 1
    ]
    return {
        "seeds": list(ledgers),
        "counts": ledgers[first]["counts"],
        "claims": len(verdicts[first]),
        "changed": changed,
        "flips": sum({"reproduced", "not"} <= set(one["verdicts"].values()) for one in changed),
        "left out": ledgers[first]["left_out"],
    }
