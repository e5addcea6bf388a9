"""Changes to what the state does by itself: no schedule, or nothing but a schedule."""

from typing import final

import jax.numpy as jnp
import numpy as np

from optoscope._core.checks import check_number
from optoscope._core.types import Array, Float
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
class StartAt(AbstractIntervention):
    """The same optimizer from another initial state.

    Started at its fixed point h*(0) it has no schedule: without gradients the state does not move. What remains:
    momentum, clipping and adaptation, as they are near and around that point.

    Args:
        base: the optimizer.
        start: the state before the first gradient [state].

    Raises:
        ValueError: if the state does not fit.
    """

    base: AbstractOptimizer
    start: Float[Array, " state"] | Float[np.ndarray, " state"]

    def __check_init__(self):
        check_state(self.base, "start", self.start)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.asarray(self.start).astype(self.base.initial_state().dtype)

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        return advance(h, g)


@final
class FreezeDrift(AbstractIntervention):
    """No schedule, for an optimizer that never comes to rest: `h' = F(h, g) - F(held, 0) + held`, started at `held`.

    What the state would do by itself at `held` is subtracted at every step, so that a clock in the state stands
    still. At a fixed point there is nothing to subtract, and this is `StartAt`.

    Args:
        base: the optimizer.
        held: the state at which it is held [state].

    Raises:
        ValueError: if the state does not fit.
    """

    base: AbstractOptimizer
    held: Float[Array, " state"] | Float[np.ndarray, " state"]

    def __check_init__(self):
        check_state(self.base, "held", self.held)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.asarray(self.held).astype(self.base.initial_state().dtype)

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        held = jnp.asarray(self.held, h.dtype)
        moved, _ = self.base.step(held, jnp.zeros((), h.dtype))
        h, dx = advance(h, g)
        return h - (moved - held), dx


@final
class ReadAtRest(AbstractAlongPath):
    """No schedule in the update: the state goes where it really goes, and is read out displaced.

    `h' = F(h, g)`, `dx = r(h - a_k + rest, g)`: the part `a_k` that the state has by itself is replaced by the state
    at rest, where the update is computed; what gradients made of the state stays.

    Args:
        base: the optimizer.
        path: the autonomous run `a_0 ..` [step, state]; its last entry holds after its end.
        rest: the state at rest [state].

    Raises:
        ValueError: if a state does not fit.
    """

    base: AbstractOptimizer
    path: Float[Array, "step state"] | Float[np.ndarray, "step state"]
    rest: Float[Array, " state"] | Float[np.ndarray, " state"]

    def __check_init__(self):
        check_state(self.base, "rest", self.rest)

    def _along(self, advance: Advance, h: Array, g: Array, clock: Array) -> tuple[Array, Array]:
        displaced = h - entry(self.path, clock) + jnp.asarray(self.rest, h.dtype)
        return advance(h, g)[0], advance(displaced, g)[1]


@final
class Scheduled(AbstractIntervention):
    """A schedule by hand: `dx = factors_k * r(h, g)` at step k.

    The schedule alone is `Scheduled(GradientDescent(1.0), learning_rates)` with the learning rates of an autonomous
    run; the schedule with momentum is the same around `Modes.as_optimizer()`, with rates relative to the last.

    Args:
        base: the optimizer.
        factors: one per step; the last holds after their end.

    Raises:
        ValueError: if a factor is not finite.
    """

    base: AbstractOptimizer
    factors: Float[Array, " step"] | Float[np.ndarray, " step"]

    def __check_init__(self):
        check_number("factors", self.factors, hint="a learning rate where there is none (Adam at 0) is no factor")

    def initial_state(self) -> Float[Array, " state"]:
        return with_clock(self.base.initial_state())

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        h, clock = split_clock(h)
        h, dx = advance(h, g)
        return join_clock(h, tick(clock, self.factors)), entry(self.factors, clock) * dx
