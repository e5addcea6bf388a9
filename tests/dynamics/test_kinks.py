"""Where updates bend or jump there is no derivative, and nobody may take one side's."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from planted_systems import Sided

from optoscope import from_optax
from optoscope.dynamics import autonomous_trajectory, effective_learning_rate, linearize
from optoscope.optimizers import AbstractOptimizer, Adam, GRUOptimizer, Momentum, NesterovMomentum


@pytest.mark.parametrize("rule", [Sided(3.0), Sided(0.0, 0.9), Sided(1.01)])
def test_a_bend_has_no_derivative(rule):
    with pytest.raises(ValueError, match="kink"):
        linearize(rule, [0.0])
    with pytest.raises(ValueError, match="kink"):
        effective_learning_rate(rule, [0.0])
    assert np.isnan(autonomous_trajectory(rule, num_steps=3).learning_rates).all()
    np.testing.assert_allclose(linearize(rule, [0.0], 1e-3).D, -rule.factor)
    np.testing.assert_allclose(linearize(rule, [0.0], -1e-3).D, -1)


def test_a_corner_has_no_derivative_and_its_sides_have():
    rule = from_optax(optax.chain(optax.clip(1.0), optax.sgd(0.1)))
    for gradient, slope in ((0.999, 0.1), (1.001, 0.0), (0.0, 0.1)):
        np.testing.assert_allclose(-linearize(rule, rule.initial_state(), gradient).D, slope)
    with pytest.raises(ValueError, match="kink"):
        linearize(rule, rule.initial_state(), 1.0)


def test_a_jump_has_no_derivative():
    rule = from_optax(optax.sign_sgd(0.1))
    with pytest.raises(ValueError, match="kink"):
        effective_learning_rate(rule, rule.initial_state())


class Parabola(AbstractOptimizer):
    """`dx = -(g + g^2 / scale)`: bent, but smooth, at any scale."""

    scale: float

    def initial_state(self):
        return jnp.zeros(0)

    def step(self, h, g):
        return h, -(g + g**2 / self.scale)


@pytest.mark.parametrize(
    "rule,state",
    [
        (Momentum(1e-8, 0.9), [1e9]),
        (NesterovMomentum(1e6, 0.9), [1e-9]),
        (Adam(0.1, 0.9, 0.99), [1e-9, 1e-18]),
        (Parabola(1e-6), []),
        (Parabola(1e6), []),
    ],
)
def test_what_is_smooth_has_no_kink_at_any_scale(rule, state):
    assert np.isfinite(linearize(rule, state).D)


def test_networks_have_no_kink(network):
    assert np.isfinite(linearize(network, np.zeros(6), 0.3).D) and isinstance(network, GRUOptimizer)
