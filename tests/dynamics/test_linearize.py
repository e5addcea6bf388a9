import jax.numpy as jnp
import numpy as np
import pytest
from planted_systems import LinearSystem

from optoscope.dynamics import find_fixed_points, linearize
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.optimizers import Adam, GradientDescent, NesterovMomentum


@in_float64
def step(optimizer, h, g):
    h, dx = to_float64(optimizer).step(jnp.asarray(h), np.float64(g))
    return np.asarray(h), float(dx)


def central_differences(optimizer, h, g, size=1e-5):
    def slope(direction, along_g):
        (up, up_dx), (down, down_dx) = (
            step(optimizer, h + sign * size * direction, g + sign * size * along_g) for sign in (1, -1)
        )
        return (up - down) / (2 * size), (up_dx - down_dx) / (2 * size)

    columns = [slope(direction, 0.0) for direction in np.eye(len(h))]
    B, D = slope(np.zeros(len(h)), 1.0)
    return np.column_stack([column[0] for column in columns]), B, np.array([column[1] for column in columns]), D


def test_derivatives_of_a_network_agree_with_central_differences(network):
    h = np.random.default_rng(1).normal(size=6)
    found = linearize(network, h, 0.3)
    for name, expected in zip("ABCD", central_differences(network, h, 0.3)):
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-9)
    next_state, update = step(network, h, 0.3)
    np.testing.assert_allclose(found.next_state, next_state, atol=1e-15)
    np.testing.assert_allclose([found.update, found.residual], [update, np.linalg.norm(next_state - h)])


def test_the_residual_vanishes_at_a_fixed_point(network):
    h = find_fixed_points(network, gradient=0.0, seeds=np.zeros(6)).states[0]
    assert linearize(network, h).residual < 1e-14


def test_a_linear_system_is_its_own_linearization():
    rng = np.random.default_rng(0)
    A, B, C = rng.normal(size=(3, 3)).astype("f4"), rng.normal(size=3).astype("f4"), np.ones(3, "f4")
    found = linearize(LinearSystem(*map(np.asarray, (A, B, C)), D=-0.25), rng.normal(size=3), -2.0)
    np.testing.assert_array_equal(found.A, A)
    np.testing.assert_array_equal(found.B, B)
    np.testing.assert_array_equal(found.C, C)
    assert found.D == -0.25 and found.A.dtype == np.float64


def test_nesterov_reads_the_gradient_twice():
    found = linearize(NesterovMomentum(0.1, 0.9), [0.0])
    np.testing.assert_allclose([found.A[0, 0], found.B[0], found.C[0], found.D], [0.9, 1, -0.081, -0.19])


def test_an_optimizer_without_state_has_only_its_learning_rate():
    found = linearize(GradientDescent(0.1), [])
    assert found.A.shape == (0, 0) and found.D == -0.1 and found.residual == 0


def test_adam_at_zero_is_refused_in_words():
    with pytest.raises(ValueError, match=r"Adam has no linearization .*is not finite"):
        linearize(Adam(0.1, 0.9, 0.99), [0.0, 0.0])
    assert np.isfinite(linearize(Adam(0.1, 0.9, 0.99), [0.0, 0.0], 0.1).C).all()


def test_several_states_are_refused():
    with pytest.raises(ValueError, match="one state is needed here, got 2"):
        linearize(NesterovMomentum(0.1, 0.9), [[0.0], [1.0]])
