import numpy as np
import pytest

from optoscope.dynamics import (
    autonomous_trajectory,
    effective_learning_rate,
    find_fixed_points,
    principal_components,
    total_variance,
)
from optoscope.optimizers import Adam, GradientDescent, Momentum


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_run(gru, h, g, num_steps):
    A, gates, candidate, biases, w, b = (
        np.asarray(leaf, np.float64)
        for leaf in (
            gru.input_weights,
            gru.gate_weights,
            gru.candidate_weights,
            gru.biases,
            gru.readout_weights,
            gru.readout_bias,
        )
    )
    n, states, updates = len(h), [h], []
    for _ in range(num_steps):
        driven = g * A[0] + biases
        both = sigmoid(driven[: 2 * n] + h @ gates)
        u, r = both[:n], both[n:]
        h = u * h + (1 - u) * np.tanh(driven[2 * n :] + (r * h) @ candidate)
        states.append(h)
        updates.append(gru.output_scale * (h @ w + b))
    return np.array(states), np.array(updates)


@pytest.mark.parametrize("gradient", [0.0, 0.7])
def test_a_run_equals_a_loop_in_numpy(network, gradient):
    found = autonomous_trajectory(network, num_steps=30, gradient=gradient)
    states, updates = numpy_run(network, np.asarray(network.initial, np.float64), gradient, 30)
    np.testing.assert_allclose(found.states, states, atol=1e-14)
    np.testing.assert_allclose(found.updates, updates, atol=1e-14)
    np.testing.assert_allclose(found.drift, [updates[:i].sum() for i in range(31)], atol=1e-13)
    np.testing.assert_array_equal(found.learning_rates, effective_learning_rate(network, found.states))


def test_a_run_from_a_fixed_point_stays_there(network):
    h = find_fixed_points(network, gradient=0.0, seeds=np.zeros(6)).states[0]
    np.testing.assert_allclose(autonomous_trajectory(network, num_steps=5, h=h).states, np.tile(h, (6, 1)), atol=1e-14)


def test_momentum_glides_on_without_a_gradient():
    found = autonomous_trajectory(Momentum(0.1, 0.5), num_steps=3, h=[8.0])
    np.testing.assert_allclose(found.states[:, 0], [8, 4, 2, 1])
    np.testing.assert_allclose(found.drift, [0, -0.4, -0.6, -0.7])


def test_adam_at_rest_has_no_learning_rate_and_says_so():
    found = autonomous_trajectory(Adam(0.1, 0.9, 0.99), num_steps=2)
    assert not found.has_learning_rate.any() and np.isfinite(found.updates).all()
    assert autonomous_trajectory(Adam(0.1, 0.9, 0.99), num_steps=2, h=[0.0, 1.0]).has_learning_rate.all()


def test_an_optimizer_without_state_runs():
    found = autonomous_trajectory(GradientDescent(0.1), num_steps=3, gradient=1.0)
    assert found.states.shape == (4, 0) and np.allclose(found.drift, [0, -0.1, -0.2, -0.3])


def test_principal_components_agree_with_a_singular_value_decomposition():
    states = np.random.default_rng(0).normal(size=(4, 10, 5)) * [5, 3, 2, 1, 0.5] + 7
    found = principal_components(states, num_components=3)
    flat = states.reshape(-1, 5)
    _, values, rows = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(found.axes * rows[:3], axis=1)), 1, atol=1e-12)
    np.testing.assert_allclose(found.explained_variance_ratio, (values**2 / (values**2).sum())[:3])
    np.testing.assert_allclose(found.project(states), (states - flat.mean(0)) @ found.axes.T)
    assert (found.axes[np.arange(3), np.abs(found.axes).argmax(1)] > 0).all()


def test_fewer_states_than_variables_leave_as_many_components():
    assert principal_components(np.random.default_rng(0).normal(size=(3, 8))).axes.shape == (3, 8)


def test_equal_states_have_no_variance_to_share():
    assert principal_components(np.ones((4, 3))).explained_variance_ratio.tolist() == [0, 0, 0]


def test_total_variance_is_the_sum_of_variances_over_trajectories():
    states = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    expected = [np.var(states.reshape(6, 4, 5)[:, k], axis=0).sum() for k in range(4)]
    np.testing.assert_allclose(total_variance(states), expected)


@pytest.mark.parametrize(
    "function, states, message",
    [
        (principal_components, np.ones((1, 3)), "two states"),
        (principal_components, [[np.nan], [1.0]], "finite"),
        (total_variance, np.ones((2, 3)), "trajectory, step, state"),
        (total_variance, np.full((2, 2, 2), np.inf), "finite"),
    ],
)
def test_what_does_not_fit_is_refused(function, states, message):
    with pytest.raises(ValueError, match=message):
        function(states)
