"""Learning rates that fall with the gradient, along the S-curve: Figs. 6 and 12."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from optoscope.anatomy import Dossier
from optoscope.dynamics import Branch
from optoscope.figures.style import (
    COLORS,
    FAINT,
    GRADIENTS,
    INK,
    NEGATIVE,
    POSITIVE,
    SOFT,
    add_colorbar,
    in_sentence,
    numbers_of,
    symmetric_norm,
)
from optoscope.paper.figures._sheet import sheet
from optoscope.paper.figures._state_space import PLANE, axis_label, draw_landmarks, draw_visited, project
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.study import Study


def draw_s_curve(dossier: Dossier, axes: Axes, *, plane: tuple[int, int] = PLANE) -> dict[str, Artist]:
    """Draw fixed points over constant gradients, colored by the gradient, in the plane of two principal components.

    Rings mark the states of panel b; crosses mark points that do not attract.
    """
    branch = dossier.branch
    points = project(dossier, branch.states, plane)
    artists = draw_visited(dossier, axes, plane)
    axes.plot(*points.T, color=SOFT, linewidth=0.7, zorder=2)
    artists["fixed points"] = axes.scatter(
        *points.T,
        c=branch.gradients,
        cmap=GRADIENTS,
        norm=symmetric_norm(branch.gradients, decades=2.0),
        s=9,
        linewidth=0,
        zorder=4,
    )
    if not branch.attracting.all():
        artists["not attracting"] = axes.scatter(
            *points[~branch.attracting].T, marker="x", s=10, color=INK, linewidth=0.6, zorder=5
        )
    artists["states of the update functions"] = axes.scatter(
        *project(dossier, dossier.branch_updates.states, plane).T, s=34, facecolor="none", edgecolor=INK, linewidth=0.8,
        zorder=6,
    )  # fmt: skip
    return artists | draw_landmarks(dossier, axes, plane)


def draw_branch_updates(dossier: Dossier, axes: Axes) -> dict[str, Artist]:
    """Draw the update functions at states along the positive arm, up to the gradients that matter for their slope."""
    result, at = dossier.branch_updates, branch_gradients(dossier)
    axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.7, zorder=0)
    colors = GRADIENTS(symmetric_norm(dossier.branch.gradients, decades=2.0)(at))
    lines = [axes.plot(result.gradients, dx, color=color)[0] for dx, color in zip(result.updates, colors, strict=True)]
    reach = _linear_reach(dossier)
    inside = result.updates[:, np.abs(result.gradients) <= reach]
    margin = 0.05 * np.ptp(inside)
    axes.set(xlim=(-reach, reach), ylim=(inside.min() - margin, inside.max() + margin))
    return {f"g* = {g:.3g}": line for g, line in zip(at, lines, strict=True)}


def draw_adaptation(branch: Branch, tuned: float | None, axes: Axes) -> dict[str, Artist]:
    """Draw the effective learning rate against |g*| along both arms, with tuned momentum's as a dashed line."""
    center = int(np.argmin(np.abs(branch.gradients)))
    largest = np.abs(branch.gradients).max()
    arms = {
        "negative gradients": (slice(None, center), NEGATIVE, (0, (4, 1.2))),
        "positive gradients": (slice(center + 1, None), POSITIVE, "-"),
    }
    artists: dict[str, Artist] = {}
    for name, (arm, color, dashes) in arms.items():
        artists[name] = axes.plot(
            np.abs(branch.gradients[arm]),
            branch.learning_rates[arm],
            color=color,
            linestyle=dashes,
            label=name,
            linewidth=1.6,
        )[0]
    axes.plot(largest * 1e-4, branch.learning_rates[center], "s", color=INK, markersize=4, clip_on=False)
    if tuned is not None:
        artists["tuned momentum"] = axes.axhline(
            tuned, color=COLORS["momentum"], linestyle="--", label="tuned momentum", zorder=1
        )
    axes.set_xscale("log")
    axes.set_xlim(largest * 1e-4, largest)
    axes.set_ylim(min(0, 1.1 * branch.learning_rates.min()), 1.12 * max(branch.learning_rates.max(), tuned or 0))
    return artists


def branch_gradients(dossier: Dossier) -> np.ndarray:
    """Return the constant gradient at each state whose update function is drawn."""
    distances = np.abs(dossier.branch.states[:, None] - dossier.branch_updates.states).sum(-1)
    return dossier.branch.gradients[distances.argmin(0)]


def _linear_reach(dossier: Dossier) -> float:
    """A few times the gradient at which the update at the center has left its tangent."""
    result, center = dossier.branch_updates, 0
    at_zero = int(np.argmin(np.abs(result.gradients)))
    rate = dossier.branch.learning_rates[int(np.argmin(np.abs(dossier.branch.gradients)))]
    response = result.updates[center] - result.updates[center, at_zero]
    weak = np.abs(response) < 0.7 * np.abs(rate * result.gradients)
    return min(3 * float(np.abs(result.gradients[weak]).min(initial=np.inf)), float(result.gradients[-1]))


def figure_6(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw the S-curve of one optimizer and what it does to the learning rate."""
    return _adaptation(study, tasks, single={"height": 2.3, "width_ratios": [1.25, 1, 1]})


def figure_12(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw the S-curve of each task's optimizer, one column per task."""
    return _adaptation(study, tasks, single=None)


def _adaptation(study: Study, tasks: Sequence[str], *, single: dict[str, Any] | None) -> Drawn:
    page = sheet(3, len(tasks), single=single, height=6.9, narrowest=3.4)
    numbers, summary = {}, {}
    for j, task in enumerate(tasks):
        dossier, tuned = study.dossiers[task], study.tuned_rate(task)
        top, middle, bottom = page.panels[:, j]
        artists = draw_s_curve(dossier, top)
        x, y = (axis_label(dossier, i) for i in PLANE)
        page.dress(0, j, task, top, title="S-curve", x=x, y=y)
        _gradient_bar(artists["fixed points"], top)
        numbers[page.key("a", task)] = numbers_of(top, artists)
        artists = draw_branch_updates(dossier, middle)
        page.dress(1, j, task, middle, title="Update functions", x="Gradient g", y="Update Δx")
        numbers[page.key("b", task)] = numbers_of(middle, artists)
        artists = draw_adaptation(dossier.branch, tuned, bottom)
        y = "Effective learning rate"
        page.dress(2, j, task, bottom, title="Learning rate", x="Gradient magnitude |g*|", y=y)
        numbers[page.key("c", task)] = numbers_of(bottom, artists)
        if j == 0:
            bottom.set_ylim(0, 1.35 * bottom.get_ylim()[1])  # room for the legend above the curves
            bottom.legend(loc="upper left")
        summary[task] = _summary(dossier.branch, tuned)
    page.align()
    where = page.where
    sentences = "; ".join(
        f"{in_sentence(task)}: {one['at the center']:.3g} in the center, {one['at the negative end']:.3g} and "
        f"{one['at the positive end']:.3g} at |g*| = {one['largest gradient']:.3g}"
        for task, one in summary.items()
    )
    return Drawn(
        "Learning rate adaptation",
        page.figure,
        {"summary": summary, "panels": numbers},
        f"{where[0]}: fixed points under constant gradients g*, followed from the one at g = 0 (square). {where[1]}: "
        f"update functions at the ringed points of the positive arm. {where[2]}: effective learning rate along both "
        f"arms. Learning rates, {sentences}.",
    )


def _gradient_bar(artist, axes: Axes) -> None:
    bar = add_colorbar(artist, axes, "Constant gradient g*")
    largest = artist.norm.vmax
    bar.set_ticks([-largest, 0, largest], labels=[f"−{largest:.2g}", "0", f"{largest:.2g}"])
    bar.minorticks_off()
    bar.ax.tick_params(color=SOFT)


def _summary(branch: Branch, tuned: float | None) -> dict:
    center = int(np.argmin(np.abs(branch.gradients)))
    return {
        "at the center": branch.learning_rates[center],
        "at the negative end": branch.learning_rates[0],
        "at the positive end": branch.learning_rates[-1],
        "largest gradient": np.abs(branch.gradients).max(),
        "folds": len(branch.folds),
        "share attracting": branch.attracting.mean(),
        "tuned momentum": tuned,
    }
