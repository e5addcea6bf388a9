"""Neighboring runs part as the whole system's spectral radius says, where that is known."""

import numpy as np
import pytest

from optoscope import artifacts, tasks
from optoscope.optimizers import GradientDescent, Momentum
from optoscope.robustness import separation
from optoscope.running.problems import Purpose, sample_problems


def curvatures(key, num_problems):
    problems, _ = sample_problems(tasks.get("linear_regression"), Purpose.TEST.key(key), num_problems)
    return np.linalg.svd(np.asarray(problems.matrix, np.float64))[1] ** 2


@pytest.mark.parametrize(("learning_rate", "num_steps"), [(1.0, 4000), (20.0, 100)])
def test_gradient_descent_parts_along_its_slowest_or_fastest_direction(key, learning_rate, num_steps):
    found = separation(
        GradientDescent(learning_rate),
        tasks.get("linear_regression"),
        key=key,
        num_problems=4,
        num_steps=num_steps,
        every=num_steps // 20,
    )
    expected = np.log(np.abs(1 - learning_rate * curvatures(key, 4)).max(1))
    np.testing.assert_allclose(found.growth, expected, rtol=2e-2, atol=2e-4)
    assert found.steps.tolist() == list(range(0, num_steps + 1, num_steps // 20))
    assert found.losses.shape == (4, num_steps + 1)


def test_runs_that_end_between_two_edges_stay_with_their_neighbors(key):
    optimizer = artifacts.load("rosenbrock").optimizer  # its minimum has curvatures of 0.4 and 1002: both stable
    found = separation(optimizer, tasks.get("rosenbrock"), key=key, num_problems=3, num_steps=400)
    assert (found.growth < 0).all() and not found.parted.any()


def test_momentum_that_diverges_parts_and_is_told(key):
    found = separation(Momentum(1e6, 0.9), tasks.get("linear_regression"), key=key, num_steps=100)
    assert (found.growth > 1).all()
    overflow = separation(Momentum(1e30, 0.9), tasks.get("linear_regression"), key=key, num_steps=100)
    assert overflow.parted.all()


def test_distances_out_of_range_are_refused(key):
    for distance in (0.0, 1e-15, 1e-2):
        with pytest.raises(ValueError, match=r"distance.* 1e-8 is the default"):
            separation(Momentum(0.1, 0.9), tasks.get("linear_regression"), key=key, distance=distance)
    with pytest.raises(ValueError, match=r"must be a multiple of `save\.every` = 30"):
        separation(Momentum(0.1, 0.9), tasks.get("linear_regression"), key=key, num_steps=100, every=30)
