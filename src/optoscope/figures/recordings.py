"""Pictures of a run that was examined: loss, margin, learning rate, clipping, layers, and what the rule explains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optoscope.figures._save import save_named
from optoscope.figures.style import FAINT, INK, NEGATIVE, PAGE, ROW, SOFT, dress, house_style, lay_out, new_figure
from optoscope.recordings.examination import Examination

#: Layers that are drawn, at most: those that move most.
_LAYERS = 40


def draw_loss(examination: Examination, axes: Axes) -> dict[str, Artist]:
    """Draw the loss of each step, with the steps at which it spikes."""
    (line,) = axes.plot(examination.steps, examination.losses, color=INK, lw=0.9)
    finite = examination.losses[np.isfinite(examination.losses)]
    if len(finite) and finite.min() > 0:
        axes.set_yscale("log")
    for one in examination.findings:
        if one["name"] == "spike":
            axes.axvline(one["value"], color=NEGATIVE, lw=0.8, ls="--")
    dress(axes, x="Step", y="Loss")
    return {"loss": line}


def draw_margin(examination: Examination, axes: Axes) -> dict[str, Artist]:
    """Draw the margin where it was measured, the edge at 1, and where its slope leads."""
    (line,) = axes.plot(examination.margin_steps, examination.margins, color=INK, marker="o", ms=3)
    axes.axhline(1.0, color=NEGATIVE, lw=0.8, ls="--")
    if np.isfinite(examination.steps_left) and examination.steps_left > 0:
        last = examination.margin_steps[-1]
        axes.plot([last, last + examination.steps_left], [examination.margins[-1], 1.0], color=SOFT, ls=":")
    axes.set_ylim(bottom=0)
    dress(axes, x="Step", y="Margin (1 is the edge)")
    return {"margin": line}


def draw_rate(examination: Examination, axes: Axes) -> dict[str, Artist]:
    """Draw the learning rate as it was held, and as the updates show it."""
    (held,) = axes.plot(examination.steps, examination.rates, color=FAINT, lw=2.4, label="as held by the optimizer")
    (seen,) = axes.plot(
        examination.rule_steps[: len(examination.step_rates)], examination.step_rates, color=INK, lw=0.8,
        label="as its updates show it",
    )  # fmt: skip
    axes.legend()
    dress(axes, x="Step", y="Learning rate")
    return {"held": held, "seen": seen}


def draw_clipping(examination: Examination, axes: Axes) -> dict[str, Artist]:
    """Draw what clipping leaves of the gradient, and the norm that the optimizer gets."""
    (factor,) = axes.plot(examination.steps, examination.clip_factors, color=INK, lw=0.9, label="left by clipping")
    (norm,) = axes.plot(examination.steps, examination.gradient_norms, color=SOFT, lw=0.9, label="norm of the gradient")
    values = np.concatenate([examination.clip_factors, examination.gradient_norms])
    if (values[np.isfinite(values)] > 0).any():
        axes.set_yscale("log")
    axes.legend()
    dress(axes, x="Step", y="")
    return {"factor": factor, "norm": norm}


def draw_layers(examination: Examination, axes: Axes) -> dict[str, Artist]:
    """Draw each array's update over its parameter, the median over steps; those without a bar do not move."""
    ratios = np.nan_to_num([one["ratio"] for one in examination.layers])
    order = np.arange(len(ratios)) if len(ratios) <= _LAYERS else np.sort(np.argsort(-ratios)[:_LAYERS])
    floor = ratios[ratios > 0].min(initial=1.0) / 10
    bars = axes.barh(range(len(order)), np.maximum(ratios[order], floor) - floor, left=floor, color=SOFT)
    axes.set_xscale("log")
    axes.set_yticks(range(len(order)), [examination.layers[i]["name"] for i in order], fontsize=5)
    axes.invert_yaxis()
    dress(axes, x="Update over parameter, at a step", y="")
    return {"ratios": bars[0]}


def draw_updates(examination: Examination, axes: Axes) -> dict[str, Artist]:
    """Draw the share of each step's updates that the rule does not give."""
    shown = np.maximum(np.nan_to_num(examination.unexplained, nan=1e-16), 1e-16)
    (line,) = axes.plot(examination.rule_steps[: len(shown)], shown, color=INK, lw=0.9)
    axes.set_yscale("log")
    dress(axes, x="Step", y="Share not explained by the rule")
    return {"unexplained": line}


_PICTURES: dict[str, tuple[Callable[[Examination, Axes], dict[str, Artist]], tuple[str, ...]]] = {
    "loss": (draw_loss, ("steps", "losses")),
    "margin": (draw_margin, ("margin_steps", "margins")),
    "learning rate": (draw_rate, ("steps", "rates", "rule_steps", "step_rates")),
    "clipping": (draw_clipping, ("steps", "clip_factors", "gradient_norms")),
    "layers": (draw_layers, ("layers",)),
    "updates": (draw_updates, ("rule_steps", "unexplained")),
}


def examination_figure(examination: Examination) -> tuple[Figure, dict[str, Any]]:
    """Draw all pictures that have something to show below each other; returns the figure and the numbers drawn."""
    shown = {
        name: (draw, {field: getattr(examination, field) for field in fields})
        for name, (draw, fields) in _PICTURES.items()
        if _shows_something(getattr(examination, fields[-1]))
    }
    with house_style():
        figure = new_figure(PAGE, ROW * max(len(shown), 1))
        for axes, (draw, _) in zip(figure.subplots(max(len(shown), 1), squeeze=False)[:, 0], shown.values()):
            draw(examination, axes)
        lay_out(figure)
    return figure, {name: value for _, numbers in shown.values() for name, value in numbers.items()}


def save_pictures(examination: Examination, directory: str | Path) -> list[Path]:
    """Write each picture that has something to show, as PNG and SVG, with the numbers drawn as JSON."""
    paths = []
    for name, (draw, fields) in _PICTURES.items():
        numbers: dict[str, Any] = {field: getattr(examination, field) for field in fields}
        if not _shows_something(numbers[fields[-1]]):
            continue
        with house_style():
            figure = new_figure(PAGE, 2.4 if name != "layers" else 1.0 + 0.12 * min(len(examination.layers), _LAYERS))
            draw(examination, figure.subplots())
            lay_out(figure)
        paths += save_named(figure, numbers, directory, name.replace(" ", "_"))
    return paths


def _shows_something(values: Any) -> bool:
    return bool(len(values)) and (isinstance(values, list) or bool(np.isfinite(values).any()))
