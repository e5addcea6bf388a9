"""Interventions on groups of parameters (layers, weights, biases): transformations, because they act on pytrees."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from optoscope._core.types import Params, PyTree
from optoscope.optimizers import AbstractOptimizer


def equalize_groups(sizes: PyTree | None = None) -> optax.GradientTransformation:
    """Rescale gradients so that every group's have the same root mean square; each leaf of the parameters is a group.

    Chained before `lift(optimizer)` it takes away what tells the optimizer one group from another by size:
    `optax.chain(equalize_groups(), lift(optimizer))`. The common size is the root mean square over all components, so
    that the size of the whole gradient stays what it is.

    Args:
        sizes: root mean square of each group's gradients, a pytree of numbers like the parameters: factors are then
            constant. If None they are those of each gradient itself.

    >>> import jax.numpy as jnp
    >>> rule = equalize_groups()
    >>> equal, _ = rule.update({"a": jnp.ones(2), "b": 3 * jnp.ones(2)}, rule.init(None))
    >>> equal["a"].round(3).tolist() == equal["b"].round(3).tolist()
    True
    """

    def update(updates, state, params=None):
        del params
        own = jax.tree.map(_size, updates) if sizes is None else sizes
        common = _common(own, updates)
        return jax.tree.map(lambda leaf, size: leaf * _ratio(common, size), updates, own), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def equal_size_factors(sizes: Sequence[float], num_components: Sequence[int]) -> list[float]:
    """Return the constant factors of `equalize_groups` from each group's root mean square and number of components."""
    squares, counts = np.square(np.asarray(sizes, float)), np.asarray(num_components, float)
    common = float(np.sqrt((squares * counts).sum() / counts.sum()))
    return [common / size if size > 0 else 1.0 for size in sizes]


def by_group(optimizers: Sequence[AbstractOptimizer]) -> optax.GradientTransformation:
    """Run an optimizer of its own on each group of parameters; each leaf of the parameters is a group.

    Args:
        optimizers: one per leaf, in the order of `jax.tree.leaves`.

    Returns:
        A transformation that is itself a pytree, so that other numbers in it do not compile anew.

    Raises:
        ValueError: when it meets parameters with another number of leaves.
    """
    optimizers = tuple(optimizers)
    return optax.GradientTransformation(Partial(_init, optimizers), Partial(_update, optimizers))


def _init(optimizers, params: Params):
    leaves = jax.tree.leaves(params)
    if len(leaves) != len(optimizers):
        raise ValueError(
            f"`optimizers` must hold one per leaf: {len(leaves)} for these parameters, got {len(optimizers)}."
        )
    return [jnp.tile(one.initial_state().astype(leaf.dtype), (leaf.size, 1)) for one, leaf in zip(optimizers, leaves)]


def _update(optimizers, updates, state, params=None):
    del params
    leaves, structure = jax.tree.flatten(updates)
    moved = [one.step_components(h, leaf.ravel()) for one, h, leaf in zip(optimizers, state, leaves)]
    dx = [dx.reshape(leaf.shape) for (_, dx), leaf in zip(moved, leaves)]
    return jax.tree.unflatten(structure, dx), [h for h, _ in moved]


def _size(leaf):
    return jnp.sqrt(jnp.mean(leaf**2))


def _common(sizes, updates):
    squares = jax.tree.map(lambda size, leaf: jnp.square(size) * leaf.size, sizes, updates)
    return jnp.sqrt(sum(jax.tree.leaves(squares)) / sum(leaf.size for leaf in jax.tree.leaves(updates)))


def _ratio(common, size):
    return jnp.where(size > 0, common / jnp.where(size > 0, size, 1), 1)
