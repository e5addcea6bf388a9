"""How well optimizers do: Figs. 1 and 17."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import cbook
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from scipy.stats import gaussian_kde

from optoscope.figures.loss_curves import draw_loss_curves
from optoscope.figures.style import (
    COLORS,
    FAINT,
    INK,
    PAGE,
    ROW,
    SOFT,
    add_colorbar,
    color_of,
    dress,
    in_sentence,
    label_of,
    new_figure,
    numbers_of,
    thin,
)
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.study import Study
from optoscope.running.evaluate import Evaluation
from optoscope.tasks import Architecture, ConditionNumbers, LabeledPoints, LossSurface


def draw_condition_numbers(numbers: ConditionNumbers, axes: Axes) -> dict[str, Artist]:
    """Draw a histogram of condition numbers."""
    share, edges = np.histogram(numbers.values, bins=np.linspace(0, 1000, 26))
    artist = axes.stairs(share / len(numbers.values), edges, fill=True, color=FAINT)
    axes.stairs(share / len(numbers.values), edges, color=SOFT, linewidth=0.8)
    axes.set_xlim(0, 1000)
    dress(axes, x="Condition number", y="Share of problems")
    return {"condition numbers": artist}


def draw_loss_surface(surface: LossSurface, axes: Axes) -> dict[str, Artist]:
    """Draw the loss in color, some starts, the box that holds them all, and the minimum."""
    smallest = max(surface.losses.min(), surface.losses.max() * 1e-6)
    image = axes.pcolormesh(
        surface.x, surface.y, surface.losses, norm=LogNorm(smallest, surface.losses.max()), cmap="Blues_r",
        rasterized=True, shading="nearest",
    )  # fmt: skip
    low, high = surface.starts.min(0), surface.starts.max(0)
    axes.add_patch(Rectangle(tuple(low), *(high - low), fill=False, edgecolor=INK, linestyle="--", linewidth=1.0))
    starts = thin(surface.starts, 64)
    dots = axes.scatter(*starts.T, s=3, color=COLORS["momentum"], linewidth=0, label="starts")
    row, column = np.unravel_index(int(surface.losses.argmin()), surface.losses.shape)
    star = axes.scatter(
        surface.x[column], surface.y[row], marker="*", s=60, color="white", edgecolor=INK, linewidth=0.6, zorder=5
    )
    axes.set(xticks=[-2, 0, 2], yticks=[-1, 1, 3])
    dress(axes, x="x", y="y")
    add_colorbar(image, axes, "Loss")
    return {"loss": image, "starts": dots, "minimum": star}


def draw_labeled_points(data: LabeledPoints, axes: Axes) -> dict[str, Artist]:
    """Draw the points of a dataset, a color per class."""
    artists: dict[str, Artist] = {}
    for label, color in ((-1, COLORS["learned"]), (1, COLORS["momentum"])):
        points = data.points[data.labels == label]
        artists[f"class {label}"] = axes.scatter(*points.T, s=3, color=color, linewidth=0, alpha=0.8)
    axes.set_aspect("equal", adjustable="datalim")
    dress(axes, x="Input 1", y="Input 2")
    return artists


def draw_architecture(network: Architecture, axes: Axes) -> dict[str, Artist]:
    """Draw each layer of a convolutional network as a box: height and depth to scale with its shape.

    A box is as tall as the image and as thick as its channels; the shear shows its width, at half the scale.
    """
    tallest = float(network.shapes[:, 0].max())
    artists: dict[str, Artist] = {}
    left, gap, shear = 0.0, 0.38 * tallest, 0.25
    for index, (height, width, channels) in enumerate(network.shapes.tolist()):
        thick, slant = float(channels), shear * width
        bottom = -(height + slant) / 2
        front = [(left, bottom), (left + thick, bottom), (left + thick, bottom + height), (left, bottom + height)]
        moved = [(x + slant, y + slant) for x, y in front]
        color = FAINT if index == 0 else COLORS["learned"]
        faces = (
            [front[3], front[2], moved[2], moved[3]],
            [front[1], moved[1], moved[2], front[2]],
            front,
        )
        patches = [
            axes.add_patch(Polygon(face, facecolor=color, alpha=shade, edgecolor=INK, linewidth=0.5))
            for face, shade in zip(faces, (0.35, 0.55, 0.8))
        ]
        artists[f"layer {index}"] = patches[-1]
        middle, size = left + (thick + slant) / 2, f"{height}×{width}\n×{channels}"
        axes.text(middle, bottom - 0.06 * tallest, size, ha="center", va="top", fontsize=6.5)
        left += thick + slant + gap
    half = network.num_classes / 2 * 1.6
    artists["classes"] = axes.add_patch(
        Rectangle((left, -half), 1.6, 2 * half, facecolor=COLORS["momentum"], edgecolor=INK, linewidth=0.5, alpha=0.8)
    )
    axes.text(left + 0.8, -half - 0.06 * tallest, str(network.num_classes), ha="center", va="top", fontsize=6.5)
    size = network.kernel_size
    axes.set_title(f"{size}×{size} convolutions, ReLU; {network.num_params:,} parameters", fontsize=7, color=SOFT)
    axes.set_aspect("equal")
    axes.set_xlim(-0.1 * tallest, left + 0.3 * tallest)
    axes.set_ylim(-1.0 * tallest, 0.75 * tallest)
    axes.set_axis_off()
    return artists


def draw_violins(evaluation: Evaluation, axes: Axes) -> dict[str, Artist]:
    """Draw the distribution of meta-objectives, with mean and standard error as a bar and the median as a white dot.

    Densities are estimated in the logarithm. Runs that diverged are left out of the violin, counted above it.
    """
    names = evaluation.names[1:] + evaluation.names[:1]
    artists: dict[str, Artist] = {}
    for position, name in enumerate(names):
        values = evaluation.objectives[evaluation.index(name)]
        finite = values[np.isfinite(values) & (values > 0)]
        if len(finite) > 1 and np.ptp(finite) > 0:
            stats = cbook.violin_stats(np.log10(finite)[:, None], lambda data, at: gaussian_kde(data)(at), points=200)
            stats[0]["coords"] = 10 ** stats[0]["coords"]
            stats[0] |= {"mean": finite.mean(), "median": np.median(finite), "min": finite.min(), "max": finite.max()}
            body = axes.violin(stats, [position], widths=0.85, showextrema=False)["bodies"][0]  # type: ignore[index]
            body.set(facecolor=color_of(name), alpha=0.75, edgecolor=color_of(name), linewidth=0.8)
            artists[f"{name}: violin"] = body
        mean, error = finite.mean(), finite.std(ddof=1) / np.sqrt(len(finite))
        artists[f"{name}: mean ± standard error"] = axes.plot(
            [position] * 3, [max(mean - error, mean / 10), mean, mean + error], color=INK, linewidth=3.0,
            solid_capstyle="butt",
        )[0]  # fmt: skip
        artists[f"{name}: median"] = axes.plot(
            position, np.median(finite), "o", color="white", markeredgecolor=INK, markersize=3.6, markeredgewidth=0.7
        )[0]
        if len(finite) < len(values):
            axes.annotate(
                f"{len(values) - len(finite)} diverged", (position, finite.max()), (0, 6), textcoords="offset points",
                ha="center", fontsize=6.5, color=color_of(name),
            )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xticks(range(len(names)), [label_of(name) for name in names])
    axes.set_xlim(-0.6, len(names) - 0.4)
    return artists


_DRAW: dict[type, Callable[[Any, Axes], dict[str, Artist]]] = {
    ConditionNumbers: draw_condition_numbers,
    LossSurface: draw_loss_surface,
    LabeledPoints: draw_labeled_points,
    Architecture: draw_architecture,
}


def figure_1(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw loss curves of all optimizers on each task, and what the tasks' problems look like."""
    evaluations = {task: study.evaluations[task] for task in tasks}
    figure = new_figure(max(PAGE / 2 * len(evaluations), 4.4), 2 * ROW + 0.25)
    panels = figure.subplots(2, len(evaluations), squeeze=False)
    numbers = {}
    for j, (task, evaluation) in enumerate(evaluations.items()):
        letter = "abcdefgh"[j]
        artists = draw_loss_curves(evaluation, panels[0, j])
        dress(panels[0, j], letter=letter, title=label_of(task), x="Iteration", y="Loss")
        numbers[f"{letter}, top"] = numbers_of(panels[0, j], artists)
        about = study.information[task]
        if about is None:
            panels[1, j].set_axis_off()
            continue
        numbers[f"{letter}, bottom"] = numbers_of(panels[1, j], _DRAW[type(about)](about, panels[1, j]))
    handles, names = panels[0, 0].get_legend_handles_labels()
    handles = [*handles[::-1], Line2D([], [], color=SOFT, linewidth=0.8, linestyle=":")]
    figure.legend(handles, [*names[::-1], "Median"], loc="outside upper center", ncols=len(handles))
    summary = {task: _summary(one) for task, one in evaluations.items()}
    count = next(iter(evaluations.values())).losses.shape[1]
    finals = "; ".join(f"{in_sentence(task)}: {_ranking(one['median final loss'])}" for task, one in summary.items())
    return Drawn(
        "Learned and tuned hand-designed optimizers",
        figure,
        {"summary": summary, "panels": numbers},
        f"Top: loss on the same {count} fresh problems, mean with a band of one standard error (lines) and median "
        f"(dotted), on a log axis. Bottom: what the problems look like. Median final losses, {finals}.",
    )


def figure_17(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw the distribution of meta-objectives of all optimizers on each task."""
    evaluations = {task: study.evaluations[task] for task in tasks}
    figure = new_figure(max(PAGE / 2 * len(evaluations), 4.0), 2.7)
    panels = figure.subplots(1, len(evaluations), squeeze=False)[0]
    numbers = {}
    for j, (task, evaluation) in enumerate(evaluations.items()):
        artists = draw_violins(evaluation, panels[j])
        dress(panels[j], letter="abcdefgh"[j], title=label_of(task), y="" if j else "Meta-objective (relative loss)")
        numbers["abcdefgh"[j]] = numbers_of(panels[j], artists)
    summary = {task: _summary(one) for task, one in evaluations.items()}
    count = next(iter(evaluations.values())).losses.shape[1]
    means = "; ".join(f"{in_sentence(task)}: {_ranking(one['mean'])}" for task, one in summary.items())
    return Drawn(
        "Meta-objectives over test problems",
        figure,
        {"summary": summary, "panels": numbers},
        f"Mean loss of a run relative to its first loss, on the same {count} fresh problems for every optimizer. Dark "
        f"bars: mean and standard error; white dots: median. Means, {means}.",
    )


def _summary(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    columns = {
        "mean": evaluation.means,
        "standard error": evaluation.standard_errors,
        "median": evaluation.medians,
        "num diverged": evaluation.num_diverged,
        "median final loss": np.median(evaluation.losses[:, :, -1], axis=1),
    }
    return {what: dict(zip(evaluation.names, values.tolist())) for what, values in columns.items()}


def _ranking(values: Mapping[str, float]) -> str:
    ordered = sorted(values.items(), key=lambda item: item[1])
    return ", ".join(f"{label_of(name)} {value:.3g}" for name, value in ordered)
