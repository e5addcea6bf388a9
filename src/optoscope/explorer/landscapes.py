"""Losses of two parameters on which optimizers race in the page."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optoscope.explorer.program import translate
from optoscope.tasks.rosenbrock import Rosenbrock, RosenbrockProblem


@dataclasses.dataclass(frozen=True)
class Landscape:
    """A loss of two parameters.

    Attributes:
        label: what it is called.
        loss: of parameters [2], the condition number and the largest curvature.
        window: lowest and highest x, lowest and highest y.
        start: where runs start unless someone else is said.
        has_condition, has_curvature: which settings it takes.
    """

    label: str
    loss: Callable[[Any, Any, Any], Any]
    window: tuple[float, float, float, float]
    start: tuple[float, float]
    has_condition: bool = False
    has_curvature: bool = False


def _quadratic(x, condition, curvature):
    return 0.5 * curvature * (x[0] ** 2 / condition + x[1] ** 2)


def _saddle(x, condition, curvature):
    return curvature * (0.5 * x[0] ** 2 - 0.5 * x[1] ** 2 + 0.25 * x[1] ** 4)


def _rosenbrock(x, condition, curvature):
    return Rosenbrock().loss(RosenbrockProblem(initial_params=x), x, jax.random.key(0))  # it draws nothing


LANDSCAPES = {
    "quadratic": Landscape("quadratic", _quadratic, (-2.0, 2.0, -1.5, 1.5), (-1.6, 1.1), True, True),
    "rosenbrock": Landscape("Rosenbrock", _rosenbrock, (-2.0, 2.0, -1.0, 3.0), (-1.5, 1.5)),
    "saddle": Landscape("saddle with two minima", _saddle, (-1.6, 1.6, -1.6, 1.6), (1.2, 0.02), False, True),
}


def runnable_landscapes(pool: dict[str, str]) -> dict[str, Any]:
    """Return all landscapes as JSON data: programs of (x, condition, curvature) to (loss, gradient)."""
    found = {}
    for name, one in LANDSCAPES.items():

        def value_and_gradient(x, condition, curvature, loss=one.loss):
            value, gradient = jax.value_and_grad(loss)(x, condition, curvature)
            return gradient, value

        program = translate(value_and_gradient, x=jnp.zeros(2), condition=1.0, curvature=1.0)
        about = {field.name: getattr(one, field.name) for field in dataclasses.fields(one) if field.name != "loss"}
        found[name] = about | {"program": program.to_json(pool)}
    return found
