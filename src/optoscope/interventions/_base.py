"""What all interventions share: the optimizer beneath, one formula for one component and for many, and a clock."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from optoscope._core.types import Array, Bool, Float, Scalar
from optoscope.optimizers import AbstractOptimizer

#: `step` of one component or `step_components` of many: both map (state, gradient) to (state, update).
Advance = Callable[[Any, Any], tuple[Any, Any]]


class AbstractIntervention(AbstractOptimizer):
    """An optimizer made from an optimizer by changing one thing about it.

    Write the change once, in `_advance`, over any leading axes: it is given the base's `step` where one component is
    advanced, and the base's `step_components`, with whatever makes that fast, where many are.
    """

    base: eqx.AbstractVar[AbstractOptimizer]

    @abc.abstractmethod
    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        """Return the new states [..., state] and the updates [...], using `advance` in place of the base."""

    def initial_state(self) -> Float[Array, " state"]:
        return self.base.initial_state()

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        return self._advance(self.base.step, h, jnp.asarray(g, h.dtype))

    def has_derivative(self, h: Float[Array, " state"], g: Scalar) -> Bool[Array, ""]:
        return self.base.has_derivative(h[: self.base.num_states], g)

    def step_components(
        self, h: Float[Array, "component state"], g: Float[Array, " component"]
    ) -> tuple[Float[Array, "component state"], Float[Array, " component"]]:
        return self._advance(self.base.step_components, h, g)


class AbstractAlongPath(AbstractIntervention):
    """An intervention that refers to states given step by step; a clock in its state counts the steps.

    Write the change in `_along`, as in `_advance`; it is given the clocks, too.
    """

    path: eqx.AbstractVar[Any]

    def __check_init__(self):
        check_state(self.base, "path", self.path)

    @abc.abstractmethod
    def _along(self, advance: Advance, h: Array, g: Array, clock: Array) -> tuple[Array, Array]:
        """Return the base's new states [..., state] and the updates [...]."""

    def initial_state(self) -> Float[Array, " state"]:
        return with_clock(self.base.initial_state())

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        h, clock = split_clock(h)
        h, dx = self._along(advance, h, g, clock)
        return join_clock(h, tick(clock, self.path)), dx


def check_state(optimizer: AbstractOptimizer, name: str, value: Any) -> None:
    """Check that a state, or a path of states [step, state], fits an optimizer.

    Raises:
        ValueError: if it does not.
    """
    if np.shape(value)[-1:] != (optimizer.num_states,):
        raise ValueError(
            f"`{name}` must hold states of {type(optimizer).__name__}, which have {optimizer.num_states} variables, "
            f"got shape {np.shape(value)}."
        )


def with_clock(h: Array) -> Array:
    """Append a clock at 0 to a state."""
    return jnp.append(h, jnp.zeros(1, h.dtype))


def split_clock(h: Array) -> tuple[Array, Array]:
    """Take states [..., state + 1] apart into the base's states and the clocks [...]."""
    return h[..., :-1], h[..., -1]


def join_clock(h: Array, clock: Array) -> Array:
    """Put the base's states and the clocks together again."""
    return jnp.concatenate([h, clock[..., None]], axis=-1)


def tick(clock: Array, path: Any) -> Array:
    """Advance clocks by one step; they stop at the last entry of `path`, which holds from then on."""
    return jnp.minimum(clock + 1, len(path) - 1)


def entry(path: Any, clock: Array) -> Array:
    """Return the entries of `path` [step, ...] at some clocks, in their precision."""
    index = jnp.clip(clock, 0, len(path) - 1).astype(jnp.int32)
    return jnp.asarray(path, clock.dtype)[index]
