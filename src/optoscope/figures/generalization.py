"""Optimizers away from home: what became of them, and what was predicted, as heat maps."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from optoscope.figures._save import save_named
from optoscope.figures.style import (
    INK,
    PAGE,
    add_colorbar,
    dress,
    house_style,
    label_of,
    lay_out,
    new_figure,
    numbers_of,
)
from optoscope.robustness.generalization import GeneralizationMatrix

#: Losses relative to the initial one that get the ends of the color scale.
_RANGE = (1e-3, 10.0)


def draw_matrix(
    matrix: GeneralizationMatrix, task: int, axes: Axes, *, horizon: int = -1, marks: bool = True
) -> dict[str, Artist]:
    """Draw the median meta-objective of each optimizer over scales of the gradient on one task.

    Args:
        matrix: the result.
        task: index of the task.
        axes: where.
        horizon: index of the horizon.
        marks: whether to mark failures (crosses) and cells predicted to fail by stability (rings).
    """
    values = matrix.medians[:, task, :, horizon]
    rows, columns = values.shape
    shown = np.clip(np.where(np.isfinite(values), values, _RANGE[1]), *_RANGE)
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    artists: dict[str, Artist] = {
        "median meta-objective": axes.pcolormesh(
            *edges,
            shown,
            norm=LogNorm(*_RANGE),
            cmap=matplotlib.colormaps["RdYlBu_r"],
            edgecolor="white",
            linewidth=0.6,
        )
    }
    if marks:
        y, x = np.nonzero(matrix.fails[:, task])
        artists["fails"] = axes.scatter(x, y, marker="x", s=16, color=INK, linewidth=0.9, zorder=3)
        y, x = np.nonzero(matrix.stable_ends[:, task] < 0.5)
        artists["predicted to fail"] = axes.scatter(
            x, y, marker="o", s=52, facecolor="none", edgecolor=INK, linewidth=0.7, zorder=3
        )
    axes.set_xticks(range(columns), [f"{scale:g}" for scale in matrix.scales])
    axes.set_yticks(range(rows), matrix.optimizers)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return artists


def generalization_figure(matrix: GeneralizationMatrix, *, horizon: int = -1) -> tuple[Figure, dict[str, Any]]:
    """Draw a matrix on a canvas of its own, one panel per task.

    Args:
        matrix: the result.
        horizon: index of the horizon whose meta-objective is colored.

    Returns:
        The figure, and the numbers drawn with the table of agreement.
    """
    with house_style():
        num_tasks = len(matrix.tasks)
        figure = new_figure(PAGE, 1.3 + 0.2 * len(matrix.optimizers))
        panels = figure.subplots(1, num_tasks, squeeze=False, sharey=True)[0]
        numbers, artists = {}, {}
        for j, (task, axes) in enumerate(zip(matrix.tasks, panels)):
            artists = draw_matrix(matrix, j, axes, horizon=horizon)
            dress(axes, letter="abcdefgh"[j], title=label_of(task), x="Factor of the gradient")
            numbers[task] = numbers_of(axes, artists)
        steps = int(matrix.horizons[horizon])
        add_colorbar(artists["median meta-objective"], list(panels), f"Median meta-objective, {steps} steps",
                     extend="both")  # fmt: skip
        handles = [artists["fails"], artists["predicted to fail"]]
        labels = ["most runs diverge or circle", "predicted to, by stability"]
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        lay_out(figure)
    agreement = [{**vars(one), "accuracy": one.accuracy} for one in matrix.agreement()]
    return figure, {"horizon": steps, "agreement": agreement, "panels": numbers}


def save_generalization_figure(matrix: GeneralizationMatrix, directory: str | Path) -> list[Path]:
    """Write `generalization.png`, `.svg`, and `.json` with the numbers drawn; returns the paths."""
    figure, numbers = generalization_figure(matrix)
    return save_named(figure, {**numbers, "provenance": matrix.provenance}, directory, "generalization")
