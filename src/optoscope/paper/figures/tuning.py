"""Where the tuned optimizers lie among all settings tried: Figs. 18 and 19."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D

from optoscope.artifacts import TunedOptimizer
from optoscope.figures.style import (
    FAINT,
    PAGE,
    ROW,
    SCORES,
    SOFT,
    add_colorbar,
    dress,
    in_sentence,
    label_of,
    new_figure,
    numbers_of,
)
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.study import Study

_RING = "#d6201f"
_DECAYS = {"momentum": "1 − β", "rmsprop": "1 − γ", "nesterov_momentum": "1 − β"}


def draw_samples(tuned: TunedOptimizer, pair: tuple[int, int], norm: Normalize, axes: Axes) -> dict[str, Artist]:
    """Draw every setting by two of its hyperparameters, colored by score, best on top; the winner is ringed.

    A decay is drawn as its distance to 1. Crosses are settings that diverged.
    """
    points = np.column_stack([_coordinate(tuned, i) for i in pair])
    finite = np.isfinite(tuned.scores)
    order = np.flatnonzero(finite)[np.argsort(-tuned.scores[finite], kind="stable")]
    artists: dict[str, Artist] = {
        "diverged": axes.scatter(
            *points[~finite].T, marker="x", s=3, color=FAINT, linewidth=0.4, rasterized=True, zorder=1
        ),
        "settings": axes.scatter(
            *points[order].T, c=tuned.scores[order], cmap=SCORES, norm=norm, s=4, linewidth=0, rasterized=True, zorder=2
        ),
        "winner": axes.scatter(
            *points[tuned.winner], s=70, facecolor="none", edgecolor="white", linewidth=2.4, zorder=3
        ),
    }  # fmt: skip
    axes.scatter(*points[tuned.winner], s=70, facecolor="none", edgecolor=_RING, linewidth=1.2, zorder=4)
    axes.set(xscale="log", yscale="log")
    for i, set_limits in zip(pair, (axes.set_xlim, axes.set_ylim)):
        low, high = tuned.ranges[i]
        set_limits(*((low, high) if tuned.scales[i] == "log" else (1 - high, 1 - low)))
    return artists


def figure_18(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw all settings of each rule on one task."""
    return tuning_figure(tasks[0], study.tuned[tasks[0]])


#: The same for each of the paper's tasks.
figure_19 = figure_20 = figure_21 = figure_18


def tuning_figure(task: str, tuned: Mapping[str, TunedOptimizer]) -> Drawn:
    """Draw all settings of each rule on one task, one panel per pair of hyperparameters (a rule with one has none).

    Args:
        task: the task's name.
        tuned: rule -> tuned optimizer.
    """
    panels = [(rule, pair) for rule, one in tuned.items() for pair in combinations(range(len(one.names)), 2)]
    columns = min(3, len(panels))
    places = _places([rule for rule, _ in panels], columns)
    rows = places[-1][0] + 1
    figure = new_figure(PAGE, rows * ROW + 0.2)
    grid = figure.subplots(rows, columns, squeeze=False)
    scores = np.concatenate([one.scores[np.isfinite(one.scores)] for one in tuned.values()])
    best = float(scores.min())
    norm = LogNorm(best, max(1.0, 2 * best), clip=True)
    colors = ScalarMappable(norm, SCORES)
    numbers = {}
    for letter, (rule, pair), place in zip("abcdefgh", panels, places):
        axes = grid[place]
        artists = draw_samples(tuned[rule], pair, norm, axes)
        x, y = (_label(rule, tuned[rule].names[i]) for i in pair)
        dress(axes, letter=letter, title=label_of(rule), x=x, y=y)
        numbers[letter] = numbers_of(axes, artists)
    unused = [grid[i, j] for i in range(rows) for j in range(columns) if (i, j) not in places]
    for axes in unused:
        axes.set_axis_off()
    label = "Meta-objective (purple is best)"
    if unused:
        slot = unused[0].inset_axes((0.05, 0.62, 0.9, 0.08))
        bar = figure.colorbar(colors, cax=slot, orientation="horizontal", extend="max", label=label)
        bar.outline.set_linewidth(0.5)
        _few_ticks(bar, norm)
        unused[0].legend(*_key(), loc="lower center", bbox_to_anchor=(0.5, 0.0))
    else:
        _few_ticks(add_colorbar(colors, list(grid.ravel()), label, extend="max"), norm)
    summary = {
        rule: {
            **dict(zip(one.names, one.samples[one.winner].tolist())),
            "score of the best, in the last stage": one.score,
            "diverged": int((~np.isfinite(one.scores)).sum()),
            "samples": len(one.scores),
        }
        for rule, one in tuned.items()
    }
    sentences = "; ".join(
        f"{label_of(rule)} {', '.join(f'{name} {summary[rule][name]:.4g}' for name in one.names)} with "
        f"{summary[rule]['score of the best, in the last stage']:.3g}"
        for rule, one in tuned.items()
    ).replace("_", " ")
    return Drawn(
        f"Hyperparameters on {in_sentence(task)}",
        figure,
        {"summary": summary, "panels": numbers},
        "Every setting tried, colored by its mean meta-objective (one scale for all rules; gray crosses diverged), "
        f"and the winner (red ring), chosen on fresh problems: {sentences}.",
    )


def _few_ticks(bar: Colorbar, norm: Normalize) -> None:
    """Ticks at the ends and in the middle: on a logarithmic axis of less than a decade more of them overlap."""
    assert norm.vmin is not None and norm.vmax is not None
    ticks = np.geomspace(norm.vmin, norm.vmax, 3)
    bar.set_ticks(ticks.tolist(), labels=[f"{tick:.2g}" for tick in ticks])
    bar.minorticks_off()


def _key() -> tuple[list[Line2D], list[str]]:
    ring = Line2D([], [], linestyle="", marker="o", markersize=8, markerfacecolor="none", markeredgecolor=_RING)
    cross = Line2D([], [], linestyle="", marker="x", markersize=4, color=SOFT)
    return [ring, cross], ["winner on fresh problems", "diverged"]


def _places(rules: list[str], columns: int) -> list[tuple[int, int]]:
    """Row and column of each panel: the panels of one rule stay in one row where they fit."""
    places, row, column = [], 0, 0
    for i, rule in enumerate(rules):
        same = rules.count(rule)
        if column and (column >= columns or (rule not in rules[:i] and column + same > columns)):
            row, column = row + 1, 0
        places.append((row, column))
        column += 1
    return places


def _coordinate(tuned: TunedOptimizer, index: int) -> np.ndarray:
    values = tuned.samples[:, index]
    return values if tuned.scales[index] == "log" else 1 - values


def _label(rule: str, name: str) -> str:
    return _DECAYS.get(rule, "1 − decay") if name == "decay" else label_of(name)
