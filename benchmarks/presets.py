"""Which preset reproduces what, on linear regression: `python -m benchmarks.presets --out DIR`.

Every optimizer that ships for linear regression, whichever preset made it, takes the place of the learned one: its
score beside the tuned baselines, its diagnosis, and the verdicts of `optoscope claims`. Ledgers are kept in DIR; the
same command goes on. `python -m benchmarks.readme` fills the tables of `docs/training.md`.
"""

import argparse
import json
import shutil
from pathlib import Path

import jax

from benchmarks._report import record
from optoscope import artifacts, diagnose, tasks
from optoscope.paper.claims import make_ledger
from optoscope.running import evaluate
from optoscope.training.recipes import BASELINES

TASK = "linear_regression"
#: Test problems of the scores.
NUM_PROBLEMS = 512
#: What the ledger of the task needs beside the learned optimizer.
OTHERS = ("momentum_like", *(f"{TASK}/{rule}" for rule in BASELINES))


def subjects() -> list[str]:
    """Names of the optimizers that were trained on the task."""
    learned = [name for name in artifacts.shipped() if "/" not in name]
    return [name for name in learned if artifacts.load(name).task == TASK]


def zoo_with(name: str, directory: Path) -> Path:
    """Lay out artifacts as if `name` were the one that ships for the task."""
    for source, target in [(name, TASK), *((other, other) for other in OTHERS)]:
        for ending in (".json", ".safetensors"):
            path = artifacts.shipped()[source].with_suffix(ending)
            (directory / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, directory / (target + ending))
    return directory


def measure(name: str, directory: Path) -> dict:
    """Score, diagnose and judge one optimizer."""
    trained, task, key = artifacts.load_trained(name), tasks.get(TASK), jax.random.key(0)
    baselines = {rule: artifacts.load(f"{TASK}/{rule}").optimizer for rule in BASELINES}
    result = evaluate(task, {"learned": trained.optimizer, **baselines}, num_problems=NUM_PROBLEMS, key=key)
    path = directory / name / "claims.json"
    if not path.exists():
        make_ledger([TASK], source=zoo_with(name, directory / name / "zoo")).save(path.parent)
    ledger = json.loads(path.read_text())
    return {
        "preset": trained.preset,
        "units": trained.optimizer.num_units,
        "meta-steps": trained.config["num_meta_steps"],
        "best at": trained.metrics["best_step"],
        "training s": trained.metrics["seconds"],
        "problems": NUM_PROBLEMS,
        "mean": round(float(result.means[0]), 5),
        "median": round(float(result.medians[0]), 5),
        "best baseline's mean": round(float(min(result.means[1:])), 5),
        "beats in mean and log ratio": [rule for rule in BASELINES if result.compare("learned", rule).first_is_better],
        "diagnosis": diagnose(trained.optimizer, task=task, key=key).summary,
        "counts": ledger["counts"][TASK],
        "verdicts": {one["claim"]: one["verdict"] for one in ledger["findings"]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = {}
    for name in subjects():
        found[name] = measure(name, arguments.out)
        print(name, json.dumps(found[name]), flush=True)
    record("presets", found)


if __name__ == "__main__":
    main()
