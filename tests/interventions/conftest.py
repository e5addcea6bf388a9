"""A small network away from its symmetric start."""

import equinox as eqx
import jax
import numpy as np
import pytest

from optoscope.optimizers import GRUOptimizer


@pytest.fixture(scope="session")
def network():
    rng = np.random.default_rng(0)
    plain = GRUOptimizer.create(6, key=jax.random.key(1), output_scale=0.5)
    leaves = lambda gru: (gru.readout_weights, gru.readout_bias, gru.biases, gru.initial)
    changed = [jax.numpy.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype) for leaf in leaves(plain)]
    return eqx.tree_at(leaves, plain, tuple(changed))
