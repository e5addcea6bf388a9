"""A distilled optimizer beside what it stands for: fidelity and objective against size, and update functions."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optoscope._core.files import write_whole
from optoscope.distillation import Distilled
from optoscope.figures._save import save_named
from optoscope.figures.style import COLORS, INK, PAGE, SOFT, dress, house_style, lay_out, new_figure, numbers_of

_DISTILLED = "#a81e12"


def _for_objective(distilled: Distilled) -> np.ndarray:
    """Which sizes were made to do as well as the source."""
    return np.array(distilled.aims) == "objective"


def draw_objectives(distilled: Distilled, axes: Axes) -> dict[str, Artist]:
    """Draw mean and median meta-objectives on test problems against the number of constants.

    The source's mean and the best baseline's are horizontal lines; the chosen size is ringed.
    """
    own = _for_objective(distilled)
    x, rows = distilled.num_numbers[own], distilled.objectives[2:][own]
    finite = lambda values: np.where(np.isfinite(values), values, np.nan)
    means, medians = finite(rows.mean(1)), finite(np.median(rows, 1))
    artists: dict[str, Artist] = {
        "mean": axes.plot(x, means, color=_DISTILLED, marker="o", markersize=3.5, label="formula, mean")[0],
        "median": axes.plot(x, medians, color=SOFT, marker="o", markersize=2.5, label="formula, median")[0],
        "source": axes.axhline(distilled.objectives[0].mean(), color=COLORS["learned"], label="learned, mean"),
        "chosen": axes.scatter(
            x[distilled.chosen : distilled.chosen + 1], means[distilled.chosen : distilled.chosen + 1],
            s=70, facecolor="none", edgecolor=INK, zorder=5, label="chosen",
        ),
    }  # fmt: skip
    if distilled.baseline:
        artists["baseline"] = axes.axhline(
            distilled.objectives[1].mean(), color=COLORS["momentum"], linestyle="--", label="best baseline, mean"
        )
    axes.set_yscale("log")
    return artists


def draw_fidelity(distilled: Distilled, axes: Axes) -> dict[str, Artist]:
    """Draw R2 of updates against the number of constants: fed with the same gradients, and running by itself."""
    own = _for_objective(distilled)
    x = distilled.num_numbers[own]
    running = np.where(np.isfinite(distilled.running_r2), distilled.running_r2, np.nan)[own]
    artists: dict[str, Artist] = {
        "one step": axes.plot(
            x, distilled.one_step_r2[own], color=_DISTILLED, marker="o", markersize=3.5, label="one step"
        )[0],
        "running": axes.plot(x, running, color=SOFT, marker="o", markersize=2.5, label="running by itself")[0],
    }
    if not own.all():
        artists["most faithful"] = axes.plot(
            distilled.num_numbers[~own], distilled.one_step_r2[~own], color=COLORS["learned"], marker="s", markersize=3,
            label="one step, most faithful",
        )[0]  # fmt: skip
    axes.set_ylim(max(-1.0, min(-0.05, np.nanmin(distilled.one_step_r2))), 1.05)
    axes.axhline(1.0, color=INK, linewidth=0.5)
    return artists


def draw_update_functions(distilled: Distilled, axes: Axes) -> dict[str, Artist]:
    """Draw the update against the gradient at several moments of a run: learned (lines) and formula (dashes)."""
    artists: dict[str, Artist] = {}
    shades = np.linspace(0.35, 1.0, len(distilled.moments))
    for j, (moment, shade) in enumerate(zip(distilled.moments, shades)):
        for i, (name, color, style) in enumerate((("learned", COLORS["learned"], "-"), ("formula", _DISTILLED, "--"))):
            artists[f"{name}, iteration {moment}"] = axes.plot(
                distilled.gradients, distilled.update_functions[i, j], color=color, linestyle=style, alpha=float(shade),
                linewidth=1.2, label=name if j == len(distilled.moments) - 1 else None,
            )[0]  # fmt: skip
    return artists


def distillation_figure(distilled: Distilled) -> tuple[Figure, dict[str, Any]]:
    """Draw a distillation on a canvas of its own.

    Returns:
        The figure and the numbers drawn, with the result's summary.
    """
    with house_style():
        figure = new_figure(PAGE, 2.7)
        panels = figure.subplots(1, 3)
        drawn = {}
        words = (
            ("Meta-objective", "Numbers in the formula", "Meta-objective"),
            ("Fidelity", "Numbers in the formula", "R2 of updates"),
            ("Update functions", "Gradient", "Update"),
        )
        for axes, letter, draw, (title, x, y) in zip(
            panels, "abc", (draw_objectives, draw_fidelity, draw_update_functions), words
        ):
            artists = draw(distilled, axes)
            dress(axes, letter=letter, title=title, x=x, y=y)
            axes.legend(loc="best")
            lines = {name: artist for name, artist in artists.items() if name not in ("source", "baseline")}
            drawn[letter] = numbers_of(axes, lines)
        lay_out(figure)
    return figure, {"summary": distilled.to_json(), "panels": drawn}


def save_distillation_figure(distilled: Distilled, directory: str | Path) -> list[Path]:
    """Write `distillation.png`, `.svg`, and `.json` with the numbers drawn, and both formulas as text and in LaTeX."""
    figure, numbers = distillation_figure(distilled)
    written = save_named(figure, numbers, directory, "distillation")
    for name, index in (("formula", distilled.chosen), ("faithful_formula", distilled.faithful)):
        formula = distilled.formula(index)
        for ending, text in ((".txt", formula.text()), (".tex", formula.latex())):
            write_whole(Path(directory) / f"{name}{ending}", f"{text}\n".encode())
            written.append(Path(directory) / f"{name}{ending}")
    return written
