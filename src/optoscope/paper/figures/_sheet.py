"""Panels of one optimizer in a row, or of several in columns: the same parts in other places."""

import dataclasses
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optoscope.figures.style import PAGE, dress, label_of, new_figure

_LETTERS = "abcdefgh"
#: Where the parts stand, for captions: side by side, or one above the other.
_ACROSS = {2: ("Left", "Right"), 3: ("Left", "Middle", "Right")}
_DOWN = {2: ("Top", "Bottom"), 3: ("Top", "Middle row", "Bottom")}


@dataclasses.dataclass(frozen=True)
class Sheet:
    """The panels of a figure about one or several optimizers.

    Attributes:
        figure: the canvas.
        panels: axes [part, task].
        is_single: whether it is about one optimizer, whose parts then stand side by side and have a title each.
    """

    figure: Figure
    panels: np.ndarray
    is_single: bool

    def dress(self, part: int, column: int, task: str, axes: Axes, *, title: str, x: str, y: str) -> None:
        """Give a panel its letter and title: its own if there is one optimizer, else the task's above each column."""
        if self.is_single:
            dress(axes, letter=_LETTERS[part], title=title, x=x, y=y)
        else:
            dress(axes, letter=_LETTERS[column] * (part == 0), title=label_of(task) * (part == 0), x=x, y=y)

    def key(self, part: str, task: str) -> str:
        """Return the name of a panel among the numbers drawn."""
        return part if self.is_single else f"{task}, {part}"

    @property
    def where(self) -> tuple[str, ...]:
        """Where the parts stand, in words."""
        return (_ACROSS if self.is_single else _DOWN)[len(self.panels)]

    def align(self) -> None:
        """Align the labels of the first column, where there are columns."""
        if not self.is_single:
            self.figure.align_ylabels(self.panels[:, 0])


def sheet(num_parts: int, num_columns: int, *, single: dict[str, Any] | None, height: float, narrowest: float) -> Sheet:
    """Return the panels of a figure.

    Args:
        num_parts: panels per optimizer.
        num_columns: optimizers.
        single: for a figure about one optimizer its `height` and the `width_ratios` of its parts; None for columns.
        height: of a figure with columns.
        narrowest: least width of a figure with columns.
    """
    if single is not None:
        figure = new_figure(PAGE, single["height"])
        panels = figure.subplots(1, num_parts, width_ratios=single.get("width_ratios")).reshape(num_parts, 1)
        return Sheet(figure, panels, True)
    figure = new_figure(max(PAGE / 2 * num_columns, narrowest), height)
    return Sheet(figure, figure.subplots(num_parts, num_columns, squeeze=False), False)
