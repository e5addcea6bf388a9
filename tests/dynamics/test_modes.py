import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_systems import LinearSystem

from optoscope.dynamics import effective_learning_rate, find_fixed_points, linearize, modes
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.optimizers import AggregatedMomentum, GradientDescent, Momentum, NesterovMomentum


@in_float64
def updates(optimizer, gradients, h=None):
    """The updates of a loop over `step` in float64."""
    optimizer = to_float64(optimizer)
    h = optimizer.initial_state() if h is None else jnp.asarray(h, jnp.float64)
    found = []
    for g in gradients:
        h, dx = optimizer.step(h, jnp.float64(g))
        found.append(float(dx))
    return np.array(found)


def impulse(num_steps):
    return np.eye(num_steps)[0]


def linear(A, B, K=None, C=None, D=0.0):
    """The linearization of `h' = A h + B g`, `dx = K h'` (or `C h + D g`)."""
    A, B = np.asarray(A, np.float64), np.asarray(B, np.float64)
    C, D = (np.asarray(C, np.float64), D) if K is None else (np.asarray(K) @ A, float(np.asarray(K) @ B))
    plain = linearize(Momentum(0.1, 0.5), [0.0])
    return dataclasses.replace(plain, A=A, B=B, C=C, D=D, state=0 * B, next_state=0 * B)


def aggregated(decays, rates, seed=0):
    """Momentum with these timescales, in random coordinates of the state."""
    blocks, inputs, readout = np.zeros((0, 0)), [], []
    for decay, rate in zip(decays, rates):
        size = 2 if np.imag(decay) else 1
        block = np.array([[decay.real, -decay.imag], [decay.imag, decay.real]]) if size == 2 else [[np.real(decay)]]
        grown = np.zeros((len(blocks) + size,) * 2)
        grown[:-size, :-size], grown[-size:, -size:] = blocks, block
        blocks = grown
        inputs += [1.0, 0.0][:size]
        readout += [-2 * np.real(rate), 2 * np.imag(rate)] if size == 2 else [-np.real(rate)]
    coordinates = np.random.default_rng(seed).normal(size=blocks.shape)
    back = np.linalg.inv(coordinates)
    return linear(coordinates @ blocks @ back, coordinates @ inputs, K=readout @ back)


def test_the_mode_of_momentum_is_its_decay():
    found = modes(linearize(Momentum(0.1, 0.9), [3.0]))
    np.testing.assert_allclose(found.decays, [0.9])
    np.testing.assert_allclose(found.learning_rates, [0.1])
    np.testing.assert_allclose(found.impulse_response(50), -0.1 * 0.9 ** np.arange(50))
    assert found.direct == 0 and found.decays.dtype == np.complex128


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_nesterov_passes_part_of_its_gradient_by_the_state(decay):
    found = modes(linearize(NesterovMomentum(0.1, decay), [0.0]))
    np.testing.assert_allclose(found.learning_rates.sum() + found.direct, 0.1 * (1 + decay))
    if decay:
        np.testing.assert_allclose([found.direct, found.learning_rates[0].real], [0.1, 0.1 * decay])
    np.testing.assert_allclose(
        found.impulse_response(20), updates(NesterovMomentum(0.1, decay), impulse(20)), atol=1e-15
    )


def test_timescales_are_recovered_from_random_coordinates():
    decays, rates = [0.99, 0.5, -0.3, 0.9 + 0.2j], [0.05, 1.0, 0.4, 0.3 - 0.1j]
    for seed in range(5):
        found = modes(aggregated(decays, rates, seed))
        np.testing.assert_allclose(found.decays, [0.5, -0.3, 0.9 + 0.2j, 0.9 - 0.2j, 0.99], atol=1e-10)
        np.testing.assert_allclose(found.learning_rates, [1.0, 0.4, 0.3 - 0.1j, 0.3 + 0.1j, 0.05], atol=1e-10)
        np.testing.assert_allclose(found.left @ found.right, np.eye(5), atol=1e-12)


def test_conjugate_pairs_are_exact_and_side_by_side(network):
    found = modes(linearize(network, np.zeros(6)))
    upper = np.flatnonzero(found.decays.imag > 0)
    assert len(upper) and (found.decays[upper + 1] == found.decays[upper].conj()).all()
    np.testing.assert_allclose(found.learning_rates[upper + 1], found.learning_rates[upper].conj(), atol=1e-14)
    sizes = np.abs(found.learning_rates)
    assert (np.diff(sizes) <= 1e-12).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(-3.1, 3.1)), min_size=6, max_size=6))
def test_learning_rates_do_not_depend_on_the_scale_of_eigenvectors(scales):
    system = aggregated([0.99, 0.5, -0.3, 0.1, 0.9 + 0.2j], [0.05, 1.0, 0.4, 0.2, 0.3 - 0.1j])
    found = modes(system)
    scale = np.array([size * np.exp(1j * phase) for size, phase in scales])
    right, left = found.right * scale, found.left / scale[:, None]
    readout = np.linalg.lstsq(np.column_stack([system.A, system.B]).T, np.append(system.C, system.D))[0]
    np.testing.assert_allclose(-(readout @ right) * (left @ system.B), found.learning_rates, atol=1e-10)


@pytest.mark.parametrize("optimizer", [Momentum(0.1, 0.9), NesterovMomentum(0.1, 0.9), GradientDescent(0.1)])
def test_learning_rates_sum_to_the_effective_one(optimizer):
    h = np.zeros(optimizer.num_states)
    found = modes(linearize(optimizer, h))
    total = found.learning_rates.sum().real + found.direct
    np.testing.assert_allclose(total, effective_learning_rate(optimizer, h))


def test_learning_rates_of_a_network_sum_to_its_effective_one(network):
    h = find_fixed_points(network, gradient=0.0, seeds=np.zeros(6)).states[0]
    found = modes(linearize(network, h))
    np.testing.assert_allclose(found.learning_rates.sum(), effective_learning_rate(network, h), atol=1e-14)
    assert found.direct == 0


def test_aggregated_momentum_equals_the_linearized_network(network):
    h = find_fixed_points(network, gradient=0.0, seeds=np.zeros(6)).states[0]
    system = linearize(network, h)
    gradients = np.random.default_rng(0).normal(size=60)
    linearized = updates(LinearSystem(*map(np.asarray, (system.A, system.B, system.C, system.D))), gradients)
    own = updates(modes(system).as_optimizer(), gradients)
    np.testing.assert_allclose(own, linearized, atol=1e-13)
    tiny = updates(network, 1e-5 * gradients, h=h) - system.update
    np.testing.assert_allclose(tiny / 1e-5, own, atol=1e-4 * np.abs(own).max())


def test_one_mode_alone_is_an_optimizer():
    found = modes(aggregated([0.9, 0.2], [1.0, 0.1]))
    np.testing.assert_allclose(updates(found.as_optimizer(0), impulse(9)), -(0.9 ** np.arange(9)), atol=1e-12)


def test_negative_decays_make_an_optimizer_too():
    optimizer = modes(aggregated([-0.5], [1.0])).as_optimizer()
    np.testing.assert_allclose(updates(optimizer, impulse(6)), -((-0.5) ** np.arange(6)), atol=1e-12)


def test_nesterov_as_aggregated_momentum_is_nesterov():
    gradients = np.random.default_rng(0).normal(size=30)
    nesterov = NesterovMomentum(0.1, 0.9)
    optimizer = modes(linearize(nesterov, [0.0])).as_optimizer()
    assert isinstance(optimizer, AggregatedMomentum)
    np.testing.assert_allclose(updates(optimizer, gradients), updates(nesterov, gradients), atol=1e-14)


def test_zero_eigenvalues_keep_their_learning_rate():
    found = modes(linear(np.diag([0.9, 0.0, 0.0]), [1.0, 1.0, 1.0], K=[-1.0, -0.3, -0.2]))
    np.testing.assert_allclose(found.impulse_response(4), [-1.5, -0.9, -0.81, -0.729], atol=1e-12)
    np.testing.assert_allclose(found.learning_rates.sum(), 1.5)


def test_equal_eigenvalues_with_vectors_of_their_own_are_fine():
    found = modes(linear(0.5 * np.eye(2), [1.0, 2.0], K=[-1.0, -1.0]))
    np.testing.assert_allclose(found.impulse_response(3), [-3, -1.5, -0.75])


@pytest.mark.parametrize(
    "system",
    [
        linear([[0.5, 1.0], [0.0, 0.5]], [0.0, 1.0], K=[-1.0, 0.0]),  # momentum of momentum: k * 0.5^k
        linear([[0.0, 1.0], [0.0, 0.0]], [0.0, 1.0], K=[-1.0, 0.0]),  # a gradient passed on two steps later
        linear([[0.0]], [1.0], C=[-0.1], D=0.0),  # the last gradient instead of this one
    ],
)
def test_what_is_no_sum_of_modes_is_refused(system):
    with pytest.raises(ValueError, match="not a sum of"):
        modes(system)


def test_an_optimizer_without_state_is_all_direct():
    found = modes(linearize(GradientDescent(0.1), []))
    assert len(found.decays) == 0 and found.direct == 0.1
    np.testing.assert_allclose(found.impulse_response(3), [-0.1, 0, 0])
    np.testing.assert_allclose(updates(found.as_optimizer(), [1.0, 2.0]), [-0.1, -0.2])
