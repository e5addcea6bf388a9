"""Which function draws which figure, from which parts of a study."""

import dataclasses
from collections.abc import Callable

from optoscope.anatomy import SingleMode
from optoscope.figure_data import FIGURES, Study
from optoscope.figures.adaptation import figure_6, figure_12
from optoscope.figures.further_modes import figure_9, figure_13
from optoscope.figures.grouping import figure_7
from optoscope.figures.meta_training import figure_15
from optoscope.figures.momentum import figure_3, figure_8
from optoscope.figures.performance import figure_1, figure_17
from optoscope.figures.recovered_momentum import figure_14
from optoscope.figures.schedules import figure_5, figure_11
from optoscope.figures.schematic import figure_16
from optoscope.figures.style import Drawn, house_style, lay_out
from optoscope.figures.tuning import tuning_figure
from optoscope.figures.update_functions import figure_2, figure_4, figure_10
from optoscope.information import KnownUpdates

_LINEAR, _ROSENBROCK = "linear_regression", "rosenbrock"


def compose(number: int, study: Study) -> Drawn:
    """Draw a figure in the house style, and lay it out once, so that every file of it is the same."""
    with house_style():
        drawn = _FIGURES[number](study)
        lay_out(drawn.figure)
        return dataclasses.replace(drawn, provenance=study.provenance)


def _rates(study: Study) -> dict[str, float]:
    return {task: float(rules["momentum"].optimizer.learning_rate) for task, rules in study.tuned.items()}  # type: ignore


def _networks(study: Study) -> tuple[str, ...]:
    return FIGURES[7].shown(study.tasks)


def _figure_2(study: Study) -> Drawn:
    assert isinstance(study.known_updates, KnownUpdates)
    return figure_2(study.known_updates)


def _figure_14(study: Study) -> Drawn:
    assert study.momentum_like_anatomy is not None and isinstance(study.single_mode, SingleMode)
    return figure_14(study.momentum_like_anatomy, study.tuned[_LINEAR]["momentum"], study.single_mode)


_FIGURES: dict[int, Callable[[Study], Drawn]] = {
    1: lambda study: figure_1(study.evaluations, study.information),
    2: _figure_2,
    3: lambda study: figure_3(study.anatomies[_ROSENBROCK]),
    4: lambda study: figure_4(study.anatomies[_ROSENBROCK]),
    5: lambda study: figure_5(study.anatomies[_LINEAR], _rates(study)[_LINEAR]),
    6: lambda study: figure_6(study.anatomies[_ROSENBROCK], _rates(study)[_ROSENBROCK]),
    7: lambda study: figure_7(study.anatomies[_networks(study)[0]]),
    8: lambda study: figure_8(study.anatomies),
    9: lambda study: figure_9({task: study.anatomies[task] for task in _networks(study)}),
    10: lambda study: figure_10(study.anatomies),
    11: lambda study: figure_11(study.anatomies, _rates(study)),
    12: lambda study: figure_12(study.anatomies, _rates(study)),
    13: lambda study: figure_13({task: study.anatomies[task] for task in _networks(study)}),
    14: _figure_14,
    15: lambda study: figure_15(study.meta_training, study.meta_training_tasks, study.tuned),
    16: lambda study: figure_16(),
    17: lambda study: figure_17(study.evaluations),
    18: lambda study: tuning_figure(18, _LINEAR, study.tuned[_LINEAR]),
    19: lambda study: tuning_figure(19, _ROSENBROCK, study.tuned[_ROSENBROCK]),
    20: lambda study: tuning_figure(20, "two_moons", study.tuned["two_moons"]),
    21: lambda study: tuning_figure(21, "mnist", study.tuned["mnist"]),
}
