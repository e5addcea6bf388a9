"""What a whole optimizer's updates depend on: exponents as a heat map, and the leaks of its symmetries."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optoscope.figures._save import save_named
from optoscope.figures.style import INK, PAGE, SOFT, dress, house_style, lay_out, new_figure
from optoscope.whole import Structure

#: Exponents beyond this have its color.
_LIMIT = 2.0
#: Leaks below this are drawn at it.
_FLOOR = 1e-16


def draw_exponents(structure: Structure, axes: Axes) -> dict[str, Artist]:
    """Draw the table of exponents: rows are stimuli, columns what was doubled."""
    image = axes.imshow(structure.table, cmap="RdBu_r", vmin=-_LIMIT, vmax=_LIMIT, aspect="auto")
    for (i, j), value in np.ndenumerate(structure.table):
        if abs(value) >= 5e-4:
            color = "white" if abs(value) > 0.7 * _LIMIT else INK
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=5, color=color)
    axes.set_xticks(
        range(len(structure.factors)), [name.replace("_", " ") for name in structure.factors], rotation=60, ha="right"
    )
    axes.set_yticks(range(len(structure.stimuli)), structure.stimuli)
    return {"exponents": image}


def draw_symmetries(structure: Structure, axes: Axes) -> dict[str, Artist]:
    """Draw the leak of each symmetry; those that could not be tried have no bar."""
    names = list(structure.symmetries)
    leaks = np.array([structure.symmetries[name] for name in names], float)
    shown = np.maximum(np.nan_to_num(leaks, nan=_FLOOR), _FLOOR)
    bars = axes.barh(range(len(names)), shown, color=SOFT, left=_FLOOR / 10)
    axes.set_xscale("log")
    axes.set_xlim(_FLOOR, 10)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    return {"leaks": bars[0]}


def structure_figure(structure: Structure) -> tuple[Figure, dict[str, Any]]:
    """Draw a structure on a canvas of its own.

    Returns:
        The figure and the numbers drawn, with the summary.
    """
    with house_style():
        figure = new_figure(PAGE, 3.2)
        left, right = figure.subplots(1, 2, width_ratios=(2.2, 1))
        draw_exponents(structure, left)
        dress(left, letter="a", title="Octaves of the update", x="Doubled", y="")
        draw_symmetries(structure, right)
        dress(right, letter="b", title="Symmetries", x="Share that does not follow", y="")
        lay_out(figure)
    numbers = structure.to_json()
    kept = ("optimizer", "summary", "unit", "stimuli", "factors", "table", "symmetries", "thresholds")
    return figure, {name: numbers[name] for name in kept}


def save_structure_figure(structure: Structure, directory: str | Path) -> list[Path]:
    """Write `structure_figure.png`, `.svg`, and `.json` with the numbers drawn."""
    figure, numbers = structure_figure(structure)
    return save_named(figure, numbers, directory, "structure_figure")
