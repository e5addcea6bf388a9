"""A small network away from its symmetric start."""

import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from optoscope.optimizers import GRUOptimizer

sys.path.insert(0, str(Path(__file__).parent))  # for `planted_systems`


@pytest.fixture(scope="session")
def network():
    rng = np.random.default_rng(0)
    plain = GRUOptimizer.create(6, key=jax.random.key(1), output_scale=0.5)
    return eqx.tree_at(
        lambda gru: (gru.readout_weights, gru.readout_bias, gru.biases, gru.initial),
        plain,
        tuple(
            jax.numpy.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype)
            for leaf in (plain.readout_weights, plain.readout_bias, plain.biases, plain.initial)
        ),
    )
