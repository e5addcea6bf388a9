"""A figure of the paper, drawn anew, and its files."""

import dataclasses
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from optoscope.figures._save import save_named


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure of the paper, drawn anew.

    Attributes:
        title: what it is about.
        figure: the picture.
        numbers: `summary` (the key numbers), and per panel its labels and every series that was drawn.
        caption: what one sees.
        number: the figure's number in the paper; its record knows it, the function that draws it does not.
        provenance: who made the results.
    """

    title: str
    figure: Figure
    numbers: dict[str, Any]
    caption: str
    number: int = 0
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)


def save_figure(drawn: Drawn, directory: str | Path, *, made_with: str | None = None) -> list[Path]:
    """Write `figure_N.png`, `figure_N.svg`, and `figure_N.json` with the numbers drawn.

    Args:
        drawn: the figure.
        directory: made if it is not there.
        made_with: the command that makes it.

    Returns:
        The three paths.
    """
    text = {
        "figure": drawn.number,
        "title": drawn.title,
        "caption": drawn.caption,
        "made_with": made_with or f"optoscope figure {drawn.number}",
        "provenance": drawn.provenance,
        **drawn.numbers,
    }
    return save_named(drawn.figure, text, directory, f"figure_{drawn.number}")
