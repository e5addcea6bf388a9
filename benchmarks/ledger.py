"""The ledger on several sets of test problems: `python -m benchmarks.ledger [SEED ...] --out DIR`.

Each seed is an ordinary `optoscope claims --seed SEED --out DIR/SEED`; one that is there is read. Fills the tables of
`docs/claims.md`, verdicts per task with the first seed and those that are not the same with all, and the README's.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks._report import RESULTS, between_marks, record

README = Path(__file__).parent.parent / "README.md"
PAGE = README.parent / "docs" / "claims.md"
VERDICTS = ("reproduced", "partly", "not", "not measured")


def compare(ledgers: dict[int, dict]) -> dict:
    """Return the first ledger's counts, and every claim whose verdict differs between seeds."""
    rows = {
        seed: {(one["task"], one["claim"]): one["verdict"] for one in ledger["findings"]}
        for seed, ledger in ledgers.items()
    }
    first = next(iter(ledgers))
    changed = [
        {"task": task, "claim": claim, "verdicts": {str(seed): found[task, claim] for seed, found in rows.items()}}
        for task, claim in rows[first]
        if len({found[task, claim] for found in rows.values()}) > 1
    ]
    flips = [one for one in changed if {"reproduced", "not"} <= set(one["verdicts"].values())]
    return {
        "seeds": list(ledgers),
        "counts": ledgers[first]["counts"],
        "claims": len(rows[first]),
        "changed": changed,
        "flips": len(flips),
        "left out": ledgers[first]["left_out"],
    }


def _numbers() -> dict:
    return json.loads((RESULTS / "ledger.json").read_text())["numbers"]


def table_of_counts() -> str:
    """Verdicts per task."""
    lines = ["| task | " + " | ".join(VERDICTS) + " |", "|" + "---|" * (len(VERDICTS) + 1)]
    for task, counts in _numbers()["counts"].items():
        lines.append(f"| {task.replace('_', ' ')} | " + " | ".join(str(counts[name]) for name in VERDICTS) + " |")
    return "\n".join(lines)


def tables() -> str:
    """Counts per task, then what depends on the test problems."""
    numbers, lines = _numbers(), [table_of_counts()]
    if len(numbers["seeds"]) == 1:
        return lines[0]
    seeds = ", ".join(map(str, numbers["seeds"]))
    changed = numbers["changed"]
    lines += [
        "",
        f"Verdicts that depend on the seed, of {seeds}: {len(changed)} of {numbers['claims']}; from reproduced to not: "
        f"{numbers['flips']}.",
        "",
    ]
    if changed:
        heads = [f"seed {seed}" for seed in numbers["seeds"]]
        lines += ["| task | claim | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 2)]
        lines += [
            f"| {one['task'].replace('_', ' ')} | {one['claim']} | " + " | ".join(one["verdicts"].values()) + " |"
            for one in changed
        ]
    return "\n".join(lines)


def fill(text: str) -> str:
    """Put the tables between their marks."""
    return between_marks(text, "ledger", f"\n{tables()}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="*", default=[0, 1, 2, 3])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    ledgers = {}
    for seed in arguments.seeds:
        path = arguments.out / str(seed) / "claims.json"
        if not path.exists():
            command = [sys.executable, "-m", "optoscope.cli.main", "claims", "--seed", str(seed)]
            subprocess.run([*command, "--out", str(path.parent)], check=True)
        ledgers[seed] = json.loads(path.read_text())
    record("ledger", compare(ledgers))
    PAGE.write_text(fill(PAGE.read_text()))
    README.write_text(between_marks(README.read_text(), "ledger", f"\n{table_of_counts()}\n"))


if __name__ == "__main__":
    main()
