"""Loss against steps and against time: a learned step costs more than Adam's."""

from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optoscope.figures._save import save_named
from optoscope.figures.loss_curves import draw_loss_curves
from optoscope.figures.style import INK, PAGE, ROW, color_of, dress, house_style, label_of, new_figure, numbers_of
from optoscope.running.costs import StepCosts
from optoscope.running.evaluate import Evaluation


def draw_losses_in_time(evaluation: Evaluation, costs: StepCosts, axes: Axes) -> dict[str, Artist]:
    """Draw the median loss against milliseconds, and where the fastest optimizer is done."""
    artists: dict[str, Artist] = {}
    times = 1e3 * costs.times(evaluation)
    for i, name in reversed(list(enumerate(evaluation.names))):
        median = np.median(evaluation.losses[i], axis=0)
        artists[name] = axes.plot(times[i], median, color=color_of(name), label=label_of(name), zorder=5 - i)[0]
    artists["fastest optimizer is done"] = axes.axvline(times[:, -1].min(), color=INK, linestyle=":", linewidth=0.9)
    axes.set_yscale("log")
    axes.set_xlim(0, times[:, -1].max())
    return artists


def save_wall_clock_figure(evaluation: Evaluation, costs: StepCosts, directory: str | Path) -> list[Path]:
    """Write `wall_clock.png`, `.svg` and `.json`; returns the paths."""
    with house_style():
        figure: Figure = new_figure(PAGE, 1.25 * ROW)
        left, right = figure.subplots(1, 2, sharey=True)
        by_steps = draw_loss_curves(evaluation, left)
        dress(left, letter="a", title=f"{label_of(evaluation.task)}: by steps", x="Iteration", y="Loss")
        by_time = draw_losses_in_time(evaluation, costs, right)
        dress(right, letter="b", title="By time (median loss)", x="Time (ms)")
        left.legend(*left.get_legend_handles_labels(), loc="upper right")
        numbers = {
            "summary": {
                name: {"seconds per step": seconds, "median loss at equal time": float(np.median(losses))}
                for name, seconds, losses in zip(costs.names, costs.medians, costs.at_equal_time(evaluation))
            },
            "panels": {"a": numbers_of(left, by_steps), "b": numbers_of(right, by_time)},
            "provenance": costs.provenance,
        }
        return save_named(figure, numbers, directory, "wall_clock")
