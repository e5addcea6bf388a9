"""Losses of two parameters, or of a matrix, on which optimizers race in the page."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optoscope.explorer.program import translate
from optoscope.tasks.rosenbrock import Rosenbrock, RosenbrockProblem

#: Shape of the matrices on which whole optimizers race.
MATRIX = (3, 3)


@dataclasses.dataclass(frozen=True)
class Landscape:
    """A loss of two parameters, or of a matrix whose entries lie one after the other.

    Attributes:
        label: what it is called.
        loss: of parameters, the condition number and the largest curvature.
        window: lowest and highest x, lowest and highest y; None of a matrix.
        start: where runs start unless someone else is said.
        has_condition, has_curvature: which settings it takes.
        noise: on gradients, unless someone else is said.
    """

    label: str
    loss: Callable[[Any, Any, Any], Any]
    window: tuple[float, float, float, float] | None
    start: tuple[float, ...]
    has_condition: bool = False
    has_curvature: bool = False
    noise: float = 0.0


def _quadratic(x, condition, curvature):
    return 0.5 * curvature * (x[0] ** 2 / condition + x[1] ** 2)


def _saddle(x, condition, curvature):
    return curvature * (0.5 * x[0] ** 2 - 0.5 * x[1] ** 2 + 0.25 * x[1] ** 4)


def _rosenbrock(x, condition, curvature):
    return Rosenbrock().loss(RosenbrockProblem(initial_params=x), x, jax.random.key(0))  # it draws nothing


def _valley(x, condition, curvature):
    """A valley that bends, whose floor slopes gently."""
    return curvature * (0.5 * (x[1] - 0.5 * jnp.sin(1.5 * x[0])) ** 2 + 0.5 * (x[0] - 1.5) ** 2 / condition)


def _matrix(x, condition, curvature):
    """`1/2 |(X - X*) R|^2`: rows alike, columns with curvatures over the whole condition number."""
    rng = np.random.default_rng(4)
    turned = np.linalg.qr(rng.standard_normal(MATRIX))[0]
    sizes = jnp.sqrt(curvature) * condition ** (-0.5 * jnp.linspace(0.0, 1.0, MATRIX[1]))
    away = x.reshape(MATRIX) - rng.standard_normal(MATRIX)
    return 0.5 * jnp.sum(((away @ turned) * sizes) ** 2)


LANDSCAPES = {
    "quadratic": Landscape("quadratic", _quadratic, (-2.0, 2.0, -1.5, 1.5), (-1.6, 1.1), True, True),
    "rosenbrock": Landscape("Rosenbrock", _rosenbrock, (-2.0, 2.0, -1.0, 3.0), (-1.5, 1.5)),
    "saddle": Landscape("saddle with two minima", _saddle, (-1.6, 1.6, -1.6, 1.6), (1.2, 0.02), False, True),
    "valley": Landscape("noisy valley", _valley, (-2.0, 2.2, -1.5, 1.5), (-1.6, 1.1), True, True, noise=0.3),
    "matrix": Landscape("matrix, badly conditioned", _matrix, None, (0.0,) * (MATRIX[0] * MATRIX[1]), True, True),
}


def runnable_landscapes(pool: dict[str, str]) -> dict[str, Any]:
    """Return all landscapes as JSON data: programs of (x, condition, curvature) to (gradient, loss)."""
    found = {}
    for name, one in LANDSCAPES.items():

        def gradient_and_value(x, condition, curvature, loss=one.loss):
            value, gradient = jax.value_and_grad(loss)(x, condition, curvature)
            return gradient, value

        program = translate(gradient_and_value, x=jnp.zeros(len(one.start)), condition=1.0, curvature=1.0)
        about = {field.name: getattr(one, field.name) for field in dataclasses.fields(one) if field.name != "loss"}
        found[name] = about | {"program": program.to_json(pool)}
    return found
