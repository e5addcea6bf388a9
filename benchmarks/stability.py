"""Predicted and measured edges of stability of everything that ships; `docs/stability.md` shows the numbers."""

import jax

from benchmarks._report import record
from optoscope import artifacts, tasks
from optoscope.figures.style import plain
from optoscope.prediction.generalization import NUM_PROBLEMS
from optoscope.prediction.stability import study_stability


def main() -> None:
    rows, refused, unstable = [], {}, []
    for name in artifacts.shipped():
        artifact = artifacts.load(name)
        try:
            study = study_stability(
                artifact.optimizer,
                name=name,
                task=tasks.get(artifact.task),
                key=jax.random.key(0),
                num_problems=NUM_PROBLEMS[artifact.task],
            )
        except ValueError as error:
            refused[name] = str(error)
            continue
        found = study.edges()
        rows += found
        if not found:
            unstable.append(name)
        for row in found:
            print(name, row["predicted"], row["measured"], flush=True)
    largest = max(abs(row["error"]) for row in rows)
    record(
        "stability",
        plain({"largest relative error": largest, "edges": rows, "refused": refused, "stable nowhere": unstable}),
    )


if __name__ == "__main__":
    main()
