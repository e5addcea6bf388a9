"""Changes to how the update depends on the present gradient: no clipping, other clipping, no offset, no way back."""

from typing import Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp

from optoscope._core.checks import check_choice, check_count, check_number
from optoscope._core.types import Array, Float, Scalar
from optoscope.interventions._base import AbstractIntervention, Advance
from optoscope.optimizers import AbstractOptimizer


@final
class Tangent(AbstractOptimizer):
    """No clipping: the update function is replaced by its tangent at g = 0.

    `dx = r(h, 0) + r_g(h, 0) g`, where `r(h, g)` is the base's update. What is removed: every departure of the update
    from a line in the present gradient. What remains: momentum, schedule and adaptation, because offset and slope are
    those of the present state. The state itself moves on in one of two ways:

    - `state="real"`: `h' = F(h, g)`, so that its own saturation, and with it the clipping of what is remembered, stays.
    - `state="tangent"`: `h' = F(h, 0) + F_g(h, 0) g`: nothing saturates in the present gradient any more.

    Args:
        base: the optimizer.
        state: how the state moves on.

    Raises:
        ValueError: for another `state`.

    >>> from optoscope.optimizers import Momentum
    >>> rule = Tangent(ClipGradient(Momentum(0.5, 0.5), 1.0), state="tangent")
    >>> float(rule.step(rule.initial_state(), 3.0)[1])
    -1.5
    """

    base: AbstractOptimizer
    state: Literal["real", "tangent"] = eqx.field(static=True, default="real")

    def __check_init__(self):
        check_choice("way for the state", self.state, ("real", "tangent"))

    def initial_state(self) -> Float[Array, " state"]:
        return self.base.initial_state()

    # Many components are the `vmap` of this: a base's `step_components` need not have forward-mode derivatives.
    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        g = jnp.asarray(g, h.dtype)
        (rest_h, offset), (h_tangent, dx_tangent) = jax.jvp(
            lambda g: self.base.step(h, g), (jnp.zeros((), h.dtype),), (g,)
        )
        new_h = rest_h + h_tangent if self.state == "tangent" else self.base.step(h, g)[0]
        return new_h, offset + dx_tangent


@final
class ClipGradient(AbstractIntervention):
    """Clipping by hand: the base sees `clip(g, -threshold, threshold)`.

    Args:
        base: the optimizer.
        threshold: largest magnitude that it is shown; positive.

    Raises:
        ValueError: if the threshold is not positive.
    """

    base: AbstractOptimizer
    threshold: Scalar

    def __check_init__(self):
        check_number("threshold", self.threshold, low=0, open_low=True, hint="use a gradient that the task's runs meet")

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        threshold = jnp.asarray(self.threshold, g.dtype)
        return advance(h, jnp.clip(g, -threshold, threshold))


@final
class Monotonic(AbstractIntervention):
    """An update function that never slopes back: its running maximum over `|g|`.

    At each state, `dx` is the update at that gradient between 0 and the present one that moves the parameter farthest
    against the gradient. Where the base's update function is monotonic this is the present gradient itself, and the
    update is the base's. The state sees the real gradient.

    Args:
        base: the optimizer.
        num_points: gradients tried between 0 and the present one.

    Raises:
        ValueError: if `num_points` is not a positive whole number.
    """

    base: AbstractOptimizer
    num_points: int = eqx.field(static=True, default=16)

    def __check_init__(self):
        check_count("num_points", self.num_points)

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        new_h, best = advance(h, g)
        direction = jnp.sign(g)

        def compare(best, fraction):
            _, dx = advance(h, fraction * g)
            return jnp.where(direction * dx < direction * best, dx, best), None

        fractions = jnp.arange(1, self.num_points, dtype=g.dtype) / self.num_points
        return new_h, jax.lax.scan(compare, best, fractions)[0]


@final
class RemoveOffset(AbstractIntervention):
    """No momentum in the update: `dx = r(h, g) - r(h, 0)`; the state goes where it really goes.

    Momentum shifts the update function vertically (Maheswaranathan et al., 2021, sections 4.1 and 5.1). This takes the
    shift away and leaves the rest: slope, saturation, schedule and adaptation are those of the real state. Heavy ball
    becomes gradient descent with its learning rate.
    """

    base: AbstractOptimizer

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        new_h, dx = advance(h, g)
        return new_h, dx - advance(h, jnp.zeros_like(g))[1]


@final
class Rescaled(AbstractIntervention):
    """`dx = factor * r(h, g)`, and the base shown `gradient_factor * g`.

    With `gradient_factor = 1 / factor` a linear optimizer is unchanged: then only what depends on the size of
    gradients (clipping, adaptation) is.

    Args:
        base: the optimizer.
        factor: multiplies updates; positive.
        gradient_factor: multiplies gradients; positive.

    Raises:
        ValueError: if a factor is not positive.
    """

    base: AbstractOptimizer
    factor: Scalar = 1.0
    gradient_factor: Scalar = 1.0

    def __check_init__(self):
        check_number("factor", self.factor, low=0, open_low=True, hint="1 changes nothing")
        check_number("gradient_factor", self.gradient_factor, low=0, open_low=True, hint="1 changes nothing")

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        h, dx = advance(h, jnp.asarray(self.gradient_factor, g.dtype) * g)
        return h, jnp.asarray(self.factor, g.dtype) * dx
