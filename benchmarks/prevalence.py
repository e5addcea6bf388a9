"""How many optimizers show a mechanism, when all that differs is the seed of their meta-training.

`python -m benchmarks.prevalence --out DIR` meta-trains ten seeds each on linear regression and Rosenbrock, by a preset
that is shortened, diagnoses each on its task, and fills the table of `docs/claims.md`. A task that trains a network is
diagnosed where it is named, with the seeds that are in DIR; results of tasks that are not named stay.
Each run is an ordinary `optoscope train` into DIR/TASK/SEED; one that is there is read, one that was cut off goes on.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from scipy.stats import binomtest

from benchmarks._report import RESULTS, numbers_of, record
from optoscope._core.markdown import table
from optoscope.tasks import label_of

SEEDS = {"linear_regression": 10, "rosenbrock": 10}
#: A quarter of what `fast` asks for.
SETTINGS = {"linear_regression": ("num_meta_steps=3000",), "rosenbrock": ("num_meta_steps=2000",)}
MECHANISMS = ("momentum", "clipping", "schedule", "adaptation", "grouping")


def diagnoses(task_name: str, folders: list[Path]) -> dict:
    """Diagnose every seed's optimizer, and its network before meta-training, on its task."""
    import jax

    import optoscope
    from optoscope.artifacts import load_trained
    from optoscope.mechanisms.diagnose import with_readout

    task, rows = optoscope.tasks.get(task_name), {}
    for folder in folders:
        trained = load_trained(folder / task_name)
        entry = {"validation": trained.metrics["best_validation"], "s": round(trained.metrics["seconds"], 1)}
        for name, optimizer in (("trained", trained), ("untrained", with_readout(trained.untrained))):
            report = optoscope.diagnose(optimizer, task=task, key=jax.random.key(0))
            entry[name] = {
                "summary": report.summary,
                "kind of adaptation": report.to_json()["verdicts"]["adaptation"]["kind"],
                **{mechanism: report.verdicts[mechanism].verdict for mechanism in MECHANISMS},
            }
        rows[folder.name] = entry
        print(task_name, folder.name, entry["trained"]["summary"], flush=True)
    return rows


def counts(rows: dict, which: str) -> dict[str, dict]:
    """Count verdicts over seeds; the interval is the exact 95% one of Clopper and Pearson (1934)."""
    found = {}
    for mechanism in MECHANISMS:
        tally = Counter(row[which][mechanism] for row in rows.values())
        interval = binomtest(tally["present"], len(rows)).proportion_ci()
        found[mechanism] = {**tally, "interval": [round(float(end), 3) for end in interval]}
    return found


def prevalence_table() -> str:
    """One row per task and mechanism."""
    rows = []
    for task, found in numbers_of("prevalence").items():
        for mechanism, tally in found["trained"].items():
            kinds = Counter(row["trained"]["kind of adaptation"] for row in found["seeds"].values())
            kind = f" ({', '.join(f'{k} {n}' for k, n in kinds.items())})" if mechanism == "adaptation" else ""
            low, high = tally["interval"]
            rows.append(
                [
                    label_of(task),
                    mechanism + kind,
                    f"{tally.get('present', 0)} of {len(found['seeds'])}",
                    f"{low:.0%} to {high:.0%}",
                    tally.get("undecided", 0),
                    tally.get("absent", 0),
                    found["untrained"][mechanism].get("present", 0),
                ]
            )
    heads = ["task", "mechanism", "present", "95% interval", "undecided", "absent", "present before meta-training"]
    return table(heads, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=list(SEEDS))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    from benchmarks.pages import write_pages

    path = RESULTS / "prevalence.json"
    numbers = json.loads(path.read_text())["numbers"] if path.exists() else {}
    for task in arguments.tasks:
        for seed in range(SEEDS.get(task, 0)):
            folder = arguments.out / task / str(seed)
            if not (folder / f"{task}.json").exists():
                command = [sys.executable, "-m", "optoscope", "train", task, "--seed", str(seed)]
                subprocess.run([*command, "--out", str(folder), "--resume", "--set", *SETTINGS[task]], check=True)
        folders = sorted((p.parent for p in (arguments.out / task).glob(f"*/{task}.json")), key=lambda p: int(p.name))
        rows = diagnoses(task, folders)
        numbers[task] = {"seeds": rows, **{which: counts(rows, which) for which in ("trained", "untrained")}}
    record("prevalence", numbers)
    write_pages()


if __name__ == "__main__":
    main()
