"""The distribution of problems that METHODS section 3 describes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optoscope.tasks import LinearRegression

NUM_PROBLEMS = 400


@pytest.fixture(scope="module")
def problems():
    with jax.enable_x64(True):
        sample = jax.jit(jax.vmap(LinearRegression().sample))
        return jax.tree.map(np.asarray, sample(jax.random.split(jax.random.key(0), NUM_PROBLEMS)))


@pytest.fixture(scope="module")
def eigenvalues(problems):
    return np.linalg.eigvalsh(np.swapaxes(problems.matrix, 1, 2) @ problems.matrix)


def test_hessian_eigenvalues_lie_in_the_range_of_the_methods(eigenvalues):
    assert eigenvalues.min() >= 1e-3 * (1 - 1e-9)
    assert eigenvalues.max() <= 1 + 1e-9


def test_eigenvalues_are_uniform_in_the_logarithm(eigenvalues):
    exponents = np.sort(np.log10(eigenvalues).ravel())
    expected = np.linspace(-3, 0, exponents.size)
    assert np.abs(exponents - expected).max() < 0.12  # Kolmogorov-Smirnov, p about 0.01


def test_condition_numbers_lie_between_1_and_1000(eigenvalues):
    condition_numbers = eigenvalues[:, -1] / eigenvalues[:, 0]
    assert condition_numbers.min() >= 1
    assert condition_numbers.max() <= 1000 * (1 + 1e-9)
    assert condition_numbers.max() > 500


def test_the_minimum_is_0(problems):
    with jax.enable_x64(True):
        minimizers = np.linalg.solve(problems.matrix, problems.target[..., None])[..., 0]
        key = jax.random.key(0)
        losses = jax.vmap(lambda p, x: LinearRegression().loss(p, x, key))(problems, minimizers)
        assert np.max(losses) < 1e-20


def test_the_linear_term_and_the_start_are_standard_normal(problems):
    gradients_at_0 = -np.einsum("pij,pi->pj", problems.matrix, problems.target)
    for draws in (gradients_at_0, problems.initial_params):
        assert abs(draws.mean()) < 0.08
        assert draws.std() == pytest.approx(1, abs=0.06)
        np.testing.assert_allclose(np.cov(draws.T), np.eye(5), atol=0.25)


def test_the_loss_is_half_the_squared_residual(problems):
    problem = jax.tree.map(lambda array: jnp.asarray(array[0], jnp.float32), problems)
    x = problem.initial_params
    loss = LinearRegression().loss(problem, x, jax.random.key(0))
    expected = 0.5 * np.sum((problems.matrix[0] @ problems.initial_params[0] - problems.target[0]) ** 2)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_other_sizes_work():
    problem = jax.jit(LinearRegression(num_params=2).sample)(jax.random.key(0))
    assert problem.matrix.shape == (2, 2)
