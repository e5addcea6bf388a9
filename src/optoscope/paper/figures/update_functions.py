"""What an update function looks like: Figs. 2, 4 and 10."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from optoscope.anatomy import Dossier
from optoscope.dynamics import UpdateFunction
from optoscope.figures.style import (
    COLORS,
    COLUMN,
    DISPLACEMENTS,
    FAINT,
    INK,
    MAGNITUDES,
    PAGE,
    ROW,
    SOFT,
    dress,
    in_sentence,
    label_of,
    new_figure,
    numbers_of,
    sentence,
)
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.study import Study


def draw_update_functions(result: UpdateFunction, axes: Axes, *, colors, names) -> dict[str, Artist]:
    """Draw one line per state, through faint axes."""
    axes.axhline(0, color=FAINT, linewidth=0.7, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.7, zorder=0)
    lines = [axes.plot(result.gradients, dx, color=color)[0] for dx, color in zip(result.updates, colors, strict=True)]
    return dict(zip(names, lines, strict=True))


def draw_initial_update(dossier: Dossier, axes: Axes) -> dict[str, Artist]:
    """Draw the update function at the initial state, with its tangent at g = 0: saturation is where they part."""
    result = dossier.initial_update
    largest = np.abs(result.updates).max() * 1.15
    slope = dossier.autonomous.learning_rates[0]
    artists = draw_update_functions(result, axes, colors=[COLORS["learned"]], names=["update"])
    artists["update"].set_linewidth(1.8)  # type: ignore[attr-defined]
    artists["tangent"] = axes.plot(
        result.gradients, -slope * result.gradients, color=SOFT, linestyle="--", linewidth=0.9, zorder=1
    )[0]
    axes.set_ylim(-largest, largest)
    axes.set_xlim(result.gradients[0], result.gradients[-1])
    return artists


def draw_gradient_density(dossier: Dossier, axes: Axes) -> dict[str, Artist]:
    """Draw the density of the gradients met, on a log axis, over the range of the update function above it."""
    low, high = dossier.initial_update.gradients[[0, -1]]
    gradients = dossier.visits.gradients.ravel()
    counts, edges = np.histogram(gradients, bins=np.linspace(low, high, 62))
    density = counts / (len(gradients) * np.diff(edges))
    smallest = 0.5 / (len(gradients) * (edges[1] - edges[0]))
    artist = axes.stairs(density, edges, fill=True, color=SOFT, baseline=smallest)
    axes.set_yscale("log")
    axes.set_ylim(bottom=smallest)
    axes.set_xlim(low, high)
    return {"density": artist}


def figure_2(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw the update functions of four hand-designed rules."""
    known = study.known_updates
    figure = new_figure(PAGE, 2.1)
    panels = figure.subplots(1, 4, sharex=True, sharey=True)
    shades = DISPLACEMENTS(np.linspace(0, 1, len(known.momentum.states)))
    squares = known.rmsprop.states[:, 0]
    grays = MAGNITUDES(np.linspace(0.25, 0.95, len(squares)))
    rows = [
        ("gradient_descent", known.gradient_descent, [INK], ["no state"]),
        ("gradient_clipping", known.gradient_clipping, [INK], ["no state"]),
        ("momentum", known.momentum, shades, [f"velocity {v:+.2g}" for v in known.momentum.states[:, 0]]),
        ("rmsprop", known.rmsprop, grays, [f"mean square {m:.2g}" for m in squares]),
    ]
    numbers = {}
    for axes, letter, (name, result, colors, names) in zip(panels, "abcd", rows, strict=True):
        artists = draw_update_functions(result, axes, colors=colors, names=names)
        dress(axes, letter=letter, title=label_of(name), x="Gradient g", y="" if letter != "a" else "Update Δx")
        if len(names) > 1:
            ends = [next(iter(artists.values())), list(artists.values())[-1]]
            short = {"momentum": "v = ", "rmsprop": "m = "}[name]
            texts = [short + names[i].split()[-1].replace("-", "−") for i in (0, -1)]
            axes.legend(ends, texts, loc="upper right", handlelength=1.0, borderaxespad=0.0)
        numbers[letter] = numbers_of(axes, artists)
    return Drawn(
        "Update functions of hand-designed optimizers",
        figure,
        {"summary": {"learning rate": 0.01, "momentum decay": 0.9, "rmsprop decay": 0.9}, "panels": numbers},
        "The update as a function of the gradient at a frozen state. Gradient descent is a line whose slope is the "
        "learning rate; clipping bends it; momentum's velocity v shifts it; RMSProp's mean square m turns it.",
    )


def figure_4(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw how one optimizer clips, above the gradients that it meets."""
    return figure_10(study, tasks)


def figure_10(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw how each task's optimizer clips, above the gradients that it meets."""
    columns = len(tasks)
    figure = new_figure(COLUMN * max(columns, 1.15) if columns == 1 else PAGE / 2 * columns, 1.9 * ROW)
    panels = figure.subplots(2, columns, squeeze=False, sharex="col", height_ratios=[1.5, 1])
    numbers, summary = {}, {}
    for j, task in enumerate(tasks):
        dossier = study.dossiers[task]
        top, bottom = panels[:, j]
        first, second = ("a", "b") if columns == 1 else (f"a{j + 1}", f"b{j + 1}")
        artists = draw_initial_update(dossier, top)
        dress(top, letter="abcdefgh"[0 if columns == 1 else j], title=f"{label_of(task)}: first update",
              y="" if j else "Update Δx")  # fmt: skip
        numbers[first] = numbers_of(top, artists)
        if j == 0:
            top.legend([artists["tangent"]], ["slope at g = 0"], loc="upper right", borderaxespad=0.0)
        artists = draw_gradient_density(dossier, bottom)
        dress(bottom, letter="b" if columns == 1 else "", title="Gradients met" if columns == 1 else "", x="Gradient g",
              y="" if j else "Density")  # fmt: skip
        numbers[second] = numbers_of(bottom, artists)
        summary[task] = _saturation(dossier)
    figure.align_ylabels(panels[:, 0])
    sentences = "; ".join(
        f"on {in_sentence(task)}, {one['share beyond']:.2%} of the gradients lie beyond |g| = "
        f"{one['half slope at']:.3g}, where the update is half of what the slope at 0 would give"
        if np.isfinite(one["half slope at"])
        else f"on {in_sentence(task)}, the update stays above half of what the slope at 0 would give"
        for task, one in summary.items()
    )
    return Drawn(
        "Gradient clipping",
        figure,
        {"summary": summary, "panels": numbers},
        "Top: the update at the initial state (blue) beside its tangent at g = 0 (dashed). "
        f"Bottom: density of the gradients met, on a log axis. {sentence(sentences)}",
    )


def _saturation(dossier: Dossier) -> dict[str, float]:
    result, slope = dossier.initial_update, dossier.autonomous.learning_rates[0]
    response = result.updates[0] - np.interp(0, result.gradients, result.updates[0])
    weak = np.abs(response) < 0.5 * np.abs(slope * result.gradients)
    half = float(np.abs(result.gradients[weak]).min(initial=np.inf))
    return {"half slope at": half, "share beyond": float((np.abs(dossier.visits.gradients) > half).mean())}
