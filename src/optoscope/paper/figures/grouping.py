"""Layers, weights and biases: Fig. 7."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from optoscope.anatomy import Dossier, GroupPaths
from optoscope.figures.style import (
    COLORS,
    INK,
    PAGE,
    dress,
    in_sentence,
    label_of,
    new_figure,
    numbers_of,
)
from optoscope.paper.figures._state_space import axis_label, draw_landmarks, draw_visited, project
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.study import Study
from optoscope.running import Visits

#: Weights are blue and biases orange, as in the paper; later layers are darker.
_WEIGHTS = LinearSegmentedColormap.from_list("weights", ["#a9c4ee", "#4f83cc", COLORS["learned"], "#081c45"])
_BIASES = LinearSegmentedColormap.from_list("biases", ["#f9cf9f", COLORS["momentum"], "#b85c0b", "#5e2c02"])


def group_colors(groups: list[str]) -> list:
    """Return a color per group: one hue for weights and one for biases, darker for later layers."""
    layers = [name.rsplit(" ", 1)[0] for name in groups]
    order = list(dict.fromkeys(layers))
    shade = lambda name: order.index(name) / max(len(order) - 1, 1)
    return [(_BIASES if n.endswith("biases") else _WEIGHTS)(shade(layer)) for n, layer in zip(groups, layers)]


def _dashes(name: str) -> Literal["-", "--"]:
    return "--" if name.endswith("biases") else "-"


def draw_group_paths(dossier: Dossier, groups: GroupPaths, axes: Axes, plane: tuple[int, int]) -> dict[str, Artist]:
    """Draw the mean state of each group over a run, in the plane of two principal components."""
    artists = draw_visited(dossier, axes, plane)
    for name, path, color in zip(groups.groups, groups.states, group_colors(groups.groups), strict=True):
        points = project(dossier, path, plane)
        artists[name] = axes.plot(*points.T, color=color, linestyle=_dashes(name), linewidth=1.4, zorder=4)[0]
    return artists | draw_landmarks(dossier, axes, plane)


def draw_group_rates(groups: GroupPaths, axes: Axes) -> dict[str, Artist]:
    """Draw the learning rate along each group's path."""
    artists: dict[str, Artist] = {}
    for name, rates, color in zip(groups.groups, groups.learning_rates, group_colors(groups.groups), strict=True):
        artists[name] = axes.plot(rates, color=color, linestyle=_dashes(name), linewidth=1.4)[0]
    axes.set_xlim(0, groups.learning_rates.shape[1])
    if (groups.learning_rates > 0).all() and np.ptp(np.log(groups.learning_rates)) > 1:
        axes.set_yscale("log")
    else:
        axes.set_ylim(min(0.0, groups.learning_rates.min()), 1.08 * groups.learning_rates.max())
    return artists


def draw_group_gradients(visits: Visits, axes: Axes) -> dict[str, Artist]:
    """Draw the gradient magnitudes of each group at the first iteration: median, quartiles, and the inner 95%."""
    sizes = np.abs(visits.gradients[:, 0].astype(np.float64))
    colors = group_colors(visits.groups)
    kinds = ("weights", "biases")
    ordered = sorted(range(len(visits.groups)), key=lambda i: (kinds.index(visits.groups[i].split()[-1]), i)
                     if visits.groups[i].split()[-1] in kinds else (2, i))  # fmt: skip
    artists: dict[str, Artist] = {}
    for place, i in enumerate(ordered):
        values = sizes[(visits.group == i) & (sizes > 0)]
        if not len(values):
            continue
        low, lower, middle, upper, high = np.quantile(values, [0.025, 0.25, 0.5, 0.75, 0.975])
        axes.plot([low, high], [place] * 2, color=colors[i], linewidth=1.0)
        artists[f"{visits.groups[i]}: quartiles"] = axes.plot(
            [lower, upper], [place] * 2, color=colors[i], linewidth=6.0, solid_capstyle="butt"
        )[0]
        artists[f"{visits.groups[i]}: median"] = axes.plot(
            middle, place, "o", color="white", markeredgecolor=INK, markersize=3.4, markeredgewidth=0.7
        )[0]
    axes.set_xscale("log")
    axes.set_yticks(range(len(ordered)), [visits.groups[i] for i in ordered])
    axes.invert_yaxis()
    return artists


def figure_7(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw what one optimizer does with each layer's weights and biases."""
    return groups_figure(study.dossiers[tasks[0]])


def groups_figure(dossier: Dossier) -> Drawn:
    """Draw what one optimizer does with each layer's weights and biases.

    Raises:
        ValueError: if the task's parameters are one group.
    """
    groups = dossier.groups
    if groups is None:
        raise ValueError(f"the parameters of {dossier.task_name} are one group; figure 7 needs a network's layers.")
    figure = new_figure(PAGE, 4.9)
    (a, b), (c, d) = figure.subplots(2, 2)
    numbers, task = {}, in_sentence(dossier.task_name)
    for letter, axes, plane in (("a", a, (0, 1)), ("b", b, (0, 2))):
        artists = draw_group_paths(dossier, groups, axes, plane)
        title = f"{label_of(dossier.task_name)}: mean states" if letter == "a" else "The same, along PC 3"
        dress(axes, letter=letter, title=title, x=axis_label(dossier, plane[0]), y=axis_label(dossier, plane[1]))
        numbers[letter] = numbers_of(axes, artists)
    artists = draw_group_rates(groups, c)
    dress(c, letter="c", title="Learning rate along them", x="Iteration", y="Effective learning rate")
    numbers["c"] = numbers_of(c, artists)
    artists = draw_group_gradients(dossier.visits, d)
    dress(d, letter="d", title="Gradients at the first iteration", x="Gradient magnitude |g|")
    numbers["d"] = numbers_of(d, artists)
    colors = dict(zip(groups.groups, group_colors(groups.groups)))
    ordered = sorted(groups.groups, key=lambda name: name.endswith("biases"))
    handles = [Line2D([], [], color=colors[n], linestyle=_dashes(n), linewidth=1.6) for n in ordered]
    handles += [Line2D([], [], marker=marker, color=INK, linestyle="") for marker in "so"]
    names = [*ordered, "fixed point at g = 0", "initial state"]
    figure.legend(handles, names, loc="outside upper center", ncols=4)
    means = groups.problem_learning_rates.mean(0)
    summary = {
        "mean learning rate": dict(zip(groups.groups, means.tolist())),
        "typical first gradient": dict(zip(groups.groups, np.exp(np.log(groups.first_magnitudes).mean(0)).tolist())),
    }
    highest, lowest = groups.groups[int(means.argmax())], groups.groups[int(means.argmin())]
    return Drawn(
        f"Parameters by layer and type, on {task}",
        figure,
        {"summary": summary, "panels": numbers},
        f"The learned optimizer of {task}. a, b: states averaged over the components of each layer's weights (blue, "
        "solid) and biases (orange, dashed), darker for later layers, among visited states (gray). c: slope of the "
        "update function along these paths. d: |g| at the first iteration, median, quartiles and inner 95%. Mean "
        f"learning rates over a run go from {means.min():.3g} ({lowest}) to {means.max():.3g} ({highest}).",
    )
