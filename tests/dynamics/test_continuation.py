import jax
import numpy as np
import pytest
from planted_systems import Counter, Cubic, RootState

from optoscope._core.status import Status
from optoscope.dynamics import continue_fixed_points, effective_learning_rate, find_fixed_points
from optoscope.optimizers import Adam, GradientDescent, GRUOptimizer, Momentum

FOLD = 2 / 3**1.5


@pytest.fixture(scope="module")
def s_curve():
    return continue_fixed_points(Cubic(0.1), gradients=(-1.0, 1.0))


def test_the_whole_s_curve_is_followed(s_curve):
    h, g = s_curve.states[:, 0], s_curve.gradients
    np.testing.assert_allclose(g, h**3 - h, atol=1e-8)
    assert (np.diff(h) > 0).all() and g[0] == -1 and g[-1] == 1
    assert s_curve.ends.tolist() == [Status.CONVERGED] * 2 and s_curve.residuals.max() < 1e-10


def test_folds_are_located_accurately(s_curve):
    np.testing.assert_allclose(s_curve.gradients[s_curve.folds], [FOLD, -FOLD], atol=1e-10)
    np.testing.assert_allclose(s_curve.states[s_curve.folds, 0], [-(3**-0.5), 3**-0.5], atol=1e-5)
    np.testing.assert_allclose(s_curve.spectral_radii[s_curve.folds], 1, atol=1e-5)


def test_the_branch_between_the_folds_repels(s_curve):
    first, second = s_curve.folds
    assert not s_curve.attracting[first + 1 : second].any()
    assert s_curve.attracting[:first].all() and s_curve.attracting[second + 1 :].all()
    assert second - first > 5


def test_the_arms_of_an_odd_system_mirror_each_other():
    branch = continue_fixed_points(Cubic(0.1), gradients=(-1.0, 1.0), start=[0.0])
    assert len(branch.gradients) % 2 == 1 and branch.gradients[len(branch.gradients) // 2] == 0
    np.testing.assert_allclose(branch.gradients, -branch.gradients[::-1], atol=1e-8)
    np.testing.assert_allclose(branch.states, -branch.states[::-1], atol=1e-8)
    np.testing.assert_allclose(branch.gradients[branch.folds], [FOLD, -FOLD], atol=1e-10)


def test_a_curve_may_start_at_either_end_of_the_range():
    branch = continue_fixed_points(Cubic(0.1), gradients=(0.0, 1.0), start=[-1.0])
    assert branch.gradients[[0, -1]].tolist() == [0, 0]  # it turns back before 1
    np.testing.assert_allclose(branch.states[[0, -1], 0], [-1, 0], atol=1e-9)
    assert branch.ends.tolist() == [Status.CONVERGED] * 2 and (np.diff(branch.states[:, 0]) > 0).all()
    np.testing.assert_allclose(branch.gradients[branch.folds], [FOLD], atol=1e-10)


def test_states_of_any_size_are_followed_through_their_folds():
    class Small(Cubic):
        def step(self, h, g):
            h, dx = super().step(1e5 * h, 1e-3 * g)
            return 1e-5 * h, dx

        def initial_state(self):
            return 1e-5 * super().initial_state()

    branch = continue_fixed_points(Small(0.1), gradients=(-1e3, 1e3))
    np.testing.assert_allclose(branch.gradients[branch.folds] / 1e3, [FOLD, -FOLD], atol=1e-4)


def test_points_cover_every_decade_of_a_wide_range():
    optimizer = GRUOptimizer.create(32, key=jax.random.key(0), input_scale=0.01)
    branch = continue_fixed_points(optimizer, gradients=(-1000.0, 1000.0))
    assert branch.gradients[[0, -1]].tolist() == [-1000, 1000] and not len(branch.folds)
    assert len(branch.gradients) < 150 and branch.residuals.max() < 1e-10
    for low in (1.0, 10.0, 100.0):
        assert np.sum((branch.gradients >= low) & (branch.gradients < 10 * low)) >= 4
    steps = np.diff(branch.gradients)
    assert (np.maximum(steps[1:] / steps[:-1], steps[:-1] / steps[1:])[1:-2] < 2.5).all()


def test_points_are_those_of_a_direct_search(network):
    branch = continue_fixed_points(network, gradients=(-0.5, 0.5))
    for i in (0, len(branch.gradients) // 3, -1):
        direct = find_fixed_points(network, gradient=branch.gradients[i], seeds=branch.states[i] + 1e-3)
        np.testing.assert_allclose(branch.states[i], direct.states[0], atol=1e-8)
        np.testing.assert_allclose(branch.spectral_radii[i], direct.spectral_radii[0], atol=1e-7)
    np.testing.assert_allclose(branch.learning_rates, effective_learning_rate(network, branch.states), atol=1e-12)


def test_momentum_moves_by_its_gradient_over_one_minus_decay():
    branch = continue_fixed_points(Momentum(0.1, 0.9), gradients=(-2.0, 1.0))
    np.testing.assert_allclose(branch.updates, -branch.gradients, atol=1e-9)
    np.testing.assert_allclose(branch.spectral_radii, 0.9)


def test_adam_has_a_curve_up_to_large_gradients():
    branch = continue_fixed_points(Adam(0.1, 0.9, 0.99), gradients=(-1e3, 1e3))
    np.testing.assert_allclose(branch.states[:, 1], branch.gradients**2, rtol=1e-7, atol=1e-7)
    assert (branch.ends == Status.CONVERGED).all()
    assert np.flatnonzero(np.isnan(branch.learning_rates)).tolist() == np.flatnonzero(branch.gradients == 0).tolist()


def test_an_optimizer_without_state_has_a_line():
    branch = continue_fixed_points(GradientDescent(0.1), gradients=(-1.0, 1.0))
    np.testing.assert_allclose(branch.updates, -0.1 * branch.gradients)
    assert branch.states.shape[1] == 0 and branch.attracting.all()


def test_too_few_points_are_told_by_the_ends():
    branch = continue_fixed_points(Cubic(0.1), gradients=(-1.0, 1.0), max_points=3)
    assert branch.ends.tolist() == [Status.NOT_CONVERGED] * 2


@pytest.mark.parametrize(
    "optimizer, arguments, message",
    [
        (Momentum(0.1, 0.9), {"gradients": (1.0, 2.0)}, "enclose"),
        (Momentum(0.1, 0.9), {"gradients": (-1.0, np.inf)}, "gradients"),
        (Momentum(0.1, 0.9), {"start": [[0.0], [1.0]]}, "one state"),
        (Counter(), {}, "no fixed point"),
        (RootState(), {"start": [0.0]}, "no derivative"),
    ],
)
def test_what_cannot_be_followed_is_refused(optimizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        continue_fixed_points(optimizer, **{"gradients": (-1.0, 1.0), **arguments})
