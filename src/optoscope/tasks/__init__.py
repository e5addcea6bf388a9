"""Tasks: distributions of optimization problems."""

import inspect as _inspect

from optoscope._core.allowed import check_setting as _check_setting
from optoscope._core.checks import check_choice as _check_choice
from optoscope._core.literals import name_in as _name_in
from optoscope._core.literals import parse_call as _parse_call
from optoscope.tasks._base import AbstractTask as AbstractTask
from optoscope.tasks._base import Problem as Problem
from optoscope.tasks._data import DataError as DataError
from optoscope.tasks._descriptions import Architecture as Architecture
from optoscope.tasks._descriptions import ConditionNumbers as ConditionNumbers
from optoscope.tasks._descriptions import Description as Description
from optoscope.tasks._descriptions import LabeledPoints as LabeledPoints
from optoscope.tasks._descriptions import LossSurface as LossSurface
from optoscope.tasks._images import ImageProblem as ImageProblem
from optoscope.tasks.digits import Digits as Digits
from optoscope.tasks.linear_regression import LinearRegression as LinearRegression
from optoscope.tasks.linear_regression import LinearRegressionProblem as LinearRegressionProblem
from optoscope.tasks.mnist import MNIST as MNIST
from optoscope.tasks.rosenbrock import Rosenbrock as Rosenbrock
from optoscope.tasks.rosenbrock import RosenbrockProblem as RosenbrockProblem
from optoscope.tasks.two_moons import TwoMoons as TwoMoons
from optoscope.tasks.two_moons import TwoMoonsProblem as TwoMoonsProblem

#: Every task by its own name. One entry here gives a new task its contract tests and its place on the command line.
TASKS: dict[str, type[AbstractTask]] = {
    one.kind: one for one in (LinearRegression, Rosenbrock, TwoMoons, MNIST, Digits)
}


def get(name: str) -> AbstractTask:
    """Return a task by its registered name, with its settings of the paper or with others.

    Args:
        name: such as `two_moons` or `two_moons(num_examples=128, widths=(16, 16, 16))`; arguments are literals.

    Raises:
        ValueError: for an unknown name (the message lists the known ones) or a setting that does not exist.

    >>> get("linear_regression").num_params
    5
    >>> get("linear_regression(num_params=3)").num_params
    3
    """
    call = _parse_call(name, example="two_moons(num_examples=128)")
    _check_choice("task", call.name, TASKS)
    kind = TASKS[call.name]
    try:
        settings = _inspect.signature(kind).bind(*call.args, **call.kwargs).arguments
    except TypeError as error:
        takes = ", ".join(_inspect.signature(kind).parameters) or "no settings"
        raise ValueError(f"{name}: {error}; {call.name} takes {takes}.") from None
    for parameter in _inspect.signature(kind, eval_str=True).parameters.values():
        if parameter.name in settings and parameter.annotation is not parameter.empty:
            settings[parameter.name] = _check_setting(parameter.name, settings[parameter.name], parameter.annotation)
    return kind(**settings)


def is_at_hand(name: str) -> bool:
    """Return whether a task can be made without a download.

    >>> is_at_hand("digits")
    True
    """
    kind = _name_in(name)
    return kind not in TASKS or TASKS[kind].is_at_hand()


def label_of(name: str) -> str:
    """Return what a task is called inside a sentence.

    >>> label_of("linear_regression"), label_of("rosenbrock"), label_of("all_tasks")
    ('linear regression', 'Rosenbrock', 'all tasks')
    """
    return TASKS[name].label if name in TASKS else name.replace("_", " ")


def title_of(name: str) -> str:
    """Return what a task is called at the beginning of a line.

    >>> title_of("linear_regression"), title_of("mnist")
    ('Linear regression', 'MNIST')
    """
    label = label_of(name)
    return label[:1].upper() + label[1:]


def name_of(task: AbstractTask) -> str:
    """Return a task's registered name, with the settings that differ from the paper's; else its class name.

    >>> name_of(Rosenbrock())
    'rosenbrock'
    >>> name_of(LinearRegression(num_params=3))
    'linear_regression(num_params=3)'
    """
    return task.name
