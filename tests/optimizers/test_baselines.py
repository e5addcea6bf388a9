"""The baselines against optax, or against a recursion in NumPy, in float64."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.optimizers import (
    Adam,
    AggregatedMomentum,
    GradientDescent,
    Momentum,
    NesterovMomentum,
    RMSProp,
    from_optax,
    lift,
)

GRADIENTS = {
    "a": np.random.default_rng(0).standard_normal((30, 2, 3)),
    "b": 100 * np.random.default_rng(1).standard_normal((30, 4)),
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def updates_of(transformation):
    start = jax.tree.map(lambda array: jnp.zeros(array.shape[1:]), GRADIENTS)

    def step(state, gradient):
        updates, state = transformation.update(gradient, state, start)
        return state, updates

    return jax.jit(lambda gradients: jax.lax.scan(step, transformation.init(start), gradients)[1])(GRADIENTS)


def assert_same_updates(ours, theirs):
    ours, theirs = updates_of(lift(ours)), updates_of(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), ours, theirs)


def test_gradient_descent_is_optax_sgd():
    assert_same_updates(GradientDescent(0.3), optax.sgd(0.3))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_momentum_is_optax_sgd_with_momentum(decay):
    assert_same_updates(Momentum(0.3, decay), optax.sgd(0.3, momentum=decay))


def test_nesterov_momentum_is_optax_sgd_with_nesterov():
    assert_same_updates(NesterovMomentum(0.3, 0.9), optax.sgd(0.3, momentum=0.9, nesterov=True))


def test_rmsprop_is_optax_rmsprop_with_eps_inside_the_root():
    assert_same_updates(RMSProp(0.01, 0.9, 1e-5), optax.rmsprop(0.01, decay=0.9, eps=1e-5, eps_in_sqrt=True))


def test_adam_is_optax_adam_long_after_bias_correction_has_vanished():
    theirs = from_optax(optax.adam(0.01, b1=0.9, b2=0.99, eps=1e-5), clock="frozen")
    assert_same_updates(Adam(0.01, 0.9, 0.99, 1e-5), lift(theirs))


def test_adam_is_the_authors_recursion():
    v = m = 0.0
    h = jnp.zeros(2)
    optimizer = Adam(0.01, 0.9, 0.99, 1e-5)
    for g in GRADIENTS["b"][:, 0]:
        v, m = 0.9 * v + 0.1 * g, 0.99 * m + 0.01 * g * g
        h, dx = optimizer.step(h, g)
        np.testing.assert_allclose(dx, -0.01 * v / (np.sqrt(m) + 1e-5), rtol=1e-12)


@pytest.mark.parametrize(
    "rates,decays",
    [
        ([0.1, -0.02, 0.3], [0.0, 0.9, -0.5]),
        ([0.1 + 0.2j, 0.1 - 0.2j], [0.6 + 0.7j, 0.6 - 0.7j]),
        ([0.3j], [0.5 - 0.5j]),
    ],
)
def test_aggregated_momentum_is_the_sum_of_its_modes(rates, decays):
    optimizer = AggregatedMomentum(rates, decays)
    v, h = np.zeros(len(rates)), optimizer.initial_state()
    for g in GRADIENTS["b"][:, 1]:
        v = np.array(decays) * v + g
        h, dx = optimizer.step(h, g)
        np.testing.assert_allclose(dx, -np.real(np.array(rates) @ v), rtol=1e-12)


def test_aggregated_momentum_with_one_real_mode_is_momentum():
    assert_same_updates(AggregatedMomentum([0.3], [0.9]), lift(Momentum(0.3, 0.9)))


@pytest.mark.parametrize("rule", [Adam(0.1, 0.9, 0.99, 1e-8), RMSProp(0.1, 0.9), Momentum(0.1, 0.9)], ids=type)
def test_a_parameter_without_a_gradient_has_finite_meta_gradients(rule):
    """Two steps of a run in which one parameter never meets a gradient, differentiated by what multiplies it."""

    def end(w, dead):
        h, x = rule.initial_state(), jnp.ones(())
        for _ in range(2):
            h, dx = rule.step(h, dead * w * x)
            x = x + dx
        return x

    assert np.isfinite(jax.grad(end)(0.5, 0.0)) and np.isfinite(jax.grad(end)(0.5, 1.0))
    slopes = jax.grad(lambda rate: end(0.5, 0.0) * rate)(1.0), jax.grad(lambda r: _one_dead(r, rule))(0.1)
    assert np.isfinite(slopes).all()


def _one_dead(rate, rule):
    """The same through optax's interface, by the learning rate."""
    transformation = lift(eqx.tree_at(lambda rule: rule.learning_rate, rule, rate))
    params = {"alive": jnp.ones(2), "dead": jnp.ones(2)}
    state = transformation.init(params)
    for _ in range(2):
        gradients = {"alive": params["alive"], "dead": 0 * rate * params["dead"]}
        updates, state = transformation.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return jnp.sum(params["alive"]) + jnp.sum(params["dead"])
