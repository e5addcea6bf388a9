"""Learning-rate schedules that run by themselves: Figs. 5 and 11."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from optoscope.anatomy import Dossier
from optoscope.dynamics import AutonomousTrajectory
from optoscope.figures.style import (
    COLORS,
    ROW,
    SOFT,
    in_sentence,
    label_of,
    numbers_of,
)
from optoscope.paper.figures._sheet import sheet
from optoscope.paper.figures._state_space import axis_label, draw_landmarks, draw_visited, project
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.study import Study


def draw_autonomous(dossier: Dossier, axes: Axes) -> dict[str, Artist]:
    """Draw a run without gradients, among fixed points (gray circles) and states visited with gradients."""
    artists = draw_visited(dossier, axes)
    converged = project(dossier, dossier.resting.states[dossier.resting.converged])
    artists["fixed points"] = axes.scatter(
        *converged.T, s=85, facecolor="none", edgecolor=SOFT, linewidth=0.9, zorder=4, label="fixed points"
    )
    run = project(dossier, dossier.autonomous.states)
    artists["autonomous run"] = axes.plot(
        *run.T,
        color=COLORS["learned"],
        marker="o",
        markersize=1.8,
        linewidth=1.3,
        zorder=5,
        label="run without gradients",
    )[0]
    return artists | draw_landmarks(dossier, axes)


def draw_learning_rates(autonomous: AutonomousTrajectory, tuned: float | None, axes: Axes) -> dict[str, Artist]:
    """Draw the effective learning rate over iterations, with tuned momentum's as a dashed line."""
    steps = np.arange(len(autonomous.learning_rates))
    artists: dict[str, Artist] = {
        "learning rate": axes.plot(
            steps, autonomous.learning_rates, color=COLORS["learned"], linewidth=1.8, label="without gradients"
        )[0]
    }
    if tuned is not None:
        artists["tuned momentum"] = axes.axhline(
            tuned, color=COLORS["momentum"], linestyle="--", label="tuned momentum"
        )
    largest = max(autonomous.learning_rates.max(), tuned or 0)
    axes.set_xlim(0, steps[-1])
    axes.set_ylim(min(0, autonomous.learning_rates.min()), 1.1 * largest)
    return artists


def figure_5(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw the schedule of one optimizer."""
    return _schedules(study, tasks, single={"height": 2.7})


def figure_11(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw the schedule of each task's optimizer, one column per task."""
    return _schedules(study, tasks, single=None)


def _schedules(study: Study, tasks: Sequence[str], *, single: dict[str, Any] | None) -> Drawn:
    page = sheet(2, len(tasks), single=single, height=2 * ROW + 0.4, narrowest=3.4)
    numbers, summary = {}, {}
    for j, task in enumerate(tasks):
        dossier, tuned = study.dossiers[task], study.tuned_rate(task)
        top, bottom = page.panels[:, j]
        artists = draw_autonomous(dossier, top)
        x, y = (axis_label(dossier, i) for i in (0, 1))
        page.dress(0, j, task, top, title=f"{label_of(task)}: states", x=x, y=y)
        numbers[page.key("a", task)] = numbers_of(top, artists)
        artists = draw_learning_rates(dossier.autonomous, tuned, bottom)
        y = "" if j else "Effective learning rate"
        page.dress(1, j, task, bottom, title="Learning rate along that run", x="Iteration", y=y)
        numbers[page.key("b", task)] = numbers_of(bottom, artists)
        if j == 0:
            bottom.legend(loc="best")
        rates = dossier.autonomous.learning_rates
        summary[task] = {
            "first": rates[0],
            "largest": rates.max(),
            "largest at": int(rates.argmax()),
            "last": rates[-1],
            "tuned momentum": tuned,
            "largest drift": np.abs(dossier.autonomous.drift).max(),
        }
    page.align()
    page.figure.legend(
        *page.panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, markerscale=0.8
    )
    sentences = "; ".join(
        f"{in_sentence(task)}: {one['first']:.3g} at the start, largest {one['largest']:.3g} at step "
        f"{one['largest at']}, {one['last']:.3g} at the end"
        + (f", tuned momentum {one['tuned momentum']:.3g}" if one["tuned momentum"] is not None else "")
        for task, one in summary.items()
    )
    return Drawn(
        "Learning-rate schedules",
        page.figure,
        {"summary": summary, "panels": numbers},
        "The state without any gradient (blue), from its initial value (black circle), among the fixed points at g = 0 "
        "(gray rings; the square is the one where it comes to rest), and the slope of the update function on the way. "
        f"Effective learning rates, {sentences}.",
    )
