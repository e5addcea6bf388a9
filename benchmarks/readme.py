"""The tables of the README, from `benchmarks/results/`: `python -m benchmarks.readme` writes them into it.

`tests/test_docs.py` fails when the README and the results disagree.
"""

import json
from pathlib import Path

from benchmarks._report import RESULTS, between_marks
from optoscope.training.recipes import BASELINES, RECIPES

README = Path(__file__).parent.parent / "README.md"
LABELS = {"momentum": "momentum", "rmsprop": "RMSProp", "adam": "Adam"}


def _numbers(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())["numbers"]


def results_table() -> str:
    """Meta-objectives of what ships on fresh test problems, and of all seeds."""
    lines = ["| task | optimizer | mean | median | problems |", "|---|---|---|---|---|"]
    seeds = []
    for recipe in RECIPES:
        if recipe.how != "train" or recipe.setting != "fast" or recipe.name != recipe.task:
            continue
        numbers, task = _numbers(f"seeds_{recipe.task}"), recipe.task.replace("_", " ")
        shipped = f"seed {recipe.seed}"
        sizes = sorted(int(key.rpartition(" ")[2]) for key in numbers[shipped] if key.startswith("median on "))
        mean, median = f"mean on {sizes[-1]}", f"median on {sizes[-1]}"
        rows = {"**learned** (ships)": numbers[shipped]}
        rows |= {f"{LABELS[rule]}, best of 2500": numbers[rule] for rule in BASELINES}
        lines += [f"| {task} | {name} | {r[mean]:.4f} | {r[median]:.4f} | {sizes[-1]} |" for name, r in rows.items()]
        every = {name: row for name, row in numbers.items() if name.startswith("seed ")}
        means = ", ".join(f"{row[mean]:.4f}" for row in every.values())
        times = ", ".join(f"{row['training s']:.0f}" for row in every.values())
        beating = {
            name
            for name, row in every.items()
            if all(set(row[f"beats in mean and log ratio on {n}"]) == set(BASELINES) for n in sizes)
        }
        who = "Every seed beats" if beating == set(every) else f"{len(beating)} of {len(every)} seeds beat"
        numbers_of_problems = " and on ".join(map(str, sizes))
        names = ", ".join(name.removeprefix("seed ") for name in every)
        seeds.append(
            f"- {task}, seeds {names}: means {means}, trained in {times} s. {who} all three tuned "
            f"baselines in mean and in paired log ratio, 95% intervals excluding 0, on {numbers_of_problems} problems."
        )
    return "\n".join([*lines, "", "All seeds of the preset `fast`:", "", *seeds])


def speed_table() -> str:
    """What `python -m benchmarks` measured."""
    steps, analysis, startup = _numbers("meta_step"), _numbers("analysis"), _numbers("startup")
    lines = ["| what | measured |", "|---|---|"]
    for size, row in steps.items():
        if isinstance(row, dict):
            lines.append(
                f"| meta-gradient, {size}, 200 steps | {row['ours ms']:.0f} ms, {row['times as fast']:.2f} times as "
                f"fast as plain `vmap` + `scan` + `checkpoint`; {row['share of SGEMM peak']:.0%} of the SGEMM peak |"
            )
    for name, value in analysis.items():
        if name.endswith(", s"):
            lines.append(f"| {name.removesuffix(', s')} | {value:.2f} s |")
    lines.append(f"| `optoscope --help` | {startup['help, s']:.2f} s |")
    lines.append(f"| `import optoscope`, above `import jax` | {startup['import optoscope, above jax, s']:.2f} s |")
    touched = startup["import optoscope and touch every public name, above jax, s"]
    lines.append(f"| the same, with every public name loaded | {touched:.2f} s |")
    return "\n".join(lines)


def fill(text: str) -> str:
    """Put the tables between their marks."""
    for name, table in (("results", results_table()), ("speed", speed_table())):
        text = between_marks(text, name, table)
    return text


if __name__ == "__main__":
    README.write_text(fill(README.read_text()))
