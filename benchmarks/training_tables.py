"""The tables of the README and of pages in `docs/`: `python -m benchmarks.readme` writes them there.

They come from `benchmarks/results/` and from what ships; `tests/test_docs.py` fails when a page disagrees.
"""

import json
from pathlib import Path

from benchmarks._report import RESULTS, between_marks
from optoscope import artifacts
from optoscope.cli.reference import arguments_reference, settings_reference
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
            + _early(every)
        )
    return "\n".join([*lines, "", "All seeds of the preset `fast`:", "", *seeds])


def _early(every: dict[str, dict]) -> str:
    """What weights from early in the runs beat, where that was measured."""
    sentences = []
    for name, row in every.items():
        if (beaten := row.get("the early snapshot beats")) is not None:
            whom = _listed([LABELS[rule] for rule in beaten]) or "none of them"
            sentences.append(f" After {row['seconds of the early snapshot']:.0f} s {name} beats {whom}.")
    return "".join(sentences)


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def presets_table() -> str:
    """Scores, counts of verdicts and diagnoses by preset, and the claims on which presets differ."""
    numbers = _numbers("presets")
    heads = ["preset", "units", "meta-steps", "best at", "s", "mean", "median", "beats", "claims reproduced", "partly",
             "not"]  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in numbers.values():
        counts = [one["counts"][verdict] for verdict in ("reproduced", "partly", "not")]
        beaten = _listed([LABELS[rule] for rule in one["beats in mean and log ratio"]]) or "none"
        cells = [f"`{one['preset']}`", one["units"], one["meta-steps"], one["best at"],
                 f"{one['training s']:.0f}",
                 f"{one['mean']:.4f}", f"{one['median']:.4f}", beaten, *counts]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "Diagnoses (`optoscope diagnose`):", ""]
    lines += [f"- `{one['preset']}`: {one['diagnosis']}." for one in numbers.values()]
    claims = next(iter(numbers.values()))["verdicts"]
    differ = [claim for claim in claims if len({one["verdicts"][claim] for one in numbers.values()}) > 1]
    lines += ["", f"Claims about linear regression on which presets differ, {len(differ)} of {len(claims)}:", ""]
    lines += [f"| claim | {' | '.join(one['preset'] for one in numbers.values())} |", "|---" * (1 + len(numbers)) + "|"]
    lines += [f"| {claim} | {' | '.join(one['verdicts'][claim] for one in numbers.values())} |" for claim in differ]
    return "\n".join(lines)


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


def networks_table() -> str:
    """Time, memory and share of the peak of meta-gradients of networks, and what they cost against their size."""
    numbers = _numbers("networks")
    peak, plain = numbers["SGEMM peak GFLOP/s"], numbers["two moons, 20 steps, against plain"]
    heads = ["200 steps", "s", "ms per step and problem", "predicted peak, GB", "measured, GB", "of the SGEMM peak"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in numbers.items():
        if isinstance(row, dict) and "GFLOP/s" in row:
            cells = [row["s"], row["ms per step and problem"], row["predicted peak GB"], row["measured peak GB"]]
            lines.append(f"| {name} | {' | '.join(map(str, cells))} | {row['GFLOP/s'] / peak:.0%} |")
    lines += [
        "",
        f"Two moons, 20 steps, 8 problems: {plain['times as fast']} times as fast as `vmap` + `scan` + `checkpoint` + "
        "autodiff, both with one state kept per step.",
        "",
        "| cost against | sizes | s | s per size, over that of the smallest |",
        "|---|---|---|---|",
    ]
    for varied, points in numbers["cost of a meta-gradient"].items():
        sizes, times = [one[varied] for one in points], [one["s"] for one in points]
        shares = [f"{times[i] / sizes[i] / (times[0] / sizes[0]):.2f}" for i in range(len(points))]
        lines.append(f"| {varied} | {' | '.join(', '.join(map(str, row)) for row in (sizes, times, shares))} |")
    return "\n".join(lines)


def ways_table() -> str:
    """Time that each way of meta-training took to the plain run's best validation score."""
    found_by_task = _numbers("ways")
    machines = _listed(sorted({found["machine"] for found in found_by_task.values()}))
    lines = [
        f"On {machines}:",
        "",
        "| task | way | s to its score | s in all | best validation |",
        "|---|---|---|---|---|",
    ]
    for task, found in found_by_task.items():
        for way, row in found["ways"].items():
            reached = row["s to that score"]
            reached = "not reached" if reached is None else f"{reached:.0f}"
            lines.append(f"| {task} | {way} | {reached} | {row['s in all']:.0f} | {row['best validation']:.4f} |")
    return "\n".join(lines)


def shipped_table() -> str:
    """The command, time and machine that made each optimizer that ships."""
    commands = {recipe.name: recipe.command for recipe in RECIPES}
    heads = ["optimizer", "command", "score on validation or tuning problems", "seconds", "made on"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in artifacts.shipped():
        one = artifacts.load(name)
        if isinstance(one, artifacts.TrainedOptimizer):
            command = f"optoscope train {one.task} --preset {one.preset} --seed {one.seed} --out DIR"
            score = one.metrics["best_validation"]
            taken = f"{one.metrics['seconds'] + one.metrics.get('seconds_of_start', 0.0):.0f}"
        else:
            command, score, taken = commands[name], one.scores[one.winner], "-"
        made = f"{one.provenance['machine']}, {one.provenance['made'][:10]}"
        lines.append(f"| {name} | `{command}` | {score:.4g} | {taken} | {made} |")
    return "\n".join(lines)


#: page -> marks -> what fills them
PAGES = {
    README: {"results": results_table, "speed": speed_table},
    README.parent / "docs" / "training.md": {
        "presets": presets_table,
        "ways": ways_table,
        "networks": networks_table,
        "shipped": shipped_table,
    },
    README.parent / "docs" / "command_line.md": {"settings": settings_reference, "arguments": arguments_reference},
}


def filled(page: Path) -> str:
    """Return the text of a page with its tables between their marks."""
    text = page.read_text()
    for name, table in PAGES[page].items():
        text = between_marks(text, name, table())
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page))
