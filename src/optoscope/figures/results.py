"""What `.plot()` of a result draws."""

import dataclasses
import functools
import typing
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from optoscope._core.shown import Shown, axes_of
from optoscope.distillation import Distilled
from optoscope.figures.ablation import ablation_figure
from optoscope.figures.comparison import comparison_figure
from optoscope.figures.diagnosis import diagnosis_figure
from optoscope.figures.distillation import distillation_figure
from optoscope.figures.generalization import generalization_figure
from optoscope.figures.loss_curves import draw_loss_curves
from optoscope.figures.recordings import examination_figure
from optoscope.figures.stability import stability_figure
from optoscope.figures.structure import structure_figure
from optoscope.figures.style import PAGE, ROW, dress, house_style, label_of, new_figure
from optoscope.interventions import Ablation
from optoscope.mechanisms import Comparison, MechanismReport
from optoscope.recordings import Examination
from optoscope.robustness.generalization import GeneralizationMatrix
from optoscope.robustness.stability import StabilityStudy
from optoscope.running import Evaluation
from optoscope.whole import Structure

_MOST_PANELS = 4
_MOST_LINES = 12


@functools.singledispatch
def figure_of(result: Any) -> Figure:
    """Draw a result; one without a drawing of its own is drawn as its arrays over their axes."""
    with house_style():
        panels = _panels(result)
        figure = new_figure(PAGE, ROW)
        for axes, (name, values, names) in zip(figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels):
            axes.plot(np.atleast_1d(values.T), marker="." if values.shape[-1] < 30 else None)
            dress(axes, title=name.replace("_", " "), x=names[-1].replace("_", " "), y="")
        return figure


def _panels(result: Any) -> list[tuple[str, np.ndarray, tuple[str, ...]]]:
    """Arrays of real numbers along one axis, or a few lines along it."""
    found, hints = [], typing.get_type_hints(type(result))
    for field in dataclasses.fields(result) if isinstance(result, Shown) else ():  # pyright: ignore[reportArgumentType]
        values = getattr(result, field.name)
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiuc" and values.ndim and values.size:
            names = axes_of(field.name, hints[field.name], values.ndim)
            lines = np.abs(values) if values.dtype.kind == "c" else values
            lines = lines.reshape(-1, lines.shape[-1])[:_MOST_LINES].astype(float)
            found.append((field.name, np.where(np.isfinite(lines), lines, np.nan), names))
    return found[:_MOST_PANELS]


for _kind, _draw in (
    (Ablation, ablation_figure),
    (Comparison, comparison_figure),
    (Distilled, distillation_figure),
    (Examination, examination_figure),
    (GeneralizationMatrix, generalization_figure),
    (MechanismReport, diagnosis_figure),
    (StabilityStudy, stability_figure),
    (Structure, structure_figure),
):
    figure_of.register(_kind, lambda result, draw=_draw: draw(result)[0])


@figure_of.register
def _(result: Evaluation) -> Figure:
    with house_style():
        figure = new_figure(PAGE, 1.25 * ROW)
        axes = figure.subplots()
        draw_loss_curves(result, axes)
        dress(axes, title=label_of(result.task), x="Iteration", y="Loss")
        axes.legend(loc="upper right")
        return figure
