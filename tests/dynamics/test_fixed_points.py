import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from planted_systems import Counter, Cubic, LinearSystem, Planar, RootState

from optoscope import from_optax
from optoscope._core.status import Status
from optoscope.dynamics import find_fixed_points, linearize
from optoscope.optimizers import AbstractOptimizer, Adam, GradientDescent, GRUOptimizer, Momentum, RMSProp


def roots(gradient):
    found = np.roots([1, 0, -1, -gradient])
    return np.sort(found[abs(found.imag) < 1e-9].real)


def test_all_planted_points_are_found_with_their_stability():
    seeds = np.linspace(-2, 2, 41)[:, None]
    found = find_fixed_points(Cubic(0.1), gradient=0.1, seeds=seeds)
    order = np.argsort(found.states[:, 0])
    np.testing.assert_allclose(found.states[order, 0], roots(0.1), atol=1e-12)
    np.testing.assert_array_equal(found.attracting[order], [True, False, True])
    np.testing.assert_allclose(found.spectral_radii, abs(1 - 0.1 * (3 * found.states[:, 0] ** 2 - 1)), atol=1e-12)
    assert found.converged.all() and found.residuals.max() < 1e-14


def test_basin_shares_count_the_seeds_of_each_row():
    seeds = np.linspace(-2, 2, 41)[:, None]
    found = find_fixed_points(Cubic(0.1), gradient=[-0.1, 0.1], seeds=seeds)
    assert found.seed_points.shape == (2, 41)
    counts = np.bincount(found.seed_points.ravel(), minlength=len(found.states))
    np.testing.assert_allclose(found.basin_shares, counts / 41)
    np.testing.assert_array_equal(found.gradients[found.seed_points], np.repeat([[-0.1], [0.1]], 41, axis=1))
    near = abs(seeds[:, 0] - 1) < 0.1
    np.testing.assert_allclose(found.states[found.seed_points[1, near], 0], roots(0.1)[-1])


def test_rows_are_ordered_by_input_status_and_share():
    found = find_fixed_points(Cubic(0.1), gradient=[0.1, 0.5], seeds=np.linspace(-2, 2, 41)[:, None])
    keys = list(zip(found.gradients, found.status, -found.basin_shares))
    assert keys == sorted(keys)


def test_one_seed_is_enough():
    found = find_fixed_points(Cubic(0.1), gradient=0.0, seeds=[0.9])
    np.testing.assert_allclose(found.states, [[1.0]], atol=1e-14)
    assert found.basin_shares.tolist() == [1.0] and found.seed_points.tolist() == [[0]]


def test_two_inputs_close_to_each_other_are_not_merged():
    found = find_fixed_points(Momentum(0.1, 0.9), gradient=[1.0, 1.0001], seeds=np.zeros((3, 1)))
    np.testing.assert_allclose(found.states[:, 0], [10.0, 10.001], rtol=1e-12)


def test_duplicates_are_merged_in_units_of_the_states():
    for size in (1e-6, 1.0, 1e6):
        seeds = size * np.random.default_rng(0).normal(size=(20, 1))
        assert len(find_fixed_points(Momentum(0.1, 0.9), gradient=size, seeds=seeds).states) == 1


class Small(AbstractOptimizer):
    """Fixed points at 0 and at +-1e-8."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        x = 1e8 * h
        return h + 1e-8 * (x - x**3) / 4 + g, -g


def test_distinct_small_points_stay_apart():
    found = find_fixed_points(Small(), gradient=0.0, seeds=1e-8 * np.linspace(-1.4, 1.4, 9)[:, None])
    np.testing.assert_allclose(np.sort(found.states[:, 0]), [-1e-8, 0, 1e-8], atol=1e-14)
    assert not found.dimensions.any()


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e6])
def test_a_line_of_fixed_points_is_one_and_neutral(size):
    rule = from_optax(optax.trace(1.0))
    found = find_fixed_points(rule, gradient=0.0, seeds=size * np.arange(-2.0, 3)[:, None])
    assert found.dimensions.tolist() == [1] and found.basin_shares.tolist() == [1.0]
    assert found.neutral.all() and not found.attracting.any() and not found.repelling.any()
    np.testing.assert_allclose(found.spectral_radii, 1, atol=1e-15)
    assert find_fixed_points(rule, gradient=0.0, seeds=[0.0]).dimensions.tolist() == [1]


def test_a_plane_and_parallel_lines_of_fixed_points():
    plane = LinearSystem(A=jnp.diag(jnp.array([1.0, 1.0, 0.5])), B=jnp.ones(3), C=jnp.ones(3))
    seeds = np.random.default_rng(0).normal(size=(7, 3))
    assert find_fixed_points(plane, gradient=0.0, seeds=seeds).dimensions.tolist() == [2]
    found = find_fixed_points(Lines(), gradient=0.0, seeds=seeds[:, :2])
    assert found.dimensions.tolist() == [1] * 3
    np.testing.assert_allclose(np.sort(found.states[:, 1]), [-1, 0, 1], atol=1e-12)
    assert found.neutral.sum() == 2 and found.repelling.sum() == 1


class Lines(AbstractOptimizer):
    """The first state variable stays where it is, the second settles at -1 or 1."""

    def initial_state(self):
        return jnp.zeros(2)

    def step(self, h, g):
        return jnp.stack([h[0] + g, h[1] + 0.2 * (h[1] - h[1] ** 3)]), -h[0]


def test_a_fold_is_no_continuum():
    found = find_fixed_points(Cubic(0.1), gradient=2 / 3**1.5, seeds=[-0.4])
    assert found.dimensions.tolist() == [0]


def test_a_spiral_and_a_saddle():
    seeds = 2 * np.random.default_rng(0).normal(size=(20, 2))
    found = find_fixed_points(Planar(), gradient=0.0, seeds=seeds)
    order = np.argsort(found.states[:, 0])
    np.testing.assert_allclose(found.states[order], [[-2.23554, 2.01199], [0.42602, -0.38342]], atol=1e-5)
    assert found.repelling[order].tolist() == [True, False]
    saddle, spiral = (np.linalg.eigvals(linearize(Planar(), state).A) for state in found.states[order])
    np.testing.assert_allclose(np.sort(saddle), [0.2002, 4.4944], atol=1e-4)
    np.testing.assert_allclose(np.sort_complex(spiral), [-0.4473 - 0.8366j, -0.4473 + 0.8366j], atol=1e-4)


class Pitchfork(AbstractOptimizer):
    """`h' = tanh(2 h) + g`."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        h = jnp.tanh(2 * h) + g
        return h, -h[0]


def test_a_pitchfork_has_three_points():
    found = find_fixed_points(Pitchfork(), gradient=0.0, seeds=np.linspace(-2, 2, 9)[:, None])
    order = np.argsort(found.states[:, 0])
    np.testing.assert_allclose(found.states[order, 0], [-0.957504, 0, 0.957504], atol=1e-6)
    np.testing.assert_allclose(found.spectral_radii[order], [0.166372, 2, 0.166372], atol=1e-6)


def test_the_tolerance_judges_the_residual():
    beyond = 2 / 3**1.5 + 1e-6  # past the fold: nothing stands still, the residual is at least 1e-7
    found = find_fixed_points(Cubic(0.1), gradient=beyond, seeds=[-0.6])
    assert found.status[0] == Status.SLOW and not found.attracting[0]
    np.testing.assert_allclose(found.states[0], -(3**-0.5), atol=1e-3)
    assert 1e-7 <= found.residuals[0] < 2e-7
    looser = find_fixed_points(Cubic(0.1), gradient=beyond, seeds=[-0.6], tolerance=1e-6)
    assert looser.status[0] == Status.CONVERGED
    stricter = find_fixed_points(Cubic(0.1), gradient=beyond, seeds=[-0.6], slow_tolerance=1e-8)
    assert stricter.status[0] == Status.NOT_CONVERGED


def test_a_fold_itself_converges_although_its_derivative_is_singular():
    found = find_fixed_points(Cubic(0.1), gradient=2 / 3**1.5, seeds=[-0.4], tolerance=1e-10)
    assert found.status[0] == Status.CONVERGED
    np.testing.assert_allclose(found.states[0], -(3**-0.5), atol=1e-4)


def test_an_optimizer_without_fixed_point_says_so():
    found = find_fixed_points(Counter(), gradient=0.0, seeds=[[0.0], [5.0]])
    assert (found.status == Status.NOT_CONVERGED).all() and len(found.states) == 2
    np.testing.assert_allclose(found.residuals, 1.0)
    assert np.isnan(found.spectral_radii).all()


def test_a_seed_with_a_singular_derivative_is_run_forward_and_found():
    found = find_fixed_points(RootState(), gradient=1.0, seeds=[[0.0], [1.0]])
    assert found.basin_shares.tolist() == [1.0]
    np.testing.assert_allclose(found.states[found.converged] ** 0.5, [[(0.5 + 4.25**0.5) / 2]])


class Undefined(AbstractOptimizer):
    """The root of a negative number."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        return jnp.sqrt(-1 - h**2), g


def test_a_map_that_is_not_finite_has_its_status():
    found = find_fixed_points(Undefined(), gradient=1.0, seeds=[[0.0]])
    assert found.status.tolist() == [Status.NOT_FINITE]


def test_a_fixed_point_without_derivative_is_still_one():
    found = find_fixed_points(RootState(), gradient=0.0, seeds=[0.0])
    assert found.converged[0] and np.isnan(found.spectral_radii[0]) and not found.attracting[0]


@pytest.mark.parametrize("optimizer", [Adam(0.1, 0.9, 0.99), RMSProp(0.1, 0.9)])
@pytest.mark.parametrize("gradient", [0.0, 1e-5, 1e4])
def test_adaptive_optimizers_forget_everything_but_the_gradient(optimizer, gradient):
    found = find_fixed_points(optimizer, gradient=gradient, seeds=np.ones((2, optimizer.num_states)))
    expected = [gradient, gradient**2][-optimizer.num_states :]
    np.testing.assert_allclose(found.states, [expected], rtol=1e-6, atol=1e-12)
    assert found.attracting.all()


def test_an_optimizer_without_state_has_one_fixed_point():
    found = find_fixed_points(GradientDescent(0.1), gradient=1.0, seeds=np.zeros((3, 0)))
    assert found.states.shape == (1, 0) and found.attracting.all() and found.spectral_radii.tolist() == [0.0]


def test_many_more_seeds_than_one_block_agree_with_few():
    seeds = np.linspace(-2, 2, 600)[:, None]
    many = find_fixed_points(Cubic(0.1), gradient=0.1, seeds=seeds)
    np.testing.assert_allclose(np.sort(many.states[:, 0]), roots(0.1), atol=1e-12)
    np.testing.assert_allclose(many.basin_shares.sum(), 1)


def test_every_seed_of_a_network_converges_to_rounding():
    seeds = 0.5 * np.random.default_rng(0).normal(size=(40, 16))
    found = find_fixed_points(GRUOptimizer.create(16, key=jax.random.key(0)), gradient=[0.0, 0.3], seeds=seeds)
    assert found.converged.all() and found.residuals.max() < 1e-13


def test_numbers_are_float64_and_the_default_of_the_caller_stays(network):
    found = find_fixed_points(network, gradient=np.float32(0.1), seeds=np.zeros((1, 6), np.float32))
    assert {found.states.dtype, found.residuals.dtype, found.spectral_radii.dtype} == {np.dtype(np.float64)}
    assert found.residuals[0] < 1e-14
    assert not jax.config.jax_enable_x64 and jnp.ones(1).dtype == jnp.float32


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"seeds": [[np.nan]]}, "seeds.*finite"),
        ({"seeds": np.zeros((2, 3))}, "1 variables"),
        ({"seeds": np.zeros((0, 1))}, "empty"),
        ({"gradient": np.inf}, "gradient"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"max_iterations": 0}, "max_iterations"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        find_fixed_points(Momentum(0.1, 0.9), **{"gradient": 0.0, "seeds": [0.0], **arguments})
