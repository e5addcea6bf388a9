"""Distill what ships and keep what came out: `python -m benchmarks.distillation [NAME ...] --out DIR`.

Distills into DIR/NAME unless a result is there, records the summary in `benchmarks/results/distilled_NAME.json`, and
fills the tables of `docs/distillation.md`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, between_marks, record
from optoscope.distillation import DistillConfig, Distilled, distill, measure
from optoscope.figures.distillation import save_distillation_figure

PAGE = Path(__file__).parent.parent / "docs" / "distillation.md"
#: Linear regression asks for two real modes and a decay that settles, Rosenbrock for a mode that rotates (tried on
#: validation problems). A network's runs are heavy: fewer pieces, problems and generations.
CONFIGS = {
    "linear_regression": DistillConfig(
        path=(
            ("momentum",),
            ("saturation", "power"),
            ("gain",),
            ("schedule", "decay schedule"),
            ("forgetting", "persistence"),
            ("agreement", "alignment"),
            ("difference", "second mode"),
            ("retention",),
        ),
    ).with_effort(3),
    "rosenbrock": DistillConfig(num_validation=512).with_effort(5),
    "two_moons": DistillConfig(
        path=(("momentum",), ("saturation", "power", "gain"), ("schedule",)),
        num_starts=1,
        num_generations=4,
        num_polishes=20,
        num_problems=1,
        num_validation=8,
        num_test=32,
    ),
}


def tables() -> str:
    """Sizes, measures and the chosen formula of every distillation that is recorded."""
    parts = []
    for path in sorted(RESULTS.glob("distilled_*.json")):
        found = json.loads(path.read_text())["numbers"]
        kept = found["sizes"][found["chosen"]]["advantage_kept"]
        low, high = found["sizes"][found["chosen"]]["advantage_interval"]
        rival = f"{found['baseline']}) {found['baseline_mean']:.4f}"
        parts += [
            f"### `{found['source']}` on {found['task'].replace('_', ' ')}",
            "",
            f"Meta-objective of the learned optimizer {found['source_mean']:.4f}, of the best tuned baseline "
            f"({rival}, on {found['test_problems']} test problems. The chosen formula (bold) keeps "
            f"{kept['mean']:.1%} of the advantage in the mean "
            f"(95% interval {low:.1%} to {high:.1%}), {kept['median']:.0%} in the median, "
            f"{kept['log']:.0%} in the mean logarithm.",
            "",
            "| added pieces | numbers | R2, one step | R2, running | mean | median | advantage kept |",
            "|---|---|---|---|---|---|---|",
        ]
        before: list[str] = []
        for i, size in enumerate(found["sizes"]):
            added = ", ".join(piece for piece in size["pieces"] if piece not in before)
            before = size["pieces"]
            mark = "**" if i == found["chosen"] else ""
            fidelity = f"{size['one_step_r2']:.3f} | {size['running_r2']:.3f}"
            parts.append(
                f"| {mark}{added}{mark} | {size['num_numbers']} | {fidelity} | "
                f"{size['mean']:.4f} | {size['median']:.4f} | {size['advantage_kept']['mean']:.0%} |"
            )
        parts += ["", "```text", *found["formula"], "```", ""]
    return "\n".join(parts)


def fill(text: str) -> str:
    """Put the tables between their marks."""
    return between_marks(text, "distilled", f"\n{tables()}")


def run(name: str, folder: Path) -> None:
    """Distill one shipped optimizer and write what was found; a result that is there is measured once more."""
    import jax

    from optoscope import artifacts, tasks

    trained = artifacts.load(name)
    config = CONFIGS.get(name, DistillConfig())
    settings: Any = {
        "key": jax.random.key(0),
        "source": name,
        "config": config,
        "report": lambda what, done, total: print(f"{name}: {what} {done}/{total}", flush=True),
    }
    path, task = folder / "distilled.npz", tasks.get(trained.task)
    if path.exists():
        before = Distilled.load(path)
        sizes = [before.size(i) for i in range(len(before.pieces))]
        found = measure(trained.optimizer, task, sizes, before.validations, before.chosen, **settings)
    else:
        found = distill(trained.optimizer, task, **settings)
    found.save(path)
    save_distillation_figure(found, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CONFIGS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--measure", action="store_true", help="measure anew the formulas that DIR holds")
    arguments = parser.parse_args()
    for name in arguments.names:
        path = arguments.out / name / "distilled.npz"
        if arguments.measure or not path.exists():
            run(name, path.parent)
        record(f"distilled_{name}", Distilled.load(path).to_json())
    PAGE.write_text(fill(PAGE.read_text()))


if __name__ == "__main__":
    main()
