"""A component whose surroundings have come to what they do for good before it is looked at."""

import dataclasses
from typing import final

import jax.numpy as jnp
import numpy as np

from optoscope._core.types import Array, Bool, Float, Scalar
from optoscope.anatomy import Dossier
from optoscope.optimizers import AbstractOptimizer


@final
class Settled(AbstractOptimizer):
    """The same rule, begun at another state.

    Args:
        optimizer: the rule.
        start: the state before the first gradient.

    >>> from optoscope.optimizers import Momentum
    >>> h, dx = Settled(Momentum(0.1, 0.5), jnp.ones(1)).step(jnp.ones(1), 0.0)
    >>> float(h[0])
    0.5
    """

    optimizer: AbstractOptimizer
    start: Float[Array, " state"] | Float[np.ndarray, " state"]

    @property
    def runs_on_host(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether each step of the rule leaves JAX."""
        return self.optimizer.runs_on_host

    @property
    def has_running_clock(self) -> bool:
        """Whether the rule counts its steps for good."""
        return getattr(self.optimizer, "has_running_clock", False)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.asarray(self.start)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        return self.optimizer.step(h, g)

    def has_derivative(self, h: Float[Array, " state"], g: Scalar) -> Bool[Array, ""]:
        return self.optimizer.has_derivative(h, g)

    def step_components(
        self, h: Float[Array, "component state"], g: Float[Array, " component"]
    ) -> tuple[Float[Array, "component state"], Float[Array, " component"]]:
        return self.optimizer.step_components(h, g)


def after_its_context(dossier: Dossier) -> Dossier:
    """Return the dossier of the same component after a run's length of its context, in which it got no gradient.

    What others have been given from the first step on builds up: a matrix's momentum, a mean of all squared gradients.
    As long as it does, it looks like a schedule of the component's own.
    """
    states = dossier.probe.drive(np.zeros((1, dossier.num_steps)))[0]
    other = dossier.of(Settled(dossier.optimizer, states[0, -1]))
    words = f"{dossier.component.sentence}, after {dossier.num_steps} steps of them"
    other.component = dataclasses.replace(dossier.component, sentence=words)
    return other
