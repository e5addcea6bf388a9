"""The tables of the pages on results, speed and training, from `benchmarks/results/` and what ships."""

from benchmarks._report import numbers_of
from optoscope import artifacts
from optoscope._core.markdown import table
from optoscope.tasks import label_of
from optoscope.training.recipes import BASELINES, RECIPES

LABELS = {"momentum": "momentum", "rmsprop": "RMSProp", "adam": "Adam"}


def results_table() -> str:
    """Meta-objectives of what ships on fresh test problems, and of all seeds."""
    scores, seeds = [], []
    for recipe in RECIPES:
        if recipe.how != "train" or recipe.setting != "fast" or recipe.name != recipe.task:
            continue
        numbers, task = numbers_of(f"seeds_{recipe.task}"), label_of(recipe.task)
        shipped = f"seed {recipe.seed}"
        sizes = sorted(int(key.rpartition(" ")[2]) for key in numbers[shipped] if key.startswith("median on "))
        mean, median = f"mean on {sizes[-1]}", f"median on {sizes[-1]}"
        rows = {"**learned** (ships)": numbers[shipped]}
        rows |= {f"{LABELS[rule]}, best of 2500": numbers[rule] for rule in BASELINES}
        scores += [[task, name, f"{r[mean]:.4f}", f"{r[median]:.4f}", sizes[-1]] for name, r in rows.items()]
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
    scores = table(["task", "optimizer", "mean", "median", "problems"], scores)
    return "\n".join([scores, "", "All seeds of the preset `fast`:", "", *seeds])


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
    numbers = numbers_of("presets")
    heads = ["preset", "units", "meta-steps", "best at", "s", "mean", "median", "beats", "claims reproduced", "partly",
             "not"]  # fmt: skip
    rows = []
    for one in numbers.values():
        counts = [one["counts"][verdict] for verdict in ("reproduced", "partly", "not")]
        beaten = _listed([LABELS[rule] for rule in one["beats in mean and log ratio"]]) or "none"
        rows.append([f"`{one['preset']}`", one["units"], one["meta-steps"], one["best at"],
                     f"{one['training s']:.0f}", f"{one['mean']:.4f}", f"{one['median']:.4f}", beaten,
                     *counts])  # fmt: skip
    lines = [table(heads, rows), "", "Diagnoses (`optoscope diagnose`):", ""]
    lines += [f"- `{one['preset']}`: {one['diagnosis']}." for one in numbers.values()]
    claims = next(iter(numbers.values()))["verdicts"]
    differ = [claim for claim in claims if len({one["verdicts"][claim] for one in numbers.values()}) > 1]
    lines += ["", f"Claims about linear regression on which presets differ, {len(differ)} of {len(claims)}:", ""]
    rows = [[claim, *(one["verdicts"][claim] for one in numbers.values())] for claim in differ]
    return "\n".join([*lines, table(["claim", *(one["preset"] for one in numbers.values())], rows)])


def speed_table() -> str:
    """What `python -m benchmarks` measured."""
    steps, analysis, startup = numbers_of("meta_step"), numbers_of("analysis"), numbers_of("startup")
    rows = []
    for size, row in steps.items():
        if isinstance(row, dict):
            measured = (
                f"{row['ours ms']:.0f} ms, {row['times as fast']:.2f} times as fast as plain `vmap` + `scan` + "
                f"`checkpoint`; {row['share of SGEMM peak']:.0%} of the SGEMM peak"
            )
            rows.append([f"meta-gradient, {size}, 200 steps", measured])
    for name, value in analysis.items():
        if name.endswith(", s"):
            rows.append([name.removesuffix(", s"), f"{value:.2f} s"])
    for name, key in (
        ("`optoscope --help`", "help, s"),
        ("`import optoscope`, above `import jax`", "import optoscope, above jax, s"),
        ("the same, with every public name loaded", "import optoscope and touch every public name, above jax, s"),
    ):
        rows.append([name, f"{startup[key]:.2f} s"])
    return table(["what", "measured"], rows)


def networks_table() -> str:
    """Time, memory and share of the peak of meta-gradients of networks, and what they cost against their size."""
    numbers = numbers_of("networks")
    peak, plain = numbers["SGEMM peak GFLOP/s"], numbers["two moons, 20 steps, against plain"]
    heads = ["200 steps", "s", "ms per step and problem", "predicted peak, GB", "measured, GB", "of the SGEMM peak"]
    rows = []
    for name, row in numbers.items():
        if isinstance(row, dict) and "GFLOP/s" in row:
            cells = [row["s"], row["ms per step and problem"], row["predicted peak GB"], row["measured peak GB"]]
            rows.append([name, *cells, f"{row['GFLOP/s'] / peak:.0%}"])
    costs = []
    for varied, points in numbers["cost of a meta-gradient"].items():
        sizes, times = [one[varied] for one in points], [one["s"] for one in points]
        shares = [f"{times[i] / sizes[i] / (times[0] / sizes[0]):.2f}" for i in range(len(points))]
        costs.append([varied, *(", ".join(map(str, row)) for row in (sizes, times, shares))])
    lines = [
        table(heads, rows),
        f"Two moons, 20 steps, 8 problems: {plain['times as fast']} times as fast as `vmap` + `scan` + `checkpoint` + "
        "autodiff, both with one state kept per step.",
        table(["cost against", "sizes", "s", "s per size, over that of the smallest"], costs),
    ]
    return "\n\n".join(lines)


def ways_table() -> str:
    """Time that each way of meta-training took to the plain run's best validation score."""
    found_by_task = numbers_of("ways")
    machines = _listed(sorted({found["machine"] for found in found_by_task.values()}))
    rows = []
    for task, found in found_by_task.items():
        for way, row in found["ways"].items():
            reached = row["s to that score"]
            reached = "not reached" if reached is None else f"{reached:.0f}"
            score = f"{row['best validation']:.4f}"
            rows.append([label_of(task), way, reached, f"{row['s in all']:.0f}", score])
    heads = ["task", "way", "s to its score", "s in all", "best validation"]
    return f"On {machines}:\n\n{table(heads, rows)}"


def shipped_table() -> str:
    """The command, time and machine that made each optimizer that ships."""
    commands = {recipe.name: recipe.command for recipe in RECIPES}
    heads = ["optimizer", "command", "score on validation or tuning problems", "seconds", "made on"]
    rows = []
    for name in artifacts.shipped():
        one = artifacts.load(name)
        if isinstance(one, artifacts.TrainedOptimizer):
            command = f"optoscope train {one.task} --preset {one.preset} --seed {one.seed} --out DIR"
            score = one.metrics["best_validation"]
            taken = f"{one.metrics['seconds'] + one.metrics.get('seconds_of_start', 0.0):.0f}"
        else:
            command, score, taken = commands[name], one.scores[one.winner], "-"
        made = f"{one.provenance['machine']}, {one.provenance['made'][:10]}"
        rows.append([name, f"`{command}`", f"{score:.4g}", taken, made])
    return table(heads, rows)
