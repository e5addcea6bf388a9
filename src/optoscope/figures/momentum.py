"""Momentum inside a learned optimizer: Figs. 3 and 8."""

from collections.abc import Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from optoscope.anatomy import Dossier, ModeShift, Visits
from optoscope.figures._state_space import (
    axis_label,
    describe,
    draw_landmarks,
    draw_spectrum,
    draw_visited,
    project,
)
from optoscope.figures.style import (
    COLORS,
    DISPLACEMENTS,
    FAINT,
    PAGE,
    SOFT,
    Drawn,
    add_colorbar,
    add_inset,
    dress,
    in_sentence,
    label_of,
    new_figure,
    numbers_of,
    sentence,
)


def draw_convergence(anatomy: Dossier, axes: Axes, *, num_runs: int = 4) -> dict[str, Artist]:
    """Draw some runs to the convergence point, and the line along the leading mode on which panel b's curves lie."""
    artists = draw_visited(anatomy, axes)
    for i, run in enumerate(project(anatomy, anatomy.visits.states[:num_runs])):
        artists[f"run {i + 1}"] = axes.plot(*run.T, color=SOFT, linewidth=0.5, alpha=0.7, zorder=2)[0]
    points = project(anatomy, anatomy.shift.states)
    axes.plot(*points[[0, -1]].T, color=FAINT, linewidth=1.0, zorder=4)
    artists["states along the mode"] = axes.scatter(
        *points.T, c=anatomy.shift.displacements, cmap=DISPLACEMENTS, s=24, edgecolor="white", linewidth=0.5, zorder=6
    )
    artists |= draw_landmarks(anatomy, axes)
    artists["initial state"].set(sizes=[22])
    return artists


def draw_total_variance(visits: Visits, axes: Axes) -> dict[str, Artist]:
    """Draw the variance of states across runs over iterations, as a share of its largest value, as a small inset."""
    share = visits.total_variance / visits.total_variance.max()
    line = axes.plot(share, color=COLORS["learned"], linewidth=1.0)[0]
    axes.set(xlim=(0, len(share)), ylim=(0, 1.05), xticks=[0, len(share)], yticks=[0, 1])
    axes.set_yticklabels(["0", "max"])
    return {"share of the largest total variance": line}


def add_variance_inset(anatomy: Dossier, axes: Axes) -> dict[str, Artist]:
    """Place the inset of the total variance where a panel is emptiest."""
    states = project(anatomy, anatomy.visits.states).reshape(-1, 2)
    points = np.concatenate([states, project(anatomy, anatomy.shift.states)])
    return draw_total_variance(anatomy.visits, add_inset(axes, points, "Total variance"))


def draw_shift(shift: ModeShift, axes: Axes) -> dict[str, Artist]:
    """Draw the update functions at states along a mode: momentum shifts them up and down."""
    axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.7, zorder=0)
    shades = DISPLACEMENTS(np.linspace(0, 1, len(shift.displacements)))
    lines = [axes.plot(shift.gradients, dx, color=color)[0] for dx, color in zip(shift.updates, shades, strict=True)]
    axes.set_xlim(shift.gradients[0], shift.gradients[-1])
    axes.locator_params(axis="x", nbins=5)
    return {f"displacement {at:.3g}": line for at, line in zip(shift.displacements, lines, strict=True)}


def figure_3(anatomy: Dossier) -> Drawn:
    """Draw momentum in one optimizer: its states, the shift of its update function, its spectrum."""
    return _momentum(3, {anatomy.task_name: anatomy})


def figure_8(anatomies: Mapping[str, Dossier]) -> Drawn:
    """Draw momentum in each task's optimizer, one column per task."""
    return _momentum(8, anatomies)


def _momentum(number: int, anatomies: Mapping[str, Dossier]) -> Drawn:
    columns = len(anatomies)
    if number == 3:
        figure = new_figure(PAGE, 2.35)
        panels = figure.subplots(1, 3, width_ratios=[1, 1, 1.28]).reshape(3, 1)
    else:
        figure = new_figure(max(PAGE / 2 * columns, 3.2), 7.4)
        panels = figure.subplots(3, columns, squeeze=False)
    numbers, summary = {}, {}
    for j, (task, anatomy) in enumerate(anatomies.items()):
        top, middle, bottom = panels[:, j]
        name = label_of(task)
        artists = draw_convergence(anatomy, top)
        x, y = (axis_label(anatomy, i) for i in (0, 1))
        dress(top, letter="a" if number == 3 else "abcdefgh"[j], title="States" if number == 3 else name, x=x, y=y)
        key = (lambda panel, task=task: panel) if number == 3 else (lambda panel, task=task: f"{task}, {panel}")
        numbers[key("a")] = numbers_of(top, artists)
        inset = add_variance_inset(anatomy, top)
        numbers[key("a, inset")] = numbers_of(inset["share of the largest total variance"].axes, inset)  # type: ignore
        artists = draw_shift(anatomy.shift, middle)
        dress(middle, letter="b" * (number == 3), title="Along the leading mode" * (number == 3), x="Gradient g",
              y="Update Δx")  # fmt: skip
        numbers[key("b")] = numbers_of(middle, artists)
        artists = draw_spectrum(anatomy.modes, anatomy.untrained_modes, bottom)
        dress(bottom, letter="c" * (number == 3), title="Eigenvalues" * (number == 3), x="Re β", y="Im β")
        add_colorbar(artists["decays"], bottom, "Learning rate |α|")
        numbers[key("c")] = numbers_of(bottom, artists)
        summary[task] = _summary(anatomy)
    sentences = "; ".join(
        f"{in_sentence(task)}: leading β = {describe(one['decay'])} with α = {describe(one['learning rate'])}, along "
        f"which the offset goes from {one['offsets'][0]:.2g} to {one['offsets'][1]:.2g} and the slope stays within "
        f"{one['slopes'][0]:.2g} to {one['slopes'][1]:.2g}, the total variance falls to {one['variance left']:.2%} of "
        f"its largest value, attracting fixed points found: {one['fixed points that attract']}"
        for task, one in summary.items()
    )
    where = ("Left", "Middle", "Right") if number == 3 else ("Top", "Middle row", "Bottom")
    return Drawn(
        number,
        "Momentum",
        figure,
        {"summary": summary, "panels": numbers},
        f"{where[0]}: states of runs (gray) around the fixed point where they come to rest (square); the "
        f"inset shows their total variance over iterations. {where[1]}: update functions at states displaced along "
        f"the leading mode (dots of the same colors). {where[2]}: eigenvalues of the trained network at that point, "
        f"colored by learning rate, over those of the untrained one (light gray). {sentence(sentences)}",
    )


def _summary(anatomy: Dossier) -> dict:
    return {
        "decay": complex(anatomy.modes.decays[0]),
        "learning rate": complex(anatomy.modes.learning_rates[0]),
        "offsets": anatomy.shift.offsets[[0, -1]].tolist(),
        "slopes": [float(anatomy.shift.learning_rates.min()), float(anatomy.shift.learning_rates.max())],
        "variance left": anatomy.visits.variance_left,
        "fixed points that attract": int(anatomy.resting.attracting.sum()),
    }
