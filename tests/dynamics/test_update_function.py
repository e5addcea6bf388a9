import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optoscope.dynamics import effective_learning_rate, update_function
from optoscope.optimizers import Adam, GradientDescent, Momentum, RMSProp


def test_momentum_is_a_line_shifted_by_its_velocity():
    found = update_function(Momentum(0.1, 0.9), [[0.0], [1.0]], np.linspace(-1, 1, 5))
    np.testing.assert_allclose(found.updates, [-0.1 * found.gradients, -0.09 - 0.1 * found.gradients])


def test_an_optimizer_without_state_has_one_line():
    np.testing.assert_allclose(update_function(GradientDescent(0.1), [], [1.0, 2.0]).updates, [[-0.1, -0.2]])


def test_rmsprop_is_steeper_where_its_mean_square_is_small():
    rates = effective_learning_rate(RMSProp(0.1, 0.9, 1e-5), [[0.0], [0.1], [1.0]])
    np.testing.assert_allclose(rates, 0.1 / np.sqrt(0.9 * np.array([0, 0.1, 1]) + 1e-5))


def test_the_slope_agrees_with_the_update_function(network):
    h = np.random.default_rng(0).normal(size=(3, 6))
    down, up = update_function(network, h, [0.2 - 1e-5, 0.2 + 1e-5]).updates.T
    np.testing.assert_allclose(effective_learning_rate(network, h, gradient=0.2), (down - up) / 2e-5, atol=1e-9)


def test_one_state_gives_a_number_and_several_give_one_each():
    assert effective_learning_rate(Momentum(0.1, 0.9), [0.0]) == 0.1
    assert effective_learning_rate(Momentum(0.1, 0.9), [[0.0]], gradient=[1.0]).tolist() == [0.1]


def test_numbers_are_float64_and_the_default_of_the_caller_stays(network):
    found = update_function(network, np.zeros(6, np.float32), np.float32([0.5]))
    assert found.updates.dtype == found.states.dtype == np.float64
    assert not jax.config.jax_enable_x64 and jnp.ones(1).dtype == jnp.float32


def test_adam_at_zero_has_no_slope():
    with pytest.raises(ValueError, match="Adam has no slope at gradient 0 in 1 of 2 states, the first"):
        effective_learning_rate(Adam(0.1, 0.9, 0.99), [[0.0, 1.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    "h, gradients, message",
    [([0.0, 0.0], [0.0], "1 variables"), ([0.0], [[0.0]], "vector"), ([0.0], [np.nan], "finite")],
)
def test_what_does_not_fit_is_refused(h, gradients, message):
    with pytest.raises(ValueError, match=message):
        update_function(Momentum(0.1, 0.9), h, gradients)
