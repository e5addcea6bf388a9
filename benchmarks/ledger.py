"""The ledger on several sets of test problems: `python -m benchmarks.ledger [SEED ...] --out DIR`.

Each seed is an ordinary `optoscope claims --seed SEED --out DIR/SEED`; one that is there is read. Fills the tables of
the docs: verdicts per task with the first seed, and those that are not the same with all.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks._report import numbers_of, record
from optoscope._core.markdown import table
from optoscope.paper.claims.seeds import compare_ledgers
from optoscope.tasks import label_of

VERDICTS = ("reproduced", "partly", "not", "not measured")


def counts_table() -> str:
    """Verdicts per task."""
    counts = numbers_of("ledger")["counts"]
    rows = [[label_of(task), *(row[name] for name in VERDICTS)] for task, row in counts.items()]
    return table(["task", *VERDICTS], rows)


def seeds_table() -> str:
    """Counts per task, then what depends on the test problems."""
    numbers = numbers_of("ledger")
    if len(numbers["seeds"]) == 1:
        return counts_table()
    seeds, changed = numbers["seeds"], numbers["changed"]
    lines = [
        counts_table(),
        f"Verdicts that depend on the seed, of {', '.join(map(str, seeds))}: {len(changed)} of {numbers['claims']}; "
        f"from reproduced to not: {numbers['flips']}.",
    ]
    if changed:
        rows = [[label_of(one["task"]), one["claim"], *one["verdicts"].values()] for one in changed]
        lines.append(table(["task", "claim", *(f"seed {seed}" for seed in seeds)], rows))
    return "\n\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="*", default=[0, 1, 2, 3])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    from benchmarks.pages import write_pages

    ledgers = {}
    for seed in arguments.seeds:
        path = arguments.out / str(seed) / "claims.json"
        if not path.exists():
            command = [sys.executable, "-m", "optoscope", "claims", "--seed", str(seed)]
            subprocess.run([*command, "--out", str(path.parent)], check=True)
        ledgers[seed] = json.loads(path.read_text())
    record("ledger", compare_ledgers(ledgers))
    write_pages()


if __name__ == "__main__":
    main()
