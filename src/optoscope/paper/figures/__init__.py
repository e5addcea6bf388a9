"""The paper's figures: one record each, with what it needs; they draw what a study knows, and compute nothing.

matplotlib is loaded only when something is drawn.
"""

import dataclasses
import importlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from optoscope._core.choices import check_choice
from optoscope.paper.study import LINEAR_REGRESSION, NETWORKS, PAPER_TASKS, ROSENBROCK, Study

if TYPE_CHECKING:
    from optoscope.paper.figures.drawn import Drawn as Drawn


@dataclasses.dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper.

    Attributes:
        number: its number there.
        module: where `figure_NUMBER(study, tasks)` draws it, in this folder.
        tasks: without which it does not exist; it shows all tasks of a study if empty.
        any_of: of these tasks it shows the ones that a study has, and needs one.
        of: what it is about: learned optimizers, tuned baselines, the optimizer that recovers momentum, optimizers with
            snapshots of their meta-training, or nothing that a study holds.
    """

    number: int
    module: str
    tasks: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    of: Literal["learned", "tuned", "momentum-like", "snapshots", "nothing"] = "learned"

    def shown(self, task_names: Collection[str]) -> tuple[str, ...]:
        """Return the tasks that the figure shows, of those that there are."""
        return self.tasks or tuple(name for name in self.any_of or task_names if name in task_names)

    def exists(self, task_names: Collection[str], tuned_names: Collection[str] = ()) -> bool:
        """Return whether there is such a figure for tasks with learned optimizers, and with tuned ones only."""
        there = {*task_names, *tuned_names} if self.of == "tuned" else set(task_names)
        return set(self.tasks) <= there and (not self.any_of or bool(there.intersection(self.any_of)))

    def is_held(self, study: Study) -> bool:
        """Return whether a study holds what the figure shows."""
        if not self.exists(study.tasks, study.tuned):
            return False
        if self.of == "momentum-like":
            return study.momentum_like is not None
        return self.of != "snapshots" or bool(study.followed)

    def draw(self, study: Study) -> "Drawn":
        """Draw it in the house style, and lay it out once, so that every file of it is the same."""
        from optoscope.figures.style import house_style, lay_out

        function = getattr(importlib.import_module(f"optoscope.paper.figures.{self.module}"), f"figure_{self.number}")
        with house_style():
            drawn = function(study, self.shown(study.tasks))
            lay_out(drawn.figure)
        return dataclasses.replace(drawn, number=self.number, provenance=study.provenance)


_LINEAR, _ROSENBROCK = (LINEAR_REGRESSION,), (ROSENBROCK,)
#: Every figure of the paper, by its number.
FIGURES: dict[int, PaperFigure] = {
    one.number: one
    for one in (
        PaperFigure(1, "performance"),
        PaperFigure(2, "update_functions", of="nothing"),
        PaperFigure(3, "leading_modes", tasks=_ROSENBROCK),
        PaperFigure(4, "update_functions", tasks=_ROSENBROCK),
        PaperFigure(5, "schedules", tasks=_LINEAR),
        PaperFigure(6, "adaptation", tasks=_ROSENBROCK),
        PaperFigure(7, "grouping", any_of=NETWORKS),
        PaperFigure(8, "leading_modes"),
        PaperFigure(9, "further_modes", any_of=NETWORKS),
        PaperFigure(10, "update_functions"),
        PaperFigure(11, "schedules"),
        PaperFigure(12, "adaptation"),
        PaperFigure(13, "further_modes", any_of=NETWORKS),
        PaperFigure(14, "recovered_momentum", tasks=_LINEAR, of="momentum-like"),
        PaperFigure(15, "meta_training", tasks=_LINEAR, of="snapshots"),
        PaperFigure(16, "schematic", of="nothing"),
        PaperFigure(17, "performance"),
        *(PaperFigure(18 + i, "tuning", tasks=(task,), of="tuned") for i, task in enumerate(PAPER_TASKS)),
    )
}


def figures_for(task_names: Collection[str], tuned_names: Collection[str] = ()) -> list[int]:
    """Return the numbers of the figures that exist for some tasks.

    Args:
        task_names: tasks with learned optimizers.
        tuned_names: tasks with tuned baselines only.

    >>> 6 in figures_for(["linear_regression"]), 20 in figures_for(["linear_regression"], ["two_moons"])
    (False, True)
    """
    return [number for number, one in FIGURES.items() if one.exists(task_names, tuned_names)]


def available(study: Study) -> list[int]:
    """Return the numbers of the figures for which a study holds everything."""
    return [number for number, one in FIGURES.items() if one.is_held(study)]


def draw(number: int, study: Study) -> "Drawn":
    """Draw a figure of the paper.

    Args:
        number: one of `FIGURES`.
        study: what it shows.

    Returns:
        The figure, with the numbers drawn and a caption.

    Raises:
        ValueError: for an unknown number, or one whose results the study does not hold.
    """
    check_choice("figure", str(number), map(str, FIGURES))
    if not FIGURES[number].is_held(study):
        check_choice("figure that this study can draw", str(number), map(str, available(study)))
    return FIGURES[number].draw(study)
