"""The paper's figures: they draw results and compute none.

This is the only place that imports matplotlib, and only when something is drawn.
"""

from typing import TYPE_CHECKING

from optoscope._choices import check_choice
from optoscope.figure_data import FIGURES, Study, figures_for

if TYPE_CHECKING:
    from optoscope.figures.style import Drawn as Drawn

#: The figures that can be drawn.
NUMBERS: list[int] = list(FIGURES)


def available(study: Study) -> list[int]:
    """Return the numbers of the figures for which a study holds everything."""
    return [
        number
        for number in figures_for(study.tasks, study.tuned)
        if all(_holds(study, part, FIGURES[number].shown(study.tasks)) for part in FIGURES[number].parts)
    ]


def draw(number: int, study: Study) -> "Drawn":
    """Draw a figure of the paper.

    Args:
        number: one of `NUMBERS`.
        study: the results, from `make_study`.

    Returns:
        The figure, with the numbers drawn and a caption.

    Raises:
        ValueError: for an unknown number, or one whose results the study does not hold.
    """
    check_choice("figure", str(number), map(str, NUMBERS))
    check_choice("figure that this study can draw", str(number), map(str, available(study)))
    from optoscope.figures._compose import compose

    return compose(number, study)


def __getattr__(name: str):
    if name == "Drawn":
        from optoscope.figures.style import Drawn

        return Drawn
    raise AttributeError(f"module 'optoscope.figures' has no attribute {name!r}.")


def _holds(study: Study, part: str, task_names: tuple[str, ...]) -> bool:
    if part == "momentum_like":
        return study.momentum_like_anatomy is not None and study.single_mode is not None
    value = getattr(study, part)
    if part in ("known_updates", "meta_training", "information"):
        return bool(value)
    return all(name in value for name in task_names)
