"""Meta-train several seeds of a preset and report every one: `python -m benchmarks.seeds TASK [SEED ...] --out DIR`.

Each run is an ordinary `optoscope train`; a run that is already there is read, one that was cut off goes on, and so it
is with evaluations. The tuned baselines that ship are evaluated on the same test problems. The seed that ships is the
best on 1024 problems of their own (64 of tasks that train a network), which are neither test problems nor seen in any
training.
"""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from benchmarks._report import record
from optoscope import artifacts, tasks
from optoscope.running import Evaluation, Purpose, evaluate
from optoscope.training.recipes import BASELINES
from optoscope.training.snapshots import snapshot_within

#: Problems for choosing a seed, and sizes of the evaluations; tasks that train a network have fewer.
CHOOSING, SIZES = 1024, (64, 512)
NETWORK_CHOOSING, NETWORK_SIZES = 64, (64,)
#: Seconds after which a run is looked at, too.
EARLY, NETWORK_EARLY = 30.0, 600.0


def _evaluate(task, rules: dict, folder: Path, **settings) -> Evaluation:
    """Evaluate optimizers one by one, and keep each result in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for name, rule in rules.items():
        path = folder / f"{name.replace(' ', '_')}.npz"
        if not path.exists():
            evaluate(task, {name: rule}, **settings).save(path)
        parts.append(Evaluation.load(path))
    return dataclasses.replace(
        parts[0],
        names=list(rules),
        losses=np.concatenate([part.losses for part in parts]),
        objectives=np.concatenate([part.objectives for part in parts]),
    )


def _beaten(result: Evaluation, name: str, baselines: dict) -> list[str]:
    return [rule for rule in baselines if result.compare(name, rule).first_is_better]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    task_name, out = arguments.task, arguments.out / arguments.task
    task = tasks.get(task_name)
    heavy = task.is_network
    choosing, sizes = (NETWORK_CHOOSING, NETWORK_SIZES) if heavy else (CHOOSING, SIZES)
    for seed in arguments.seeds:
        if not (out / str(seed) / f"{task_name}.json").exists():
            command = [sys.executable, "-m", "optoscope", "train", task_name, "--preset", "fast"]
            command += ["--seed", str(seed), "--out", str(out / str(seed)), "--resume"]
            subprocess.run(command, check=True)
    trained = {f"seed {seed}": artifacts.load_trained(out / str(seed) / task_name) for seed in arguments.seeds}
    baselines = {rule: artifacts.load(f"{task_name}/{rule}").optimizer for rule in BASELINES}
    numbers: dict = {}
    for name, one in trained.items():
        second_half = one.curve["validations"][one.curve["steps"] > one.config["num_meta_steps"] / 2]
        numbers[name] = {
            "training s": round(one.metrics["seconds"] + one.metrics.get("seconds_of_start", 0.0), 1),
            "best validation": one.metrics["best_validation"],
            "meta-steps skipped": one.metrics["num_skipped"],
            "meta-steps rolled back": one.metrics.get("num_rollbacks", 0),
            "largest validation in the second half": float(second_half.max()),
        }
    rules = {name: one.optimizer for name, one in trained.items()}
    if len(trained) > 1:
        key = Purpose.CHOOSE.key(jax.random.key(0))
        choice = _evaluate(task, rules, out / "choosing", num_problems=choosing, key=key)
        for name, mean in zip(choice.names, choice.means):
            numbers[name][f"mean on {choosing} problems for choosing"] = float(np.round(mean, 5))
    for num_problems in sizes:
        folder = out / f"test_{num_problems}"
        result = _evaluate(task, {**baselines, **rules}, folder, num_problems=num_problems, key=jax.random.key(0))
        for i, name in enumerate(result.names):
            entry = numbers.setdefault(name, {})
            entry[f"mean on {num_problems}"] = float(np.round(result.means[i], 5))
            entry[f"median on {num_problems}"] = float(np.round(result.medians[i], 5))
            if name in trained:
                entry[f"beats in mean and log ratio on {num_problems}"] = _beaten(result, name, baselines)
    early = {}
    for name, one in trained.items():
        run = out / name.removeprefix("seed ")
        if (run / "log.jsonl").exists():  # else all that is kept of a run is what came out of it
            early[name], reached = snapshot_within(NETWORK_EARLY if heavy else EARLY, one, run)
            numbers[name]["seconds of the early snapshot"] = round(reached, 1)
    rules = {**baselines, **{f"{name} early": snapshot for name, snapshot in early.items()}}
    result = _evaluate(task, rules, out / f"test_{sizes[-1]}", num_problems=sizes[-1], key=jax.random.key(0))
    for name in early:
        row = result.names.index(f"{name} early")
        numbers[name][f"mean on {sizes[-1]} of the early snapshot"] = float(np.round(result.means[row], 5))
        numbers[name]["the early snapshot beats"] = _beaten(result, f"{name} early", baselines)
    record(f"seeds_{task_name}", numbers)


if __name__ == "__main__":
    main()
