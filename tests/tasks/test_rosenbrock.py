"""The function against SciPy's, and the box of starts."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from optoscope.tasks import Rosenbrock

TASK = Rosenbrock()
KEY = jax.random.key(0)
PROBLEM = TASK.sample(KEY)


def test_starts_fill_the_box():
    starts = jax.jit(jax.vmap(TASK.sample))(jax.random.split(KEY, 1000)).initial_params
    low, high = np.array([-2, -1]), np.array([2, 3])
    assert np.all((starts >= low) & (starts < high))
    np.testing.assert_allclose(starts.min(axis=0), low, atol=0.05)
    np.testing.assert_allclose(starts.max(axis=0), high, atol=0.05)
    np.testing.assert_allclose(starts.mean(axis=0), (low + high) / 2, atol=0.15)


def test_loss_and_gradient_are_those_of_scipy():
    points = np.random.default_rng(0).uniform(-2, 3, (20, 2))
    with jax.enable_x64(True):
        losses, gradients = jax.vmap(jax.value_and_grad(lambda x: TASK.loss(PROBLEM, x, KEY)))(jnp.asarray(points))
    np.testing.assert_allclose(losses, [optimize.rosen(x) for x in points], rtol=1e-12)
    np.testing.assert_allclose(gradients, [optimize.rosen_der(x) for x in points], rtol=1e-10)


def test_the_minimum_is_0_at_1_1():
    loss, gradient = jax.value_and_grad(lambda x: TASK.loss(PROBLEM, x, KEY))(jnp.ones(2))
    assert loss == 0
    assert jnp.all(gradient == 0)
