"""Float64 inside, whatever the caller's default: dynamics are about small residuals and eigenvalues near 1."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def to_float64(tree: Any) -> Any:
    """Return a pytree with its floating-point leaves in float64 (inside `in_float64`); other leaves are kept."""

    def convert(leaf):
        if isinstance(leaf, float):
            return np.float64(leaf)
        array = np.asarray(leaf)
        if np.iscomplexobj(array):
            return jnp.asarray(array, jnp.complex128)
        return jnp.asarray(array, jnp.float64) if jnp.issubdtype(array.dtype, jnp.floating) else leaf

    return jax.tree.map(convert, tree)


def in_float64(function: Callable) -> Callable:
    """Run a function with JAX's default precision at 64 bits, without changing the caller's."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return wrapped
