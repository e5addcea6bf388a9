"""Ways to get there on less compute: how long each takes to a validation score, with and without.

`python -m benchmarks.ways --out DIR` meta-trains on Rosenbrock and on digits: from nothing and from another optimizer,
with short unrolls first, a smaller cell, products in bfloat16. Interrupted, the same command goes on. Results of tasks
that are not named stay.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, record
from optoscope._core.provenance import provenance

_SHORT_UNROLLS_FIRST = ((50, 1 / 4), (100, 1 / 4))
#: way -> whether it starts warm, settings that differ from the plain run's
WAYS: dict[str, tuple[bool, dict[str, Any]]] = {
    "plain": (False, {}),
    "curriculum": (False, {"curriculum": _SHORT_UNROLLS_FIRST}),
    "warm start": (True, {}),
    "smaller cell": (False, {"num_units": 16}),
    "bfloat16": (False, {"bfloat16": True}),
    "warm start and curriculum": (True, {"curriculum": _SHORT_UNROLLS_FIRST}),
}
#: task -> preset, optimizer to start warm from, meta-steps, meta-steps between validations
TASKS = {
    "rosenbrock": ("fast", "linear_regression", 800, 25),
    "digits": ("rehearsal", "two_moons", 40, 2),
}


def settings(preset, way: str, warm: str, num_meta_steps: int, every: int):
    """Return the configuration of a way: the preset's, shortened, with a cosine of its own length."""
    starts_warm, changes = WAYS[way]
    if "curriculum" in changes:
        phases = tuple((steps, int(share * num_meta_steps)) for steps, share in changes["curriculum"])
        changes = changes | {"curriculum": phases}
    start = warm if starts_warm else None
    return dataclasses.replace(
        preset, num_meta_steps=num_meta_steps, validate_every=every, warm_start=start, num_snapshots=2, **changes
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    arguments = parser.parse_args()

    import jax
    import numpy as np

    from optoscope import tasks
    from optoscope.cli.devices import use_all_cores
    from optoscope.running.run_log import read_records
    from optoscope.training import meta_train, preset

    use_all_cores()
    path = RESULTS / "ways.json"
    numbers = json.loads(path.read_text())["numbers"] if path.exists() else {}
    for name in arguments.tasks:
        setting, warm, num_meta_steps, every = TASKS[name]
        curves = {}
        for way in WAYS:
            folder = arguments.out / name / way.replace(" ", "_")
            config = settings(preset(setting, name), way, warm, num_meta_steps, every)
            meta_train(tasks.get(name), config=config, key=jax.random.key(0), directory=folder, resume=True, seed=0)
            curves[way] = [(row["seconds"], row["best_validation"]) for row in read_records(folder)]
            print(name, way, curves[way][-1], flush=True)
        target = curves["plain"][-1][1]
        first = lambda curve, score: next((seconds for seconds, found in curve if found <= score), None)
        numbers[name] = {
            "meta-steps": num_meta_steps,
            "machine": provenance()["machine"],
            "score": round(target, 4),
            "ways": {
                way: {
                    "s to that score": first(curve, target),
                    "s in all": curve[-1][0],
                    "best validation": round(float(np.min([found for _, found in curve])), 4),
                }
                for way, curve in curves.items()
            },
        }
    record("ways", numbers)


if __name__ == "__main__":
    main()
