"""Where an optimizer is stable: spectral radius and damping against curvature, beside a task's curvatures."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optoscope.dynamics import EdgeMeasurement, StabilityMap
from optoscope.figures._save import save_named
from optoscope.figures.style import (
    COLORS,
    FAINT,
    INK,
    PAGE,
    ROW,
    SOFT,
    dress,
    house_style,
    in_sentence,
    lay_out,
    new_figure,
    numbers_of,
)
from optoscope.robustness.stability import StabilityStudy

#: Growth per step at which the panel of rates is cut off.
_LARGEST_GROWTH = 0.25


def draw_rates(stability: StabilityMap, axes: Axes, *, color: str, label: str) -> dict[str, Artist]:
    """Draw the predicted growth of a perturbation per step, `log` spectral radius, with its edges as dotted lines."""
    artists: dict[str, Artist] = {
        "predicted growth": axes.plot(stability.curvatures, -stability.rates, color=color, label=label, zorder=3)[0]
    }
    for i, edge in enumerate(stability.edges):
        if stability.curvatures[0] <= edge <= stability.curvatures[-1]:
            artists[f"predicted edge {i + 1}"] = axes.axvline(edge, color=color, linestyle=":", linewidth=0.9, zorder=2)
    return artists


def draw_measured(measured: EdgeMeasurement, axes: Axes, *, color: str) -> dict[str, Artist]:
    """Draw growth as fitted to runs (dots), and the edges that runs show (open diamonds on the line of no growth)."""
    finite = np.isfinite(measured.growth)
    return {
        "measured growth": axes.scatter(
            measured.curvatures[finite], measured.growth[finite], s=4, color=color, alpha=0.55, linewidth=0, zorder=4
        ),
        "measured edges": axes.scatter(
            measured.edges,
            np.zeros(len(measured.edges)),
            marker="D",
            s=26,
            facecolor="white",
            edgecolor=color,
            linewidth=1.1,
            zorder=6,
        ),
    }


def draw_damping(stability: StabilityMap, axes: Axes, *, color: str, label: str) -> dict[str, Artist]:
    """Draw the damping ratio of the leading mode: 1 does not oscillate, 0 is an edge."""
    return {
        "damping ratio": axes.plot(stability.curvatures, stability.damping_ratios, color=color, label=label, zorder=3)[
            0
        ]
    }


def draw_curvatures(study: StabilityStudy, panels: tuple[Axes, ...]) -> dict[str, Artist]:
    """Draw the curvatures that runs on the task met as a band, and those at the end of runs as ticks above it."""
    if study.curvatures is None:
        return {}
    low, high = study.curvatures.span()
    bands = [
        axes.fill_between(
            [low, high], 0, 1, transform=axes.get_xaxis_transform(), color=FAINT, alpha=0.35, linewidth=0, zorder=0
        )
        for axes in panels
    ]
    ends = study.curvatures.eigenvalues[:, -1].ravel()
    ends = np.sort(ends[ends > 0])
    ticks = panels[0].plot(
        ends,
        np.full(len(ends), 0.98),
        transform=panels[0].get_xaxis_transform(),
        marker="|",
        markersize=5,
        markeredgewidth=0.6,
        linewidth=0,
        color=INK,
        alpha=0.5,
        zorder=5,
    )
    return {"task curvatures": bands[0], "curvatures at the end of runs": ticks[0]}


def stability_figure(study: StabilityStudy) -> tuple[Figure, dict[str, Any]]:
    """Draw a study on a canvas of its own: growth above, damping below.

    Returns:
        The figure, and the numbers drawn with one row per edge.
    """
    with house_style():
        figure = new_figure(PAGE, 2 * ROW + 0.5)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
        ours, other = COLORS["learned"], COLORS["momentum"]
        upper: dict[str, dict[str, Artist]] = {}
        lower: dict[str, dict[str, Artist]] = {}
        band = draw_curvatures(study, (top, bottom))
        parts = [(study.name, study.stability, study.measured, ours)]
        if study.baseline is not None and study.baseline_measured is not None:
            parts.insert(0, (study.baseline_name, study.baseline, study.baseline_measured, other))
        for name, stability, measured, color in parts:
            upper[name] = draw_rates(stability, top, color=color, label=name) | draw_measured(
                measured, top, color=color
            )
            lower[name] = draw_damping(stability, bottom, color=color, label=name)
        for axes, level in ((top, 0), (bottom, 0)):
            axes.axhline(level, color=SOFT, linewidth=0.7, zorder=1)
        growth = np.concatenate([-stability.rates for _, stability, *_ in parts])
        smallest = float(growth.min())
        top.set_ylim(1.15 * smallest, min(_LARGEST_GROWTH, max(0.3 * abs(smallest), 1.1 * float(growth.max()))))
        top.set_xscale("log")
        top.set_xlim(study.stability.curvatures[0], study.stability.curvatures[-1])
        bottom.set_ylim(-0.5, 1.08)
        dress(top, letter="a", title="Growth of a small perturbation", y="Growth per step (log)")
        dress(bottom, letter="b", title="Damping of the leading mode", x="Curvature", y="Damping ratio")
        top.legend(loc="lower left")
        if study.curvatures is not None:
            top.set_title(
                f"gray: curvatures of {in_sentence(study.curvatures.task)}; ticks: at the end of runs",
                loc="right", fontsize=6.5, color=SOFT,
            )  # fmt: skip
        lay_out(figure)
        panels = {f"a, {name}": numbers_of(top, artists) for name, artists in upper.items()}
        panels |= {f"b, {name}": numbers_of(bottom, artists) for name, artists in lower.items()}
        if band:
            panels["task"] = numbers_of(top, band)
    return figure, {"edges": study.edges(), "panels": panels}


def save_stability_figure(study: StabilityStudy, directory: str | Path) -> list[Path]:
    """Write `stability.png`, `stability.svg`, and `stability.json` with the numbers drawn; returns the paths."""
    figure, numbers = stability_figure(study)
    about = {"provenance": study.stability.provenance, "measurement": study.measured.provenance}
    return save_named(figure, {**numbers, **about}, directory, "stability")
