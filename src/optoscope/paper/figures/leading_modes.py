"""Momentum inside a learned optimizer: Figs. 3 and 8."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from optoscope.anatomy import Dossier, ModeShift
from optoscope.figures.style import (
    COLORS,
    DISPLACEMENTS,
    FAINT,
    SOFT,
    add_colorbar,
    add_inset,
    in_sentence,
    numbers_of,
    sentence,
)
from optoscope.paper.figures._sheet import sheet
from optoscope.paper.figures._state_space import (
    axis_label,
    describe,
    draw_landmarks,
    draw_spectrum,
    draw_visited,
    project,
)
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.study import Study
from optoscope.running import Visits


def draw_convergence(dossier: Dossier, axes: Axes, *, num_runs: int = 4) -> dict[str, Artist]:
    """Draw some runs to the convergence point, and the line along the leading mode on which panel b's curves lie."""
    artists = draw_visited(dossier, axes)
    for i, run in enumerate(project(dossier, dossier.visits.states[:num_runs])):
        artists[f"run {i + 1}"] = axes.plot(*run.T, color=SOFT, linewidth=0.5, alpha=0.7, zorder=2)[0]
    points = project(dossier, dossier.shift.states)
    axes.plot(*points[[0, -1]].T, color=FAINT, linewidth=1.0, zorder=4)
    artists["states along the mode"] = axes.scatter(
        *points.T, c=dossier.shift.displacements, cmap=DISPLACEMENTS, s=24, edgecolor="white", linewidth=0.5, zorder=6
    )
    artists |= draw_landmarks(dossier, axes)
    artists["initial state"].set(sizes=[22])
    return artists


def draw_total_variance(visits: Visits, axes: Axes) -> dict[str, Artist]:
    """Draw the variance of states across runs over iterations, as a share of its largest value, as a small inset."""
    share = visits.total_variance / visits.total_variance.max()
    line = axes.plot(share, color=COLORS["learned"], linewidth=1.0)[0]
    axes.set(xlim=(0, len(share)), ylim=(0, 1.05), xticks=[0, len(share)], yticks=[0, 1])
    axes.set_yticklabels(["0", "max"])
    return {"share of the largest total variance": line}


def add_variance_inset(dossier: Dossier, axes: Axes) -> dict[str, Artist]:
    """Place the inset of the total variance where a panel is emptiest."""
    states = project(dossier, dossier.visits.states).reshape(-1, 2)
    points = np.concatenate([states, project(dossier, dossier.shift.states)])
    return draw_total_variance(dossier.visits, add_inset(axes, points, "Total variance"))


def draw_shift(shift: ModeShift, axes: Axes) -> dict[str, Artist]:
    """Draw the update functions at states along a mode: momentum shifts them up and down."""
    axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.7, zorder=0)
    shades = DISPLACEMENTS(np.linspace(0, 1, len(shift.displacements)))
    lines = [axes.plot(shift.gradients, dx, color=color)[0] for dx, color in zip(shift.updates, shades, strict=True)]
    axes.set_xlim(shift.gradients[0], shift.gradients[-1])
    axes.locator_params(axis="x", nbins=5)
    return {f"displacement {at:.3g}": line for at, line in zip(shift.displacements, lines, strict=True)}


def figure_3(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw momentum in one optimizer: its states, the shift of its update function, its spectrum."""
    return _momentum(study, tasks, single={"height": 2.35, "width_ratios": [1, 1, 1.28]})


def figure_8(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw momentum in each task's optimizer, one column per task."""
    return _momentum(study, tasks, single=None)


def _momentum(study: Study, tasks: Sequence[str], *, single: dict[str, Any] | None) -> Drawn:
    page = sheet(3, len(tasks), single=single, height=7.4, narrowest=3.2)
    numbers, summary = {}, {}
    for j, task in enumerate(tasks):
        dossier = study.dossiers[task]
        top, middle, bottom = page.panels[:, j]
        artists = draw_convergence(dossier, top)
        x, y = (axis_label(dossier, i) for i in (0, 1))
        page.dress(0, j, task, top, title="States", x=x, y=y)
        numbers[page.key("a", task)] = numbers_of(top, artists)
        inset = add_variance_inset(dossier, top)
        axes: Any = inset["share of the largest total variance"].axes
        numbers[page.key("a, inset", task)] = numbers_of(axes, inset)
        artists = draw_shift(dossier.shift, middle)
        page.dress(1, j, task, middle, title="Along the leading mode", x="Gradient g", y="Update Δx")
        numbers[page.key("b", task)] = numbers_of(middle, artists)
        artists = draw_spectrum(dossier.modes, dossier.untrained_modes, bottom)
        page.dress(2, j, task, bottom, title="Eigenvalues", x="Re β", y="Im β")
        add_colorbar(artists["decays"], bottom, "Learning rate |α|")
        numbers[page.key("c", task)] = numbers_of(bottom, artists)
        summary[task] = _summary(dossier)
    sentences = "; ".join(
        f"{in_sentence(task)}: leading β = {describe(one['decay'])} with α = {describe(one['learning rate'])}, along "
        f"which the offset goes from {one['offsets'][0]:.2g} to {one['offsets'][1]:.2g} and the slope stays within "
        f"{one['slopes'][0]:.2g} to {one['slopes'][1]:.2g}, the total variance falls to {one['variance left']:.2%} of "
        f"its largest value, attracting fixed points found: {one['fixed points that attract']}"
        for task, one in summary.items()
    )
    where = page.where
    return Drawn(
        "Momentum",
        page.figure,
        {"summary": summary, "panels": numbers},
        f"{where[0]}: states of runs (gray) around the fixed point where they come to rest (square); the "
        f"inset shows their total variance over iterations. {where[1]}: update functions at states displaced along "
        f"the leading mode (dots of the same colors). {where[2]}: eigenvalues of the trained network at that point, "
        f"colored by learning rate, over those of the untrained one (light gray). {sentence(sentences)}",
    )


def _summary(dossier: Dossier) -> dict:
    return {
        "decay": complex(dossier.modes.decays[0]),
        "learning rate": complex(dossier.modes.learning_rates[0]),
        "offsets": dossier.shift.offsets[[0, -1]].tolist(),
        "slopes": [float(dossier.shift.learning_rates.min()), float(dossier.shift.learning_rates.max())],
        "variance left": dossier.visits.variance_left,
        "fixed points that attract": int(dossier.resting.attracting.sum()),
    }
