"""Gradient descent."""

from typing import final

import jax.numpy as jnp

from optoscope._core.checks import check_number
from optoscope._core.types import Array, Float, Scalar
from optoscope.optimizers._base import AbstractOptimizer


@final
class GradientDescent(AbstractOptimizer):
    """Gradient descent: `dx = -learning_rate * g`. It has no state (Cauchy, 1847).

    Args:
        learning_rate: positive, in units of parameter over gradient.

    Raises:
        ValueError: if `learning_rate` is not positive and finite.

    >>> h, dx = GradientDescent(0.5).step(GradientDescent(0.5).initial_state(), 2.0)
    >>> float(dx)
    -1.0
    """

    learning_rate: Scalar

    def __check_init__(self):
        check_number("learning_rate", self.learning_rate, low=0, open_low=True, hint="try 0.1")

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(0)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        return h, -self.learning_rate * g
