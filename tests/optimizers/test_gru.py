"""The learned optimizer against METHODS section 1, written again in NumPy, and its hand-derived reverse pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from optoscope.optimizers import GRUOptimizer, lift
from optoscope.optimizers._gru_cell import gru_cell, gru_cell_components

UNITS = 4


def random_gru(input_kind="gradient", seed=0):
    rng = np.random.default_rng(seed)
    num_inputs = {"gradient": 1, "log_sign": 2}[input_kind]
    n = UNITS
    shapes = [(num_inputs, 3 * n), (n, 2 * n), (n, n), (3 * n,), (n,), (), (n,)]
    weights = [jnp.asarray(rng.standard_normal(shape)) for shape in shapes]
    return GRUOptimizer(*weights, input_scale=0.7, output_scale=0.3, input_kind=input_kind)


def numpy_gru_step(weights, h, g):
    """METHODS section 1, with separate gate matrices that multiply columns from the left."""
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    s = weights.input_scale * g
    s = np.array([s]) if weights.input_kind == "gradient" else np.array([np.log1p(abs(s)), np.sign(s)])
    a_u, a_r, a_c = np.split(np.asarray(weights.input_weights).T, 3)
    w_u, w_r = np.split(np.asarray(weights.gate_weights).T, 2)
    w_c = np.asarray(weights.candidate_weights).T
    b_u, b_r, b_c = np.split(np.asarray(weights.biases), 3)
    u = sigmoid(a_u @ s + w_u @ h + b_u)
    r = sigmoid(a_r @ s + w_r @ h + b_r)
    c = np.tanh(a_c @ s + w_c @ (r * h) + b_c)
    h = u * h + (1 - u) * c
    return h, weights.output_scale * (np.asarray(weights.readout_weights) @ h + float(weights.readout_bias))


@pytest.mark.parametrize("input_kind", ["gradient", "log_sign"])
def test_the_network_is_the_one_of_the_methods(input_kind):
    with jax.enable_x64(True):
        optimizer = random_gru(input_kind)
        h = optimizer.initial_state()
        expected_h = np.asarray(h)
        for g in (0.0, -1.5, 300.0, 1e-4):
            expected_h, expected_dx = numpy_gru_step(optimizer, expected_h, g)
            h, dx = optimizer.step(h, g)
            np.testing.assert_allclose(h, expected_h, rtol=1e-12)
            np.testing.assert_allclose(dx, expected_dx, rtol=1e-12)


def test_256_units_are_198657_meta_parameters():
    network = jax.eval_shape(lambda key: GRUOptimizer.create(256, key=key), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(network)) == 198_657


@pytest.fixture(scope="module")
def untrained():
    return GRUOptimizer.create(64, key=jax.random.key(0))


def test_an_untrained_network_does_nothing(untrained):
    transformation = lift(untrained)
    gradients = jnp.array([0.0, 1.0, -1e6])
    updates, state = jax.jit(lambda g: transformation.update(g, transformation.init(g)))(gradients)
    assert jnp.all(updates == 0)
    assert jnp.any(state != 0)


def test_untrained_weights_are_normal_with_the_variance_of_the_methods(untrained):
    for weights in (untrained.gate_weights, untrained.candidate_weights):
        assert np.std(weights) == pytest.approx(64**-0.5, rel=0.05)
    for zeros in (untrained.biases, untrained.readout_weights, untrained.readout_bias, untrained.initial):
        assert np.all(np.asarray(zeros) == 0)


def cell_arguments(num_inputs):
    rng = np.random.default_rng(3)
    n, components = UNITS, 3
    shapes = [(num_inputs, 3 * n), (n, 2 * n), (n, n), (3 * n,), (components, n), (components, num_inputs)]
    return [jnp.asarray(rng.standard_normal(shape)) for shape in shapes]


@pytest.mark.parametrize("num_inputs", [1, 2])
def test_the_reverse_pass_is_that_of_the_formula(num_inputs):
    with jax.enable_x64(True):
        arguments = cell_arguments(num_inputs)
        seed = np.random.default_rng(4).standard_normal((3, UNITS))
        formula = jax.vmap(gru_cell, in_axes=(None, None, None, None, 0, 0))
        derive = lambda cell: jax.grad(lambda *args: jnp.sum(seed * cell(*args)), argnums=tuple(range(6)))
        cell = functools.partial(gru_cell_components, False)
        for fast, plain in zip(jax.jit(derive(cell))(*arguments), jax.jit(derive(formula))(*arguments)):
            np.testing.assert_allclose(fast, plain, rtol=1e-10, atol=1e-13)


def test_the_reverse_pass_agrees_with_finite_differences():
    with jax.enable_x64(True):
        cell = jax.jit(functools.partial(gru_cell_components, False))
        check_grads(cell, cell_arguments(2), order=1, modes=["rev"], eps=1e-5)


def test_half_precision_is_that_of_the_cell_to_its_own_rounding():
    arguments = [argument.astype(jnp.float32) for argument in cell_arguments(1)]
    derive = lambda half: jax.grad(
        lambda *args: jnp.sum(gru_cell_components(half, *args) ** 2), argnums=tuple(range(6))
    )
    for half, whole in zip(jax.jit(derive(True))(*arguments), jax.jit(derive(False))(*arguments)):
        assert half.dtype == whole.dtype
        difference = np.linalg.norm(half - whole) / np.linalg.norm(whole)
        assert 1e-5 < difference < 0.02  # 8 bits: different, and not by much


def test_scales_are_settings_not_weights():
    assert not any(np.array_equal(leaf, scale) for leaf in jax.tree.leaves(random_gru()) for scale in (0.7, 0.3))


@pytest.mark.parametrize("num_components", [3, 5000, 4099])  # at once, in even blocks, with the last block filled up
def test_many_components_and_their_gradients_are_those_of_one_by_one(num_components, key):
    optimizer = jax.tree.map(lambda leaf: leaf + 0.05, GRUOptimizer.create(6, key=key))
    h = jax.random.normal(jax.random.key(1), (num_components, 6))
    g = jax.random.normal(jax.random.key(2), (num_components,))

    def scalar(step, optimizer, h, g):
        new, dx = step(optimizer)(h, g)
        return jnp.mean(jnp.sin(new)) + jnp.mean(dx**2)

    ours, plain = (
        jax.jit(jax.grad(functools.partial(scalar, step), argnums=(0, 1, 2)))(optimizer, h, g)
        for step in (lambda o: o.step_components, lambda o: jax.vmap(o.step))
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain)):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-7)
