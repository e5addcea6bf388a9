"""Distill what ships and keep what came out: `python -m benchmarks.distillation [NAME ...] --out DIR`.

Distills into DIR/NAME unless a result is there, records the summary in `benchmarks/results/distilled_NAME.json`, and
fills the tables of `docs/distillation.md` (their settings are `optoscope.distillation.PRESETS`).
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, record
from optoscope._core.markdown import table
from optoscope.distillation import PRESETS, Distilled, distill, measure, preset
from optoscope.figures.distillation import save_distillation_figure


def distillation_tables() -> str:
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
        ]
        before: list[str] = []
        rows = []
        for i, size in enumerate(found["sizes"]):
            if size.get("aim", "objective") != "objective":  # what was recorded before there were two aims has one
                continue
            added = ", ".join(piece for piece in size["pieces"] if piece not in before)
            before = size["pieces"]
            mark = "**" if i == found["chosen"] else ""
            fidelity = (f"{size[name]:.3f}" for name in ("one_step_r2", "running_r2"))
            scores = (f"{size[name]:.4f}" for name in ("mean", "median"))
            kept = f"{size['advantage_kept']['mean']:.0%}"
            rows.append([f"{mark}{added}{mark}", size["num_numbers"], *fidelity, *scores, kept])
        parts.append(
            table(["added pieces", "numbers", "R2, one step", "R2, running", "mean", "median", "advantage kept"], rows)
        )
        parts += ["", "```text", *found["formula"], "```", ""]
    return "\n".join(parts)


def run(name: str, folder: Path) -> None:
    """Distill one shipped optimizer and write what was found; a result that is there is measured once more."""
    import jax

    from optoscope import artifacts, tasks

    trained = artifacts.load(name)
    settings: Any = {
        "key": jax.random.key(0),
        "source": name,
        "config": preset(name),
        "report": lambda what, done, total: print(f"{name}: {what} {done}/{total}", flush=True),
    }
    path, task = folder / "distilled.npz", tasks.get(trained.task)
    if path.exists():
        before = Distilled.load(path)
        sizes = [before.size(i) for i in range(len(before.pieces))]
        found = measure(trained.optimizer, task, sizes, before.validations, before.chosen, aims=before.aims, **settings)
    else:
        found = distill(trained.optimizer, task, **settings)
    found.save(path)
    save_distillation_figure(found, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PRESETS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--measure", action="store_true", help="measure anew the formulas that DIR holds")
    arguments = parser.parse_args()

    from benchmarks.pages import write_pages

    for name in arguments.names:
        path = arguments.out / name / "distilled.npz"
        if arguments.measure or not path.exists():
            run(name, path.parent)
        record(f"distilled_{name}", Distilled.load(path).to_json())
    write_pages()


if __name__ == "__main__":
    main()
