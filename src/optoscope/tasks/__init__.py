"""Tasks: distributions of optimization problems."""

from optoscope._checks import check_choice as _check_choice
from optoscope.tasks._base import AbstractTask as AbstractTask
from optoscope.tasks._base import Problem as Problem
from optoscope.tasks.linear_regression import LinearRegression as LinearRegression
from optoscope.tasks.linear_regression import LinearRegressionProblem as LinearRegressionProblem
from optoscope.tasks.rosenbrock import Rosenbrock as Rosenbrock
from optoscope.tasks.rosenbrock import RosenbrockProblem as RosenbrockProblem

#: Every task by name. One line here gives a new task its contract tests and its place on the command line.
TASKS: dict[str, type[AbstractTask]] = {
    "linear_regression": LinearRegression,
    "rosenbrock": Rosenbrock,
}


def get(name: str) -> AbstractTask:
    """Return a task with its settings of the paper, by its registered name.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.

    >>> get("linear_regression").num_params
    5
    """
    _check_choice("task", name, TASKS)
    return TASKS[name]()


def name_of(task: AbstractTask) -> str:
    """Return the registered name of a task, or its class name if it is not registered.

    >>> name_of(Rosenbrock())
    'rosenbrock'
    """
    for name, kind in TASKS.items():
        if type(task) is kind:
            return name
    return type(task).__name__
