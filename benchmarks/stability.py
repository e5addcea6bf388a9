"""Predicted and measured edges of stability of everything that ships; `docs/stability.md` shows the numbers."""

import jax

from benchmarks._report import record
from optoscope import artifacts, tasks
from optoscope._core.json_data import to_json
from optoscope.dynamics import continue_fixed_points, find_resting_point
from optoscope.robustness.generalization import affordable_problems
from optoscope.robustness.stability import study_stability


def main() -> None:
    rows, refused, unstable = [], {}, {}
    for name in artifacts.shipped():
        artifact = artifacts.load(name)
        try:
            study = study_stability(
                artifact.optimizer,
                name=name,
                task=tasks.get(artifact.task),
                key=jax.random.key(0),
                num_problems=affordable_problems(tasks.get(artifact.task)),
            )
        except ValueError as error:
            refused[name] = str(error)
            continue
        found = study.edges()
        rows += found
        if not found:
            gradient = find_resting_point(artifact.optimizer).gradient
            reach = 10 * abs(gradient)
            branch = continue_fixed_points(artifact.optimizer, gradients=(-reach, reach))
            unstable[name] = {
                "resting gradient": gradient,
                "least growth per step": study.measured.growth.min(),
                "curvatures run": len(study.measured.growth),
                "gradients at folds": branch.gradients[branch.folds],
                "updates at folds": branch.updates[branch.folds],
            }
        for row in found:
            print(name, row["predicted"], row["measured"], flush=True)
    largest = max(abs(row["error"]) for row in rows)
    record(
        "stability",
        to_json({"largest relative error": largest, "edges": rows, "refused": refused, "stable nowhere": unstable}),
    )


if __name__ == "__main__":
    main()
