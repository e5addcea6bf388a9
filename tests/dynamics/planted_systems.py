"""Small optimizers whose dynamics are known in closed form."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from optoscope._types import Scalar
from optoscope.optimizers import AbstractOptimizer


class Cubic(AbstractOptimizer):
    """`h' = h + rate * (g - (h^3 - h))`: fixed points on `g = h^3 - h`, folds at `h = -+1/sqrt(3)`."""

    rate: Scalar = 0.1

    def initial_state(self):
        return jnp.ones(1)

    def step(self, h, g):
        h = h + self.rate * (g - (h**3 - h))
        return h, -h[0]


class Counter(AbstractOptimizer):
    """`h' = h + 1`: it has no fixed point."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        return h + 1, -g / h[0]


class LinearSystem(AbstractOptimizer):
    """`h' = A h + B g`, `dx = C h + D g`."""

    A: Float[Array, "state state"]
    B: Float[Array, " state"]
    C: Float[Array, " state"]
    D: Scalar = 0.0

    def initial_state(self):
        return jnp.zeros(len(self.B))

    def step(self, h, g):
        return self.A @ h + self.B * g, self.C @ h + self.D * g


class RootState(AbstractOptimizer):
    """`h' = sqrt(h) / 2 + g`: no derivative at 0."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        h = jnp.sqrt(h) / 2 + g
        return h, -h[0]
