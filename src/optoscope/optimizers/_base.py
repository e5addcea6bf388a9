"""The scientific object: the rule for one parameter component, driven by its gradient."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from optoscope._core.types import Array, Bool, Float, Params, Scalar


class AbstractOptimizer(eqx.Module):
    """One parameter component as a dynamical system driven by its gradient.

    In update order: `h' = F(h, g)`, `x' = x + dx`. Hyperparameters and weights are fields of the concrete class,
    hence leaves of a pytree: `jax.vmap` over them gives many settings, `jax.grad` meta-trains them.

    The one abstract rule is `step`, not `F` and a readout apart, because some rules (Lion) read the old state.
    """

    #: Whether each step leaves JAX for the host, which takes its time.
    runs_on_host: ClassVar[bool] = False

    @abc.abstractmethod
    def initial_state(self) -> Float[Array, " state"]:
        """Return the state before the first gradient."""

    @abc.abstractmethod
    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        """Advance one component by one gradient.

        Args:
            h: state before the step.
            g: gradient of the loss with respect to this component.

        Returns:
            The new state and the update `dx`, which is added to the parameter.
        """

    def has_derivative(self, h: Float[Array, " state"], g: Scalar) -> Bool[Array, ""]:
        """Tell whether the update has a derivative there that `jax` may be trusted with; almost every rule has one.

        Args:
            h, g: state and gradient.
        """
        return jnp.asarray(True)

    def step_components(
        self, h: Float[Array, "component state"], g: Float[Array, " component"]
    ) -> tuple[Float[Array, "component state"], Float[Array, " component"]]:
        """Advance many components at once: the same map as `jax.vmap(self.step)`.

        A class overrides it only to compute the same numbers faster; a contract test compares the two.
        """
        h, dx = jax.vmap(self.step)(h, g)
        return h, jnp.asarray(dx)

    def step_tree(
        self, h: Float[Array, "component state"], gradients: Params
    ) -> tuple[Float[Array, "component state"], Params]:
        """Advance all components of a pytree of parameters, in the order of `jax.flatten_util.ravel_pytree`.

        The same map as `step_components` of the raveled gradients; a class overrides it only for the last bit.
        """
        vector, unravel = ravel_pytree(gradients)
        h, dx = self.step_components(h, vector)
        return h, unravel(dx)

    @property
    def num_states(self) -> int:
        """Number of state variables per component."""
        return jax.eval_shape(self.initial_state).shape[0]
