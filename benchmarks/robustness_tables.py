"""The tables of `docs/stability.md` and `docs/generalization.md`, from `benchmarks/results/`."""

import dataclasses

from benchmarks._report import numbers_of
from optoscope._core.markdown import table
from optoscope.robustness.matrices import agreement_by_kind, matrix_of
from optoscope.tasks import label_of


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def stability_table() -> str:
    """One row per edge, and what the tasks' curvatures are."""
    numbers = numbers_of("stability")
    heads = ["optimizer", "stable", "predicted", "measured", "off by", "5% beyond", "2 x beyond",
             "largest curvature met", "at the end of runs", "edge / largest", "edge / at the end"]  # fmt: skip
    rows = []
    for row in numbers["edges"]:
        beyond = [f"{end['outcome']}" + (f", period {end['period']:.3g}" if end["period"] is not None else "")
                  for end in row["beyond"]]  # fmt: skip
        rows.append(
            [
                row["optimizer"],
                "below" if row["stable below"] else "above",
                _short(row["predicted"]),
                _short(row["measured"]),
                f"{abs(row['error']):.1e}",
                beyond[0],
                beyond[-1],
                _short(row["largest curvature of all runs"]),
                _short(row["largest curvature at the end of runs, median"]),
                _short(row["edge / largest"]),
                _short(row["edge / largest at the end"]),
            ]
        )
    refused = ", ".join(numbers["refused"])
    return "\n".join(
        [
            f"Largest difference of a predicted from a measured edge: {numbers['largest relative error']:.1e}. Refused",
            f"as there is no linearization at their resting point: {refused}.",
            *_stable_nowhere(numbers),
            "Curvatures: 200 steps of the optimizer itself on 64 test problems (2 of two moons, 1 of MNIST);",
            "for linear regression `edge / largest` takes 1, the bound by construction.",
            "",
            table(heads, rows),
        ]
    )


def _stable_nowhere(numbers: dict) -> list[str]:
    lines = []
    for name, found in numbers["stable nowhere"].items():
        folds = " and ".join(f"{gradient:.2e}" for gradient in sorted(found["gradients at folds"])) or "no gradient"
        lines.append(
            f"- `{name}` is stable at no curvature: a mode of its state grows by itself. It rests at a gradient of "
            f"{found['resting gradient']:.2e}, and its fixed points fold at {folds}. Measured: "
            f"perturbations grow by at least {found['least growth per step']:.2g} per step at all of "
            f"{found['curvatures run']} curvatures."
        )
    return ["", *lines, ""] if lines else []


def generalization_tables() -> str:
    """How predictions agree with outcomes, and the median meta-objective of every cell at 200 steps."""
    numbers = numbers_of("generalization")
    heads = ["prediction by", "optimizers", "tasks", "sound, is", "sound, fails", "fails, is sound", "fails, fails",
             "right"]  # fmt: skip
    rows = [
        [one.predictor, who, where, *dataclasses.astuple(one)[1:], f"{one.accuracy:.0%}"]
        for who, where, one in agreement_by_kind(matrix_of(numbers))
    ]
    parts = ["Cells, by what was predicted and what happened:", table(heads, rows)]
    horizon = numbers["horizons"].index(200)
    for j, task in enumerate(numbers["tasks"]):
        parts.append(
            f"Median meta-objective on {label_of(task)} after 200 steps, with the gradient times ... (x: most "
            "runs diverge or circle; o: predicted to by stability):"
        )
        rows = []
        for i, name in enumerate(numbers["optimizers"]):
            cells = []
            for k in range(len(numbers["scales"])):
                median = numbers["medians"][i][j][k][horizon]
                ends = numbers["stable_ends"][i][j][k]
                fails = numbers["diverged"][i][j][k] + numbers["circled"][i][j][k] >= 0.5
                marks = "x" * fails + "o" * (ends is not None and ends < 0.5)
                cells.append(f"{'inf' if median is None else f'{median:.3g}'} {marks}".strip())
            rows.append([name, *cells])
        parts.append(table(["optimizer", *(f"{scale:g}" for scale in numbers["scales"])], rows))
    return "\n\n".join(parts)


def neighbors_table() -> str:
    """How fast neighboring runs part, beside what the resting point predicts."""
    heads = ["optimizer", "task", "problems x steps", "curvature at the end", "growth per step at rest, predicted",
             "along runs, median", "largest", "runs that part", "last loss / first"]  # fmt: skip
    rows = []
    for row in numbers_of("neighbors")["pairs"]:
        name, task, problems, steps, curvature, rest, median, largest, parted, loss = row.values()
        growths = (f"{growth:+.4f}" for growth in (rest, median, largest))
        rows.append([name, task, f"{problems} x {steps}", _short(curvature), *growths, parted, _short(loss)])
    return table(heads, rows)
