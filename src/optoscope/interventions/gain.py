"""Changes to how the response to a gradient depends on the state: no adaptation, linear memory, no memory."""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.types import Array, Float, Scalar
from optoscope.interventions._base import (
    AbstractAlongPath,
    AbstractIntervention,
    Advance,
    check_state,
    entry,
    join_clock,
    split_clock,
    tick,
    with_clock,
)
from optoscope.optimizers import AbstractOptimizer


@final
class HoldGain(AbstractAlongPath):
    """No adaptation: the response to the present gradient is that of a reference state `p_k`, not of the present one.

    `h' = F(h, 0) + [F(p_k, g) - F(p_k, 0)]` and `dx = r(h, 0) + [r(p_k, g) - r(p_k, 0)]`. What is removed: every
    dependence of the response to a gradient on what earlier gradients made of the state. What remains: momentum (the
    state and the offset that it makes move on without the gradient as they do, nonlinearly), clipping (the response is
    nonlinear in the gradient), and the schedule, if `p_k` moves. A linear optimizer is unchanged.

    The reference decides what "no adaptation" means: the autonomous run (the gain that it would have had without any
    gradient), the fixed point (no schedule either), or the mean of the states that runs visit (the gain that
    components have on average at that step, so that only the differences between them are gone).

    Args:
        base: the optimizer.
        path: the reference states `p_0 ..` [step, state]; the last one holds after their end.

    Raises:
        ValueError: if a state does not fit.
    """

    base: AbstractOptimizer
    path: Float[Array, "step state"] | Float[np.ndarray, "step state"]

    def _along(self, advance: Advance, h: Array, g: Array, clock: Array) -> tuple[Array, Array]:
        reference = entry(self.path, clock)
        none = jnp.zeros_like(g)
        free_h, free_dx = advance(h, none)
        driven_h, driven_dx = advance(reference, g)
        rest_h, rest_dx = advance(reference, none)
        return free_h + (driven_h - rest_h), free_dx + (driven_dx - rest_dx)


@final
class LinearMemory(AbstractOptimizer):
    """Neither adaptation nor any nonlinearity of the memory: linear in the state's deviation from a reference.

    With the deviation `d = h - p_k`, which starts at 0: `d' = F_h(p_k, 0) d + [F(p_k, g) - F(p_k, 0)]` and
    `dx = r_h(p_k, 0) d + r(p_k, g)`. What is removed beside adaptation: the saturation of what is remembered. What
    remains: linear modes (momentum), the nonlinear response to the present gradient (clipping), and the schedule, if
    `p_k` moves. With the fixed point as reference it is momentum and clipping alone; with `Tangent` around it,
    momentum (and schedule) alone.

    Args:
        base: the optimizer; it needs a derivative at the reference states.
        path: the reference states [step, state], an autonomous run or a fixed point; the last holds after their end.

    Raises:
        ValueError: if a state does not fit.
    """

    base: AbstractOptimizer
    path: Float[Array, "step state"] | Float[np.ndarray, "step state"]

    def __check_init__(self):
        check_state(self.base, "path", self.path)

    def initial_state(self) -> Float[Array, " state"]:
        return with_clock(jnp.zeros_like(self.base.initial_state()))

    # Many components are the `vmap` of this: a base's `step_components` need not have forward-mode derivatives.
    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        deviation, clock = split_clock(h)
        reference = entry(self.path, clock)
        (rest_h, _), (memory, offset) = jax.jvp(
            lambda h: self.base.step(h, jnp.zeros((), h.dtype)), (reference,), (deviation,)
        )
        driven_h, driven_dx = self.base.step(reference, jnp.asarray(g, h.dtype))
        return join_clock(memory + (driven_h - rest_h), tick(clock, self.path)), offset + driven_dx


@final
class HoldState(AbstractIntervention):
    """No memory of gradients at all: `dx = r(p_k, g)`, with a state `p_k` that no gradient moves.

    At the fixed point this is the clipping alone; along the autonomous run it is schedule and clipping.

    Args:
        base: the optimizer.
        path: the states at which it is held [step, state]; the last one holds after their end.

    Raises:
        ValueError: if a state does not fit.
    """

    base: AbstractOptimizer
    path: Float[Array, "step state"] | Float[np.ndarray, "step state"]

    def __check_init__(self):
        check_state(self.base, "path", self.path)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(1, self.base.initial_state().dtype)

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        clock = h[..., 0]
        return tick(clock, self.path)[..., None], advance(entry(self.path, clock), g)[1]
