"""RMSProp and Adam in the forms that the paper's authors tuned (METHODS: no bias correction)."""

from typing import final

import jax.numpy as jnp

from optoscope._core.checks import check_number
from optoscope._core.types import Array, Bool, Float, Scalar
from optoscope.optimizers._base import AbstractOptimizer


@final
class RMSProp(AbstractOptimizer):
    """RMSProp: `m' = decay * m + (1 - decay) * g^2`, `dx = -learning_rate * g / sqrt(m' + eps)`.

    Tieleman and Hinton (2012), with `eps` inside the root, as the paper's authors have it.

    Args:
        learning_rate: positive.
        decay: timescale of the mean square, in [0, 1).
        eps: positive; keeps the root away from 0.

    Raises:
        ValueError: if an argument lies outside its range.

    >>> import jax.numpy as jnp
    >>> h, dx = RMSProp(learning_rate=0.1, decay=0.0, eps=1e-12).step(jnp.zeros(1), -3.0)
    >>> round(float(dx), 4)
    0.1
    """

    learning_rate: Scalar
    decay: Scalar
    eps: Scalar = 1e-5

    def __check_init__(self):
        check_number("learning_rate", self.learning_rate, low=0, open_low=True, hint="try 0.01")
        check_number("decay", self.decay, low=0, high=1, hint="0.9 is customary")
        check_number("eps", self.eps, low=0, open_low=True, hint="1e-5 is the authors' value")

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(1)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        h = self.decay * h + (1 - self.decay) * g * g
        return h, -self.learning_rate * g / jnp.sqrt(h[0] + self.eps)


@final
class Adam(AbstractOptimizer):
    """Adam without bias correction: state `(v, m)`.

    `v' = b1 * v + (1 - b1) * g`, `m' = b2 * m + (1 - b2) * g^2`, `dx = -learning_rate * v' / (sqrt(m') + eps)`
    (Kingma and Ba, 2014; the authors' form has no bias correction). At `m = 0`, `g = 0` the root has no
    derivative: there is no linearization there, and the functions of `optoscope.dynamics` say so. Derivatives of whole
    runs take it for 0 there, so that a parameter which never met a gradient has none.

    Args:
        learning_rate: positive.
        b1: decay of the mean gradient, in [0, 1).
        b2: decay of the mean square, in [0, 1).
        eps: positive.

    Raises:
        ValueError: if an argument lies outside its range.

    >>> import jax.numpy as jnp
    >>> h, dx = Adam(learning_rate=0.1, b1=0.0, b2=0.0, eps=1e-12).step(jnp.zeros(2), 5.0)
    >>> round(float(dx), 4)
    -0.1
    """

    learning_rate: Scalar
    b1: Scalar
    b2: Scalar
    eps: Scalar = 1e-5

    def __check_init__(self):
        check_number("learning_rate", self.learning_rate, low=0, open_low=True, hint="try 0.001")
        check_number("b1", self.b1, low=0, high=1, hint="0.9 is customary")
        check_number("b2", self.b2, low=0, high=1, hint="0.999 is customary")
        check_number("eps", self.eps, low=0, open_low=True, hint="1e-5 is the authors' value")

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(2)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        v = self.b1 * h[0] + (1 - self.b1) * g
        m = self._mean_square(h, g)
        return jnp.stack([v, m]), -self.learning_rate * v / (_root(m) + self.eps)

    def has_derivative(self, h: Float[Array, " state"], g: Scalar) -> Bool[Array, ""]:
        return jnp.asarray(self._mean_square(h, g) != 0)

    def _mean_square(self, h, g):
        return self.b2 * h[1] + (1 - self.b2) * g * g


def _root(square):
    """The square root, with the derivative 0 at 0 in place of an infinite one."""
    return jnp.where(square != 0, jnp.sqrt(jnp.where(square != 0, square, 1)), 0)
