"""What each mechanism is worth: effects of interventions with their intervals, beside controls and baselines."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from optoscope.figures._save import save_named
from optoscope.figures.style import (
    COLORS,
    FAINT,
    INK,
    PAGE,
    SOFT,
    dress,
    house_style,
    in_sentence,
    lay_out,
    new_figure,
)
from optoscope.interventions import Ablation

#: Colors by what was done: removed, alone, several together; controls and baselines recede.
_KINDS = {
    "removed": "#a81e12",
    "alone": COLORS["learned"],
    "together": "#00705c",
    "control": SOFT,
    "baseline": COLORS["momentum"],
}
_WORDS = {
    "removed": "removed",
    "alone": "alone",
    "together": "several together",
    "control": "control",
    "baseline": "baseline",
}
_ROW = 0.155


def rows_of(ablation: Ablation) -> list[tuple[str, int | None]]:
    """Return what stands in each row, from the top: a heading (no index), or a variant and its index.

    Each mechanism has its removals, the controls beside them and what there is of it alone; then combinations, general
    controls and baselines.
    """
    rows: list[tuple[str, int | None]] = []
    placed = {0}
    for entry in ablation.verdicts:
        mechanism = entry["mechanism"]
        own = [i for i, other in enumerate(ablation.mechanisms) if other == mechanism]
        enough = entry["sufficient"] if not entry["needed"] else entry["sufficient"] and f"alone {entry['sufficient']}"
        verdict = ", ".join(part for part in (entry["needed"], enough) if part)
        if not own:
            rows.append((f"{mechanism}: {entry['needed']}", None))
            continue
        rows.append((f"{mechanism} ({verdict})" if verdict else mechanism, None))
        order = list(_KINDS)
        rows += [(ablation.names[i], i) for i in sorted(own, key=lambda i: order.index(ablation.kinds[i]))]
        placed |= set(own)
    rows.append(("beside them", None))
    rows += [(name, i) for i, name in enumerate(ablation.names) if i not in placed]
    return rows


def draw_ablation(ablation: Ablation, axes: Axes) -> dict[str, Artist]:
    """Draw the effect of each variant on the meta-objective as a ratio to its reference's, with 95% intervals.

    Filled points and bars: with the best scale of all updates; open points: with updates as they are. A star stands at
    variants whose reference is not the optimizer itself.

    Returns:
        The artists: `as it is`, `rescaled`, and one line per interval.
    """
    rows = rows_of(ablation)
    shown = [(y, i) for y, (_, i) in enumerate(rows) if i is not None]
    y, index = np.array([y for y, _ in shown]), np.array([i for _, i in shown])
    colors = [_KINDS[ablation.kinds[i]] for i in index]
    artists: dict[str, Artist] = {}
    axes.axvspan(np.exp(-ablation.margin), np.exp(ablation.margin), color=FAINT, alpha=0.5, linewidth=0, zorder=0)
    axes.axvline(1.0, color=INK, linewidth=0.7, zorder=1)
    for height, i, color in zip(y, index, colors):
        bounds = np.exp(ablation.rescaled_log_ratio_intervals[i])
        artists[f"interval: {ablation.names[i]}"] = axes.plot(
            bounds, [height, height], color=color, linewidth=1.6, solid_capstyle="butt", zorder=3
        )[0]
    artists["as it is"] = axes.scatter(
        np.exp(ablation.log_ratios[index]), y, s=11, facecolor="white", edgecolor=colors, linewidth=0.7, zorder=2
    )
    artists["rescaled"] = axes.scatter(np.exp(ablation.rescaled_log_ratios[index]), y, s=14, color=colors, zorder=4)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(LogFormatter(labelOnlyBase=True))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    starred = lambda i: ablation.references[i] != ablation.names[0]
    axes.set_yticks(range(len(rows)), [n if i is None else f"{n}{' *' * starred(i)}   " for n, i in rows])
    for (_, i), label in zip(rows, axes.get_yticklabels()):
        label.set_fontweight("bold" if i is None else "normal")
        label.set_fontsize(6.3)
        label.set_color(INK if i is None else _KINDS[ablation.kinds[i]])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for height, (_, i) in enumerate(rows):
        if i is None and height:
            axes.axhline(height - 0.5, color=FAINT, linewidth=0.5, zorder=0)
    return artists


def ablation_figure(ablation: Ablation) -> tuple[Figure, dict[str, Any]]:
    """Draw an ablation on a canvas of its own.

    Returns:
        The figure, and the numbers drawn: for each row its label, kind, mechanism and scale, and both ratios.
    """
    from matplotlib.lines import Line2D

    with house_style():
        rows = rows_of(ablation)
        figure = new_figure(PAGE, 1.1 + _ROW * len(rows))
        axes = figure.subplots()
        draw_ablation(ablation, axes)
        others = dict.fromkeys(name for name in ablation.references if name != ablation.names[0])
        dress(
            axes,
            title=f"Interventions on the optimizer of {in_sentence(ablation.task)}",
            x="Meta-objective, relative to the intact optimizer's"
            + (f"\n* to that of: {', '.join(others)}" if others else ""),
        )
        kinds = [kind for kind in _KINDS if kind in ablation.kinds]
        handles = [Line2D([], [], color=_KINDS[k], marker="o", markersize=3.5, label=_WORDS[k]) for k in kinds]
        handles.append(
            Line2D([], [], color=SOFT, marker="o", markersize=3.5, markerfacecolor="white", linewidth=0,
                   label="without rescaling")
        )  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        lay_out(figure)
    return figure, {"rows": [_numbers(ablation, i) for _, i in rows if i is not None]}


def save_ablation_figure(ablation: Ablation, directory: str | Path) -> list[Path]:
    """Write `ablation.png`, `ablation.svg`, and `ablation.json` with the numbers drawn and the verdicts.

    Args:
        ablation: what to draw.
        directory: made if it is not there.

    Returns:
        The three paths.
    """
    figure, numbers = ablation_figure(ablation)
    return save_named(figure, summary(ablation) | numbers, directory, "ablation")


def summary(ablation: Ablation) -> dict[str, Any]:
    """Return an ablation's verdicts and settings as JSON data, without its runs."""
    return {
        "task": ablation.task,
        "verdicts": ablation.verdicts,
        "best baseline": ablation.best_baseline,
        "controls that change nothing are identical": ablation.identical,
        "smallest ratio that counts": float(np.exp(ablation.margin)),
        "notes": ablation.notes,
        "provenance": ablation.provenance,
    }


def _numbers(ablation, i):
    return {
        "name": ablation.names[i],
        "mechanism": ablation.mechanisms[i],
        "kind": ablation.kinds[i],
        "reference": ablation.references[i],
        "scale": ablation.scales[i],
        "ratio as it is": np.exp(ablation.log_ratios[i]),
        "interval as it is": np.exp(ablation.log_ratio_intervals[i]),
        "ratio rescaled": np.exp(ablation.rescaled_log_ratios[i]),
        "interval rescaled": np.exp(ablation.rescaled_log_ratio_intervals[i]),
        "difference rescaled": ablation.rescaled_differences[i],
        "difference interval rescaled": ablation.rescaled_difference_intervals[i],
        "share of the advantage kept": ablation.kept[i],
        "diverged": ablation.num_diverged[i],
    }
