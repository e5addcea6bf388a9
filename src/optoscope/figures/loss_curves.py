"""Losses of several optimizers over a run."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from optoscope.figures.style import color_of, label_of
from optoscope.running.evaluate import Evaluation


def draw_loss_curves(evaluation: Evaluation, axes: Axes) -> dict[str, Artist]:
    """Draw the mean loss with a band of one standard error, and the median as a thin dotted line, on a log axis.

    The lower edge of a band that reaches below 0 is drawn at a hundredth of the mean.
    """
    artists: dict[str, Artist] = {}
    steps = np.arange(evaluation.losses.shape[-1])
    for i, name in reversed(list(enumerate(evaluation.names))):
        losses = evaluation.losses[i].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            mean = losses.mean(0)
            error = losses.std(0, ddof=1) / np.sqrt(len(losses))
        median = np.median(losses, axis=0)
        color, front = color_of(name), 5 if i == 0 else 3
        artists[f"{name}: mean"] = axes.plot(
            steps, mean, color=color, label=label_of(name), zorder=front, linewidth=1.8 if i == 0 else 1.3
        )[0]
        artists[f"{name}: mean ± standard error"] = axes.fill_between(
            steps, np.maximum(mean - error, mean / 100), mean + error, color=color, alpha=0.18, linewidth=0, zorder=2
        )
        artists[f"{name}: median"] = axes.plot(steps, median, color=color, linewidth=0.8, linestyle=":", zorder=front)[
            0
        ]
    axes.set_yscale("log")
    axes.set_xlim(0, steps[-1])
    return artists
