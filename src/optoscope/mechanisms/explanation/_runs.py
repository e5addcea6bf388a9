"""Many runs from the initial state, of which only the updates are kept."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.compiled import compiled
from optoscope.dynamics import Probe
from optoscope.dynamics._precision import in_float64

#: Runs of one compiled call.
_CHUNK = 256


@in_float64
def updates(probe: Probe, gradients: np.ndarray) -> np.ndarray:
    """Return the updates [run, step] under several sequences of gradients."""
    padding = -len(gradients) % _CHUNK
    padded = np.concatenate([gradients, np.zeros((padding, gradients.shape[1]))])
    parts = [
        np.asarray(_updates(probe.optimizer, probe.start, padded[i : i + _CHUNK]))
        for i in range(0, len(padded), _CHUNK)
    ]
    return np.concatenate(parts)[: len(gradients)]


@compiled(eqx.filter_jit)
def _updates(optimizer, start, gradients):
    def run(h, row):
        def step(h, g):
            h, dx = optimizer.step_components(h, g)
            return h, dx

        return jax.lax.scan(step, h, row)[1]

    return run(jnp.tile(start, (gradients.shape[0], 1)), gradients.T).T
