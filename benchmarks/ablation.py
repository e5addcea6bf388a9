"""Which mechanisms do the shipped learned optimizers need: `python -m benchmarks.ablation [NAME ...] [--out DIR]`.

Every learned optimizer that ships (but those of 256 units), on the task that it was trained on, if none is named;
results of others stay in `benchmarks/results/ablation.json`, from which the tables of `docs/interventions.md` are
filled. Network tasks are run on fewer problems, MNIST for as many steps as the longest unroll of its optimizer's
training. With `--out`, the whole results and their figures are written as well, one directory each; interrupted, the
same command goes on.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks._report import RESULTS
from optoscope import artifacts, tasks
from optoscope._core.files import write_json
from optoscope._core.json_data import to_json
from optoscope._core.markdown import table
from optoscope.figures.ablation import save_ablation_figure
from optoscope.interventions import ablate
from optoscope.robustness.generalization import shipped_optimizers

#: Sizes of an ablation that differ from the usual ones, by task; networks are heavy.
SIZES = {
    "two_moons": {"num_problems": 32, "num_tuning_problems": 4, "num_controls": 2},
    "mnist": {"num_problems": 4, "num_tuning_problems": 2, "num_controls": 1, "num_steps": 100},
}
USUAL_SIZES: dict[str, Any] = {"num_problems": 64, "num_tuning_problems": 256, "num_controls": 5, "num_steps": 200}


def measure(name: str, directory: Path | None) -> dict:
    """Ablate one shipped optimizer; returns verdicts, and every variant's effect as ratios."""
    trained = artifacts.load_trained(name)
    task = tasks.get(trained.task)
    sizes = {**USUAL_SIZES, **SIZES.get(trained.task, {})}
    found = ablate(
        trained.optimizer,
        task,
        key=jax.random.key(0),
        **sizes,
        directory=None if directory is None else directory / name,
        resume=True,
        report=lambda what, done, total: print(f"{name}: {what} {done}/{total}", flush=True),
    )
    if directory is not None:
        save_ablation_figure(found, directory / name)
        found.save(directory / name / "ablation.npz")
    digits = lambda values: to_json(np.array([float(f"{value:.4g}") for value in np.ravel(values)]))
    variants = {}
    for i, variant in enumerate(found.names):
        variants[variant] = {
            "mechanism": found.mechanisms[i],
            "kind": found.kinds[i],
            "scale": digits(found.scales[i])[0],
            "ratio as it is": digits(np.exp(found.log_ratios[i]))[0],
            "interval as it is": digits(np.exp(found.log_ratio_intervals[i])),
            "ratio": digits(np.exp(found.rescaled_log_ratios[i]))[0],
            "interval": digits(np.exp(found.rescaled_log_ratio_intervals[i])),
            "difference": digits(found.rescaled_differences[i])[0],
            "difference interval": digits(found.rescaled_difference_intervals[i]),
            "kept": digits(found.kept[i])[0],
            "diverged": int(found.num_diverged[i]),
        } | ({"notes": to_json(found.notes[variant])} if variant in found.notes else {})
    return {
        "task": found.task,
        "problems": sizes["num_problems"],
        "verdicts": found.verdicts,
        "best baseline": found.best_baseline,
        "controls that change nothing are identical": found.identical,
        "variants": variants,
        "provenance": found.provenance,
    }


def ablation_tables() -> str:
    """Two tables, mechanisms by optimizers: is it needed, and is it enough?"""
    numbers = json.loads((RESULTS / "ablation.json").read_text())
    names = sorted(numbers)
    mechanisms = list(dict.fromkeys(entry["mechanism"] for one in numbers.values() for entry in one["verdicts"]))
    heads = [_head(name, numbers[name]) for name in names]
    parts = []
    for title, verdict, kinds in (
        ("needed?", "needed", ("removed",)),
        ("enough?", "sufficient", ("alone", "together")),
    ):
        rows = [[m, *(_cell(numbers[name], m, verdict, kinds) for name in names)] for m in mechanisms]
        parts.append(table([title, *heads], [row for row in rows if any(cell.strip("- ") for cell in row[1:])]))
    return "\n\n".join(parts)


def _head(name: str, one: dict) -> str:
    steps = one["provenance"]["settings"]["num_steps"]
    return f"`{name}` on {one['task'].replace('_', ' ')}, {one['problems']} x {steps} steps"


def _cell(one: dict, mechanism: str, verdict: str, kinds: tuple[str, ...]) -> str:
    found = [entry[verdict] for entry in one["verdicts"] if entry["mechanism"] == mechanism]
    why = " ".join(entry["why_needed"] for entry in one["verdicts"] if entry["mechanism"] == mechanism)
    if not found or not found[0]:
        return "-"
    tried = {
        name: entry["interval"]
        for name, entry in one["variants"].items()
        if entry["mechanism"] == mechanism and entry["kind"] in kinds and f"set aside: {name}" not in why
    }
    if not tried:
        return found[0]
    mildest = min(tried, key=lambda name: tried[name][0] * tried[name][1])
    low, high = ((bound - 1) * 100 for bound in tried[mildest])
    bounds = f"{low:+.1f}% to {high:+.1f}%" if high < 1000 else f"x{low / 100 + 1:.3g} to x{high / 100 + 1:.3g}"
    return f"**{found[0]}**: {bounds} ({mildest})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    from benchmarks.pages import write_pages

    _, homes = shipped_optimizers()
    path = RESULTS / "ablation.json"
    numbers = json.loads(path.read_text()) if path.exists() else {}
    for name in arguments.names or homes:
        numbers[name] = measure(name, arguments.out)
        for entry in numbers[name]["verdicts"]:
            print(f"{name}, {entry['mechanism']}: {entry['needed']} ({entry['why_needed']}); {entry['sufficient']}")
        write_json(path, numbers)
    write_pages()


if __name__ == "__main__":
    main()
