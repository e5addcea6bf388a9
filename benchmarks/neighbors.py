"""Whether whole runs are stable where the resting point is not: `python -m benchmarks.neighbors`.

Every learned optimizer that ships (but those of 256 units) at home, and those of networks on two moons;
`docs/generalization.md` shows it.
"""

import jax
import numpy as np

from benchmarks._report import record
from optoscope import artifacts, tasks
from optoscope._core.json_data import to_json
from optoscope.dynamics import stability_map
from optoscope.robustness import separation, task_curvatures
from optoscope.robustness.generalization import shipped_optimizers

#: task -> problems and steps
SIZES = {"linear_regression": (64, 1000), "rosenbrock": (64, 1000), "two_moons": (2, 500), "mnist": (1, 200)}


def cases() -> list[tuple[str, str]]:
    """Names of optimizers and tasks."""
    _, homes = shipped_optimizers()
    away = [(name, "two_moons") for name, home in homes.items() if home == "mnist"]
    return [*homes.items(), *away]


def main() -> None:
    rows = []
    for name, task_name in cases():
        optimizer, task, key = artifacts.load(name).optimizer, tasks.get(task_name), jax.random.key(0)
        num_problems, num_steps = SIZES[task_name]
        met = task_curvatures(
            task, optimizer, key=key, num_problems=num_problems, num_steps=num_steps, num_points=1, num_eigenvalues=1
        )
        curvature = float(np.nanmedian(met.largest[:, -1]))
        rate = stability_map(optimizer, [curvature]).rates[0]
        found = separation(optimizer, task, key=key, num_problems=num_problems, num_steps=num_steps)
        rows.append(
            {
                "optimizer": name,
                "task": task_name,
                "problems": num_problems,
                "steps": num_steps,
                "largest curvature at the end of runs, median": curvature,
                "growth per step at the resting point with that curvature": -rate,
                "growth per step along runs, median": np.nanmedian(found.growth),
                "growth per step along runs, largest": np.nanmax(found.growth),
                "runs that parted": found.parted.sum(),
                "last loss over first, median": np.median(found.losses[:, -1] / found.losses[:, 0]),
            }
        )
        print(rows[-1], flush=True)
    record("neighbors", to_json({"pairs": rows}))


if __name__ == "__main__":
    main()
