"""Working off very many components in blocks that fit into a cache."""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

from optoscope._core.types import Array, Float

_SMALLEST, _LARGEST = 512, 2048


def works_in_blocks(num_components: int) -> bool:
    """Whether so many components are worked off in blocks."""
    return num_components > _LARGEST


def step_in_blocks(
    step: Callable[..., tuple[Array, Array]],
    optimizer: Any,
    h: Float[Array, "component state"],
    g: Float[Array, " component"],
) -> tuple[Float[Array, "component state"], Float[Array, " component"]]:
    """Compute `step(optimizer, h, g)` block by block; at once if there are few components.

    For the reverse pass only the arguments are kept: computing a block's inner values again takes less time than
    fetching them from memory.

    Args:
        step: a map of each component by itself.
        optimizer: a pytree of arrays, which is differentiated as `h` and `g` are.
        h, g: states and gradients.
    """
    count = len(h)
    if not works_in_blocks(count):
        return step(optimizer, h, g)
    num_blocks = -(-count // _LARGEST)
    even = next((n for n in range(num_blocks, count // _SMALLEST + 1) if count % n == 0), None)
    if even is not None:
        return _in_blocks(step, even, optimizer, h, g)
    missing = -count % num_blocks  # no even division: fill up the last block
    h, g = jnp.pad(h, ((0, missing), (0, 0))), jnp.pad(g, (0, missing))
    h, dx = cast("tuple[Array, Array]", _in_blocks(step, num_blocks, optimizer, h, g))
    return h[:count], dx[:count]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _in_blocks(step, num_blocks, optimizer, h, g):
    return step(optimizer, h, g)


def _forward(step, num_blocks, *arguments):
    return _in_blocks(step, num_blocks, *arguments), arguments


def _reverse(step, num_blocks, arguments, cotangents):
    optimizer, h, g = arguments

    def block(total, part):
        h, g, *bars = part
        gradient, *h_and_g_bar = jax.vjp(step, optimizer, h, g)[1](tuple(bars))
        return jax.tree.map(jnp.add, total, gradient), h_and_g_bar

    zeros = jax.tree.map(jnp.zeros_like, optimizer)
    gradient, bars = jax.lax.scan(block, zeros, _split(num_blocks, h, g, *cotangents))
    return gradient, *(_joined(bar) for bar in bars)


_in_blocks.defvjp(_forward, _reverse)


def _split(num_blocks, *arrays):
    return tuple(array.reshape(num_blocks, -1, *array.shape[1:]) for array in arrays)


def _joined(array):
    return array.reshape(-1, *array.shape[2:])
