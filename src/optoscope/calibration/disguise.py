"""The same optimizer in other units and other coordinates: what it does is unchanged, what it looks like is not."""

from typing import final

import jax.numpy as jnp
import numpy as np

from optoscope._core.checks import check_number
from optoscope._core.types import Array, Bool, Float, Scalar
from optoscope.optimizers import AbstractOptimizer


@final
class InUnits(AbstractOptimizer):
    """`dx = output_scale * step(input_scale * g)`: the optimizer for gradients and parameters in other units.

    Args:
        optimizer: the rule.
        input_scale: multiplies the gradient.
        output_scale: multiplies the update.

    Raises:
        ValueError: if a scale is not positive.

    >>> from optoscope.optimizers import GradientDescent
    >>> h, dx = InUnits(GradientDescent(0.5), input_scale=10.0, output_scale=2.0).step(jnp.zeros(0), 1.0)
    >>> float(dx)
    -10.0
    """

    optimizer: AbstractOptimizer
    input_scale: Float[np.ndarray, ""]
    output_scale: Float[np.ndarray, ""]

    def __init__(self, optimizer: AbstractOptimizer, *, input_scale: float = 1.0, output_scale: float = 1.0):
        check_number("input_scale", input_scale, low=0, open_low=True, hint="1 passes the gradient on")
        check_number("output_scale", output_scale, low=0, open_low=True, hint="1 passes the update on")
        self.optimizer = optimizer
        self.input_scale = np.asarray(input_scale, np.float64)
        self.output_scale = np.asarray(output_scale, np.float64)

    def initial_state(self) -> Float[Array, " state"]:
        return self.optimizer.initial_state()

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        h = jnp.asarray(h)
        h, dx = self.optimizer.step(h, jnp.asarray(self.input_scale, h.dtype) * g)
        return h, jnp.asarray(self.output_scale, h.dtype) * dx

    def has_derivative(self, h: Float[Array, " state"], g: Scalar) -> Bool[Array, ""]:
        return self.optimizer.has_derivative(h, jnp.asarray(self.input_scale, h.dtype) * g)


@final
class InCoordinates(AbstractOptimizer):
    """The optimizer with the state `h = mixing z + offset` instead of its own state `z`.

    Args:
        optimizer: the rule.
        mixing: an invertible matrix.
        offset: where the origin goes.

    Raises:
        ValueError: if the shapes do not fit the optimizer's state.

    >>> from optoscope.optimizers import Momentum
    >>> mixed = InCoordinates(Momentum(0.1, 0.9), mixing=[[2.0]], offset=[3.0])
    >>> h, dx = mixed.step(mixed.initial_state(), 1.0)
    >>> float(h[0]), round(float(dx), 3)
    (5.0, -0.1)
    """

    optimizer: AbstractOptimizer
    mixing: Float[np.ndarray, "state state"]
    inverse: Float[np.ndarray, "state state"]
    offset: Float[np.ndarray, " state"]

    def __init__(self, optimizer: AbstractOptimizer, *, mixing, offset):
        mixing, offset = np.asarray(mixing, np.float64), np.asarray(offset, np.float64)
        n = optimizer.num_states
        if mixing.shape != (n, n) or offset.shape != (n,):
            raise ValueError(
                f"`mixing` and `offset` must have shapes {(n, n)} and {(n,)}, got {mixing.shape} and {offset.shape}."
            )
        self.optimizer, self.mixing, self.offset = optimizer, mixing, offset
        self.inverse = np.linalg.inv(mixing)

    def initial_state(self) -> Float[Array, " state"]:
        z = self.optimizer.initial_state()
        return self._mixed(z)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        h = jnp.asarray(h)
        z, dx = self.optimizer.step(self._own(h), g)
        return self._mixed(z), dx

    def has_derivative(self, h: Float[Array, " state"], g: Scalar) -> Bool[Array, ""]:
        return self.optimizer.has_derivative(self._own(h), g)

    def _own(self, h):
        return jnp.asarray(self.inverse, h.dtype) @ (h - jnp.asarray(self.offset, h.dtype))

    def _mixed(self, z):
        return jnp.asarray(self.mixing, z.dtype) @ z + jnp.asarray(self.offset, z.dtype)


def in_random_coordinates(
    optimizer: AbstractOptimizer, rng: np.random.Generator, *, spread: float = 2.0, mixed: bool = True
) -> InCoordinates:
    """Mix all states of an optimizer by a random matrix whose condition number is at most `spread` squared.

    Over sixteen decades of gradients no double holds the square of a small one beside a number of size 1: where all are
    tried, states can be permuted and scaled only.

    Args:
        optimizer: the rule.
        rng: draws the matrix and the offset.
        spread: singular values lie in [1/spread, spread].
        mixed: whether states are mixed and moved; else they change places and units.
    """
    n = optimizer.num_states
    left, _ = np.linalg.qr(rng.standard_normal((n, n)))
    right, _ = np.linalg.qr(rng.standard_normal((n, n)))
    values = spread ** rng.uniform(-1, 1, n)
    offset = rng.standard_normal(n)
    if not mixed:
        return InCoordinates(optimizer, mixing=np.diag(values)[np.argsort(offset)], offset=np.zeros(n))
    return InCoordinates(optimizer, mixing=(left * values) @ right, offset=offset)
