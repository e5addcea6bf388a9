"""From the rule of one component to an optax transformation of any pytree of parameters."""

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from optoscope.optimizers._base import AbstractOptimizer


def lift(optimizer: AbstractOptimizer) -> optax.GradientTransformation:
    """Run a component-wise optimizer on every component of a pytree of parameters.

    The state is one array of shape [component, state], with the components in the order of
    `jax.flatten_util.ravel_pytree`.

    Args:
        optimizer: the rule of one component.

    Returns:
        A transformation that runs in any optax training loop; its updates are added to the parameters.

    Raises:
        TypeError: if `optimizer` is not an `AbstractOptimizer`.

    >>> import jax.numpy as jnp, optoscope
    >>> transformation = lift(optoscope.optimizers.GradientDescent(0.1))
    >>> params = {"a": jnp.ones(2), "b": jnp.ones(())}
    >>> updates, _ = transformation.update(params, transformation.init(params), params)
    >>> round(float(updates["b"]), 3)
    -0.1
    """
    if not isinstance(optimizer, AbstractOptimizer):
        raise TypeError(
            f"`lift` takes an AbstractOptimizer, got {type(optimizer).__name__}; an optax transformation already "
            "runs on pytrees as it is."
        )

    def init(params):
        return _initial_states(optimizer, params)

    def update(updates, state, params=None):
        del params
        state, dx = optimizer.step_tree(state, updates)
        return dx, state

    return optax.GradientTransformation(init, update)


def lift_over_problems(
    optimizer: AbstractOptimizer | optax.GradientTransformation,
) -> optax.GradientTransformation:
    """Run an optimizer on parameters that carry a leading problem axis.

    The same map as `jax.vmap` of the single transformation. A component-wise optimizer is given the components of
    all problems in one call, which makes its matrix products, and those of the reverse pass, large ones.

    Raises:
        TypeError: if `optimizer` is neither an AbstractOptimizer nor an optax transformation.
    """
    if isinstance(optimizer, optax.GradientTransformation):
        return optax.GradientTransformation(jax.vmap(optimizer.init), jax.vmap(optimizer.update))
    if not isinstance(optimizer, AbstractOptimizer):
        raise TypeError(
            "`optimizer` must be an AbstractOptimizer or an optax.GradientTransformation, "
            f"got {type(optimizer).__name__}."
        )

    def init(params):
        return jax.vmap(lambda x: _initial_states(optimizer, x))(params)

    def update(updates, state, params=None):
        del params
        gradients = jax.vmap(lambda tree: ravel_pytree(tree)[0])(updates)
        _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], updates))
        rows, dx = optimizer.step_components(state.reshape(gradients.size, state.shape[-1]), gradients.reshape(-1))
        return jax.vmap(unravel)(dx.reshape(gradients.shape)), rows.reshape(state.shape)

    return optax.GradientTransformation(init, update)


def _initial_states(optimizer, params):
    leaves = jax.tree.leaves(params)
    num_components = sum(leaf.size for leaf in leaves)
    return jnp.tile(optimizer.initial_state().astype(jnp.result_type(*leaves)), (num_components, 1))
