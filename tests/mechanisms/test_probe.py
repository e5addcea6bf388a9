"""Rules get the arrays that their annotation promises, never a Python number."""

import jax.numpy as jnp
import numpy as np

from optoscope.mechanisms import diagnose
from optoscope.optimizers import AbstractOptimizer


class Literal(AbstractOptimizer):
    """Momentum that calls a method of its gradient."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        h = 0.9 * h + g.astype(h.dtype)
        return h, -0.1 * h[0]


def test_a_rule_may_call_methods_of_its_gradient():
    np.testing.assert_allclose(diagnose(Literal()).verdicts["momentum"].decays, [0.9])
