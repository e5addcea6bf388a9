"""Two optimizers under the same gradients: where they part, and by how much under each kind of gradients."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optoscope.figures._save import save_named
from optoscope.figures.style import (
    COLORS,
    FAINT,
    INK,
    PAGE,
    ROW,
    SOFT,
    dress,
    house_style,
    lay_out,
    new_figure,
    numbers_of,
)
from optoscope.mechanisms import Comparison

_FIRST, _SECOND = COLORS["learned"], COLORS["momentum"]
#: Steps that are drawn: from the first one, and some beyond the one at which the two part.
_SHOWN, _BEYOND = 24, 12
#: Smallest difference that is drawn.
_LEAST = 1e-17


def _steps(comparison: Comparison) -> np.ndarray:
    parted = 0 if comparison.first_step is None else comparison.first_step
    return np.arange(min(max(_SHOWN, parted + _BEYOND), len(comparison.probe_gradients)))


def draw_gradients(comparison: Comparison, axes: Axes) -> dict[str, Artist]:
    """Draw the gradients under which the two part first, or are least alike."""
    steps = _steps(comparison)
    values = comparison.probe_gradients[steps]
    axes.axhline(0, color=FAINT, linewidth=0.7)
    return {"gradients": axes.plot(steps + 1, values, color=SOFT, marker=".", linewidth=0.8)[0]}


def draw_updates(comparison: Comparison, axes: Axes) -> dict[str, Artist]:
    """Draw what the two make of them, and the step at which they part."""
    steps = _steps(comparison)
    artists: dict[str, Artist] = {}
    axes.axhline(0, color=FAINT, linewidth=0.7)
    for name, updates, color, marker in (
        ("first", comparison.first_updates, _FIRST, "o"),
        ("second", comparison.second_updates, _SECOND, "x"),
    ):
        style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 3.5, "linewidth": 0.9}
        artists[name] = axes.plot(steps + 1, updates[steps], label=name, **style)[0]
    if comparison.first_step is not None:
        artists["they part"] = axes.axvline(comparison.first_step, color=INK, linewidth=0.7, linestyle=":")
    return artists


def draw_differences(comparison: Comparison, axes: Axes) -> dict[str, Artist]:
    """Draw the largest relative difference of two updates under each kind of gradients."""
    kinds = list(comparison.difference)
    values = np.maximum(list(comparison.difference.values()), _LEAST)
    artists: dict[str, Artist] = {
        "difference": axes.plot(values, np.arange(len(kinds)), color=INK, marker="o", markersize=4, linestyle="")[0],
        "tolerance": axes.axvline(comparison.tolerance, color=SOFT, linewidth=0.8, linestyle="--"),
    }
    axes.set_xscale("log")
    axes.set_xlim(_LEAST, 10)
    axes.set_yticks(np.arange(len(kinds)), [kind.removeprefix("a ").removeprefix("an ") for kind in kinds])
    axes.invert_yaxis()
    return artists


def comparison_figure(comparison: Comparison) -> tuple[Figure, dict[str, Any]]:
    """Draw a comparison on a canvas of its own; returns the figure and the numbers drawn."""
    with house_style():
        figure = new_figure(PAGE, 1.15 * ROW)
        panels = figure.subplots(1, 3, gridspec_kw={"width_ratios": (1, 1.3, 1)})
        where = comparison.probe.capitalize() if comparison.probe else "Gradients"
        words = (
            (where, "Step", "Gradient"),
            ("Where they part" if comparison.first_step else "Updates, all the same", "Step", "Update"),
            ("Largest difference", "Relative difference", ""),
        )
        drawn = {}
        for axes, letter, draw, (title, x, y) in zip(
            panels, "abc", (draw_gradients, draw_updates, draw_differences), words
        ):
            artists = draw(comparison, axes)
            dress(axes, letter=letter, title=title, x=x, y=y)
            drawn[letter] = numbers_of(axes, artists)
        panels[1].legend(loc="best")
        lay_out(figure)
    return figure, {"summary": comparison.summary, "names": comparison.names, "panels": drawn}


def save_comparison_figure(comparison: Comparison, directory: str | Path) -> list[Path]:
    """Write `comparison_figure.png`, `.svg` and `.json` with the numbers drawn; returns their paths."""
    figure, numbers = comparison_figure(comparison)
    return save_named(figure, numbers, directory, "comparison_figure")
