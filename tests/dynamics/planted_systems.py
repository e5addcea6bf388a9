"""Small optimizers whose dynamics are known in closed form."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from optoscope._core.types import Scalar
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


class Planar(AbstractOptimizer):
    """`x' = 1 - 1.05 x^2 + y`, `y' = -0.9 x`, whatever the gradient (Henon's map, 1976): a spiral and a saddle."""

    def initial_state(self):
        return jnp.zeros(2)

    def step(self, h, g):
        return jnp.stack([1 - 1.05 * h[0] ** 2 + h[1], -0.9 * h[0]]), -g


class Sided(AbstractOptimizer):
    """`dx = -g` for negative gradients and `-factor g` for positive ones, behind a memory or not."""

    factor: Scalar
    decay: Scalar = 0.0

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        h = self.decay * h + jnp.where(g > 0, self.factor * g, g)
        return h, -h[0]


class Integral(AbstractOptimizer):
    """`h' = h + g`, `dx = -rate (g + weight h')`: proportional and integral action."""

    rate: Scalar
    weight: Scalar

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        h = h + g
        return h, -self.rate * (g + self.weight * h[0])
