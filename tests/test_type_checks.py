"""Annotations are checked while tests run: shapes by jaxtyping, everything else by beartype."""

import jax
import jax.numpy as jnp
import jaxtyping
import pytest

from optoscope._core.markdown import table
from optoscope.optimizers import Momentum
from optoscope.running.problems import meta_objective


def test_shapes_are_checked():
    with pytest.raises(jaxtyping.TypeCheckError):
        meta_objective(jnp.zeros(()))
    with pytest.raises(jaxtyping.TypeCheckError):
        Momentum(0.1, jax.random.key(0))


def test_functions_without_arrays_are_checked_too():
    with pytest.raises(TypeError, match="violates type hint"):
        table("a", 3)
