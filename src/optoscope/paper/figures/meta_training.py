"""Modes through meta-training: Fig. 15."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from optoscope.anatomy import MetaTrainingModes
from optoscope.artifacts import TunedOptimizer
from optoscope.figures.style import (
    COLORS,
    FAINT,
    INK,
    PAGE,
    SOFT,
    TIMES,
    add_colorbar,
    dress,
    in_sentence,
    label_of,
    new_figure,
    numbers_of,
    sentence,
)
from optoscope.paper.figures.drawn import Drawn
from optoscope.paper.figures.recovered_momentum import draw_optimum
from optoscope.paper.study import MOMENTUM_LIKE, OPTIMAL_MOMENTUM, Study

#: Modes that are followed besides the one that leads in the end.
_NUM_OTHERS = 5
_KEY = {
    "leading mode": "leads in the end",
    "mode 2": "next modes",
    "tuned momentum": "tuned momentum",
    "analytic optimum": "analytic optimum",
}


def draw_mode_paths(modes: MetaTrainingModes, optimum: tuple[float, float] | None, axes: Axes) -> dict[str, Artist]:
    """Draw every mode of every snapshot as learning rate and momentum, colored by the meta-step.

    The path of the mode that leads in the end is a line.
    """
    rates, decays = np.abs(modes.learning_rates), np.abs(modes.decays)
    steps = np.repeat(modes.steps, rates.shape[1])
    known = np.isfinite(rates.ravel()) & np.isfinite(decays.ravel())
    artists: dict[str, Artist] = {
        "modes": axes.scatter(
            rates.ravel()[known], decays.ravel()[known], c=np.maximum(steps[known], 1), cmap=TIMES,
            norm=LogNorm(1, max(float(modes.steps[-1]), 2.0)), s=7, linewidth=0, zorder=3, rasterized=True,
        ),
        "path of the leading mode": axes.plot(
            rates[modes.known, 0], decays[modes.known, 0], color=INK, linewidth=0.7, zorder=4
        )[0],
    }  # fmt: skip
    largest = max(float(np.nanmax(rates, initial=0.0)), np.finfo(float).tiny)
    if optimum is not None:
        artists["analytic optimum"] = draw_optimum(optimum, axes)
        largest = max(largest, optimum[0])
    axes.set_xscale("log")
    axes.set(xlim=(largest * 1e-4, largest * 2), ylim=(0, 1.03))
    return artists


def draw_followed(
    steps: np.ndarray, values: np.ndarray, tuned: float, optimum: float | None, axes: Axes
) -> dict[str, Artist]:
    """Draw a number of each followed mode [snapshot, mode] over meta-steps; the first is the one that leads in the end.

    The analytic and the tuned value are lines.
    """
    artists: dict[str, Artist] = {}
    for j in range(values.shape[1] - 1, -1, -1):
        known = np.isfinite(values[:, j])
        name, style = f"mode {j + 1}", {"color": SOFT, "linewidth": 0.8, "alpha": 0.7, "zorder": 2}
        if j == 0:
            name, style = "leading mode", {"color": COLORS["learned"], "marker": "o", "markersize": 2.4, "zorder": 4}
        artists[name] = axes.plot(steps[known], values[known, j], **style)[0]  # type: ignore[arg-type]
    artists["tuned momentum"] = axes.axhline(
        tuned, color=COLORS["momentum"], linestyle="--", linewidth=1.1, zorder=1, label="tuned momentum"
    )
    if optimum is not None:
        artists["analytic optimum"] = axes.axhline(
            optimum, color=INK, linewidth=0.9, zorder=1, label="analytic optimum"
        )
    axes.set_xscale("symlog", linthresh=max(float(steps[1]), 1.0) if len(steps) > 1 else 1.0)
    axes.set_xlim(0, steps[-1] * 1.1)
    axes.axhline(0, color=FAINT, linewidth=0.5, zorder=0)
    return artists


def figure_15(study: Study, tasks: Sequence[str]) -> Drawn:
    """Draw modes through the meta-training of each optimizer that ships with its snapshots, one row each."""
    return followed_figure(study.meta_training, study.followed, study.tuned)


def followed_figure(
    meta_training: Mapping[str, MetaTrainingModes],
    tasks: Mapping[str, str],
    tuned: Mapping[str, Mapping[str, TunedOptimizer]],
    *,
    optimum: tuple[float, float] = OPTIMAL_MOMENTUM,
) -> Drawn:
    """Draw modes through the meta-training of each optimizer, one row each.

    Args:
        meta_training: name of an optimizer -> its modes at each snapshot, followed from one to the next.
        tasks: name of an optimizer -> its task.
        tuned: task -> rule -> tuned optimizer.
        optimum: the best learning rate and decay in theory, on linear regression.
    """
    figure = new_figure(PAGE, 2.25 * len(meta_training))
    panels = figure.subplots(len(meta_training), 3, squeeze=False, width_ratios=[1.25, 1, 1])
    numbers, summary, legend = {}, {}, {}
    for row, (name, modes) in enumerate(meta_training.items()):
        a, b, c = panels[row]
        momentum = tuned[tasks[name]]["momentum"].hyperparameters
        theory = optimum if tasks[name] == MOMENTUM_LIKE[1] else None
        last = modes.known[-1]
        others = 1 + np.argsort(-np.abs(modes.learning_rates[last, 1:]))[:_NUM_OTHERS]
        shown = np.concatenate([[0], others])
        rates, decays = np.abs(modes.learning_rates[:, shown]), np.abs(modes.decays[:, shown])
        is_last = row == len(meta_training) - 1
        artists = draw_mode_paths(modes, theory, a)
        dress(
            a,
            letter=ascii_lowercase[row : row + 1],
            title=_title(name),
            x="Learning rate |α|" * is_last,
            y="Momentum |β|",
        )
        add_colorbar(artists["modes"], a, "Meta-step")
        numbers[f"{name}, a"] = numbers_of(a, artists)
        artists = draw_followed(modes.steps, rates, momentum["learning_rate"], theory and theory[0], b)
        dress(b, title="Learning rate" * (row == 0), x="Meta-step" * is_last, y="|α|")
        b.set_ylim(bottom=0)
        if row == 0:
            legend = {_KEY[n]: artist for n, artist in artists.items() if n in _KEY}
        numbers[f"{name}, b"] = numbers_of(b, artists)
        artists = draw_followed(modes.steps, decays, momentum["decay"], theory and theory[1], c)
        dress(c, title="Momentum" * (row == 0), x="Meta-step" * is_last, y="|β|")
        c.set_ylim(0, 1.03)
        numbers[f"{name}, c"] = numbers_of(c, artists)
        summary[name] = {
            "meta-steps": int(modes.steps[last]),
            "last learning rate": rates[last, 0],
            "last decay": decays[last, 0],
            "tuned": {"learning rate": momentum["learning_rate"], "decay": momentum["decay"]},
            "snapshots without a fixed point": len(modes.steps) - len(modes.known),
            "share of the later snapshots that it leads": float((modes.leading[len(modes.leading) // 2 :] == 0).mean()),
            "analytic optimum": None if theory is None else {"learning rate": theory[0], "decay": theory[1]},
        }
    figure.legend(list(legend.values()), list(legend), loc="outside upper center", ncols=4)
    sentences = "; ".join(
        f"{_title(name)}: the mode that leads in the end has |α| = {one['last learning rate']:.3g} and |β| = "
        f"{one['last decay']:.3g} after {one['meta-steps']} meta-steps (tuned momentum "
        f"{one['tuned']['learning rate']:.3g} and {one['tuned']['decay']:.3g})" for name, one in summary.items()
    )  # fmt: skip
    return Drawn(
        "Modes through meta-training",
        figure,
        {"summary": summary, "panels": numbers},
        "Left: learning rate and momentum of every mode at the convergence point, from the first meta-step (yellow) to "
        "the last (purple), and the path of the one that leads in the end (line); the red star is the analytic optimum "
        "of linear regression. Right: the modes that have the largest learning rates in the end, followed from "
        f"snapshot to snapshot. {sentence(sentences)}",
    )


def _title(name: str) -> str:
    if name == MOMENTUM_LIKE[0]:
        return f"Recovers momentum ({in_sentence(MOMENTUM_LIKE[1])})"
    return label_of(name)
