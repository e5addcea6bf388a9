"""The tables of `docs/stability.md` and `docs/generalization.md`: `python -m benchmarks.failure_pages` writes them.

`tests/test_failure_pages.py` fails when the pages and `benchmarks/results/` disagree.
"""

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks._report import RESULTS, between_marks
from benchmarks.generalization import matrix_of
from optoscope.robustness.generalization import GeneralizationMatrix

DOCS = Path(__file__).parent.parent / "docs"


def _numbers(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())["numbers"]


def _row(*cells) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def stability_table() -> str:
    """One row per edge, and what the tasks' curvatures are."""
    numbers = _numbers("stability")
    lines = [
        _row("optimizer", "stable", "predicted", "measured", "off by", "5% beyond", "2 x beyond",
             "largest curvature met", "at the end of runs", "edge / largest", "edge / at the end"),
        "|" + "---|" * 11,
    ]  # fmt: skip
    for row in numbers["edges"]:
        beyond = [f"{end['outcome']}" + (f", period {end['period']:.3g}" if end["period"] is not None else "")
                  for end in row["beyond"]]  # fmt: skip
        lines.append(
            _row(
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
            )
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
            *lines,
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


def _learned_on(*tasks: str) -> Callable[[str], bool]:
    return lambda name: "/" not in name and (name in tasks or name.startswith(tuple(f"{task}_seed" for task in tasks)))


#: kinds of optimizers that predictions are about -> whether one belongs, by its name
KINDS: dict[str, Callable[[str], bool]] = {
    "momentum": lambda name: name.endswith("/momentum"),
    "RMSProp": lambda name: name.endswith("/rmsprop"),
    "learned on linear regression or Rosenbrock": _learned_on("linear_regression", "rosenbrock", "momentum_like"),
    "learned on two moons or MNIST": _learned_on("two_moons", "mnist"),
}


def agreement_table(matrix: GeneralizationMatrix) -> list[str]:
    """How predictions agree with outcomes: all cells, those of each kind of optimizer, those of each optimizer."""
    lines = [
        _row("prediction by", "optimizers", "tasks", "sound, is", "sound, fails", "fails, is sound", "fails, fails",
             "right"),
        "|" + "---|" * 8,
    ]  # fmt: skip
    on = {"all but MNIST": [task for task in matrix.tasks if task != "mnist"], "MNIST": ["mnist"]}
    kinds = {kind: [name for name in matrix.optimizers if belongs(name)] for kind, belongs in KINDS.items()}
    groups = [("all", matrix.optimizers, "all", matrix.tasks)]
    groups += [(kind, names, where, tasks) for kind, names in kinds.items() for where, tasks in on.items()]
    groups += [(name, [name], "all", matrix.tasks) for name in matrix.optimizers]
    for who, optimizers, where, tasks in groups:
        for one in matrix.agreement(optimizers=optimizers, tasks=tasks):
            if one.num_cells:
                counts = (one.sound_sound, one.sound_fails, one.fails_sound, one.fails_fails)
                lines.append(_row(one.predictor, who, where, *counts, f"{one.accuracy:.0%}"))
    return lines


def generalization_table() -> str:
    """How predictions agree with outcomes, and the median meta-objective of every cell at 200 steps."""
    numbers = _numbers("generalization")
    lines = ["Cells, by what was predicted and what happened:", "", *agreement_table(matrix_of(numbers))]
    horizon = numbers["horizons"].index(200)
    for j, task in enumerate(numbers["tasks"]):
        lines += [
            "",
            f"Median meta-objective on {task.replace('_', ' ')} after 200 steps, with the gradient times ... (x: most "
            "runs diverge or circle; o: predicted to by stability):",
            "",
            _row("optimizer", *(f"{scale:g}" for scale in numbers["scales"])),
            "|" + "---|" * (1 + len(numbers["scales"])),
        ]
        for i, name in enumerate(numbers["optimizers"]):
            cells = []
            for k in range(len(numbers["scales"])):
                median = numbers["medians"][i][j][k][horizon]
                ends = numbers["stable_ends"][i][j][k]
                fails = numbers["diverged"][i][j][k] + numbers["circled"][i][j][k] >= 0.5
                marks = "x" * fails + "o" * (ends is not None and ends < 0.5)
                cells.append(f"{'inf' if median is None else f'{median:.3g}'} {marks}".strip())
            lines.append(_row(name, *cells))
    return "\n".join(lines)


def neighbors_table() -> str:
    """How fast neighboring runs part, beside what the resting point predicts."""
    heads = ["optimizer", "task", "problems x steps", "curvature at the end", "growth per step at rest, predicted",
             "along runs, median", "largest", "runs that part", "last loss / first"]  # fmt: skip
    lines = [_row(*heads), "|" + "---|" * len(heads)]
    for row in _numbers("neighbors")["pairs"]:
        name, task, problems, steps, curvature, rest, median, largest, parted, loss = row.values()
        growths = (f"{growth:+.4f}" for growth in (rest, median, largest))
        lines.append(_row(name, task, f"{problems} x {steps}", _short(curvature), *growths, parted, _short(loss)))
    return "\n".join(lines)


#: page -> marks -> what fills them
PAGES = {
    "stability": {"stability": stability_table},
    "generalization": {"generalization": generalization_table, "neighbors": neighbors_table},
}


def fill(name: str, text: str) -> str:
    """Return a page with its tables."""
    for mark, table in PAGES[name].items():
        text = between_marks(text, mark, table())
    return text


def main() -> None:
    for name in PAGES:
        page = DOCS / f"{name}.md"
        page.write_text(fill(name, page.read_text()))


if __name__ == "__main__":
    main()
