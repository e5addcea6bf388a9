"""One page about one optimizer: what each verdict of a diagnosis rests on."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optoscope.figures._save import save_named
from optoscope.figures.style import (
    COLORS,
    FAINT,
    NEGATIVE,
    PAGE,
    POSITIVE,
    ROW,
    SOFT,
    dress,
    house_style,
    lay_out,
    new_figure,
    numbers_of,
)
from optoscope.mechanisms import (
    AdaptationVerdict,
    ClippingVerdict,
    GroupingVerdict,
    MechanismReport,
    MomentumVerdict,
    ScheduleVerdict,
)

_INK = COLORS["learned"]
#: Share of the impulse response beyond which it is not drawn.
_REST = 1e-2
#: Part of the magnitudes that the panel of clipping shows, relative to the largest.
_SHOWN = 1e-5


def draw_modes(verdict: MomentumVerdict, axes: Axes) -> dict[str, Artist]:
    """Draw the dominant modes in the complex plane; larger dots have larger learning rates."""
    angle = np.linspace(0, 2 * np.pi, 200)
    sizes = np.abs(verdict.learning_rates)
    areas = 12 + 70 * sizes / max(sizes.max(initial=0.0), np.finfo(float).tiny)
    artists: dict[str, Artist] = {
        "unit circle": axes.plot(np.cos(angle), np.sin(angle), color=FAINT, linewidth=0.8)[0],
        "modes": axes.scatter(
            np.real(verdict.decays), np.imag(verdict.decays), s=areas, color=_INK, alpha=0.75, linewidth=0, zorder=3
        ),
    }
    axes.set_aspect("equal")
    dress(axes, letter="a", title=f"Modes: momentum {verdict.verdict}", x="Re β", y="Im β")
    return artists


def draw_response(verdict: MomentumVerdict, axes: Axes) -> dict[str, Artist]:
    """Draw the updates that follow one gradient, relative to the first one."""
    response = -verdict.impulse_response
    large = np.flatnonzero(np.abs(response) > _REST * np.abs(response).max(initial=0.0))
    shown = response[: min(max(int(large[-1]) + 1 if len(large) else 1, 10), 200)]
    scale = max(float(np.abs(shown).max(initial=0.0)), np.finfo(float).tiny)
    artists: dict[str, Artist] = {
        "response": axes.plot(np.arange(len(shown)), shown / scale, color=_INK, marker=".", markersize=3)[0]
    }
    axes.axhline(0, color=FAINT, linewidth=0.8)
    dress(axes, letter="b", title=f"{verdict.effect:.0%} comes later", x="Steps after a gradient", y="−Update (rel.)")
    return artists


def draw_saturation(verdict: ClippingVerdict, axes: Axes) -> dict[str, Artist]:
    """Draw the odd part of the update function at rest, its tangent, and the threshold."""
    size = np.abs(verdict.updates)
    positive = size > 0
    artists: dict[str, Artist] = {
        "update": axes.plot(verdict.gradients[positive], size[positive], color=_INK, zorder=3)[0]
    }
    if positive.any():
        axes.set_xscale("log")
        axes.set_yscale("log")
    if verdict.tangent:
        line = axes.plot(verdict.gradients, abs(verdict.tangent) * verdict.gradients, color=SOFT, linestyle="--")[0]
        artists["tangent"] = line
    if verdict.threshold:
        artists["threshold"] = axes.axvline(verdict.threshold, color=NEGATIVE, linestyle=":", linewidth=1.0)
    axes.set_xlim(verdict.gradients[-1] * _SHOWN, verdict.gradients[-1])
    shown = size[positive & (verdict.gradients >= verdict.gradients[-1] * _SHOWN)]
    if len(shown):
        axes.set_ylim(shown.min() / 2, shown.max() * 5)
    dress(axes, letter="c", title=f"Clipping {verdict.verdict}", x="|Gradient|", y="|Update|")
    return artists


def draw_schedule(verdict: ScheduleVerdict, axes: Axes) -> dict[str, Artist]:
    """Draw the learning rate along the run without a gradient."""
    steps = np.arange(len(verdict.learning_rates))
    artists: dict[str, Artist] = {"learning rate": axes.plot(steps, verdict.learning_rates, color=_INK)[0]}
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0), max(high, 0) * 1.1 if high > 0 else high)
    dress(axes, letter="d", title=f"Schedule {verdict.verdict}", x="Step without a gradient", y="Learning rate")
    return artists


def draw_adaptation(verdict: AdaptationVerdict, axes: Axes) -> dict[str, Artist]:
    """Draw learning rates after constant gradients of both signs against their magnitude."""
    artists: dict[str, Artist] = {
        "after +g": axes.plot(verdict.magnitudes, verdict.learning_rates, color=POSITIVE, label="after +|g|")[0],
        "after -g": axes.plot(
            verdict.magnitudes, verdict.opposite_learning_rates, color=NEGATIVE, linestyle="--", label="after −|g|"
        )[0],
    }
    axes.set_xscale("log")
    sizes = np.concatenate([verdict.learning_rates, verdict.opposite_learning_rates])
    if np.all(sizes > 0) and sizes.max() > 30 * sizes.min():
        axes.set_yscale("log")
    axes.legend(loc="best")
    kind = "" if verdict.kind == "none" else f" ({verdict.kind})"
    dress(axes, letter="e", title=f"Adaptation {verdict.verdict}{kind}", x="|g*|", y="Learning rate")
    return artists


def draw_parity(verdict: AdaptationVerdict, axes: Axes) -> dict[str, Artist]:
    """Draw how constant and alternating gradients change the gain: both alike if squares drive it."""
    artists: dict[str, Artist] = {
        "constant": axes.plot(
            verdict.magnitudes, verdict.constant_effects, color=_INK, marker="o", markersize=3, label="constant"
        )[0],
        "alternating": axes.plot(
            verdict.magnitudes,
            verdict.even_effects,
            color=COLORS["momentum"],
            marker="s",
            markersize=3,
            label="alternating",
        )[0],
    }
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.set_xscale("log")
    axes.legend(loc="best")
    dress(axes, letter="f", title="What drives the gain", x="|Gradient|", y="log fall of the gain")
    return artists


def draw_groups(verdict: GroupingVerdict, axes: Axes) -> dict[str, Artist]:
    """Draw the mean learning rate of each group of parameters against the gradients that it meets."""
    artists: dict[str, Artist] = {
        "groups": axes.scatter(verdict.gradient_magnitudes, verdict.learning_rates, s=22, color=_INK, linewidth=0)
    }
    axes.set_xscale("log")
    for name, x, y in zip(verdict.groups, verdict.gradient_magnitudes, verdict.learning_rates):
        axes.annotate(name, (x, y), xytext=(3, 2), textcoords="offset points", fontsize=5.5, color=SOFT)
    dress(axes, letter="g", title=f"Grouping {verdict.verdict}", x="Median |gradient|", y="Mean learning rate")
    return artists


def diagnosis_figure(report: MechanismReport) -> tuple[Figure, dict[str, Any]]:
    """Draw a diagnosis on one page; returns the figure and the numbers that it shows."""
    verdicts: dict[str, Any] = report.verdicts
    panels = [
        (draw_modes, verdicts["momentum"]),
        (draw_response, verdicts["momentum"]),
        (draw_saturation, verdicts["clipping"]),
        (draw_schedule, verdicts["schedule"]),
        (draw_adaptation, verdicts["adaptation"]),
        (draw_parity, verdicts["adaptation"]),
    ]
    if verdicts["grouping"].groups:
        panels.append((draw_groups, verdicts["grouping"]))
    with house_style():
        rows = -(-len(panels) // 3)
        figure = new_figure(PAGE, rows * ROW + 0.3)
        axes = figure.subplots(rows, 3, squeeze=False).ravel()
        numbers: dict[str, Any] = {"optimizer": report.optimizer, "task": report.task, "summary": report.summary}
        numbers["panels"] = [
            numbers_of(one, draw(verdict, one))
            for one, (draw, verdict) in zip(axes, panels)  # type: ignore[operator]
        ]
        for one in axes[len(panels) :]:
            one.set_axis_off()
        figure.suptitle(_wrapped(f"{report.optimizer}: {report.summary}"), fontsize=8, x=0.01, ha="left")
        lay_out(figure)
    return figure, numbers | {"provenance": report.provenance}


def save_diagnosis_figure(report: MechanismReport, directory: str | Path) -> list[Path]:
    """Write `diagnosis_figure.png`, `.svg` and `.json` with the numbers drawn; returns their paths."""
    figure, numbers = diagnosis_figure(report)
    return save_named(figure, numbers, directory, "diagnosis_figure")


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 125))
