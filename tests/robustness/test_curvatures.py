"""Curvatures along runs: Hessians known in closed form, and Lanczos iteration against whole Hessians."""

import jax
import numpy as np
import pytest

from optoscope import tasks
from optoscope.optimizers import GradientDescent
from optoscope.robustness import curvatures
from optoscope.robustness.curvatures import task_curvatures
from optoscope.running.problems import Purpose, sample_problems


def test_linear_regression_has_the_eigenvalues_of_its_problems_all_along(key):
    task = tasks.get("linear_regression")
    found = task_curvatures(task, GradientDescent(0.1), key=key, num_problems=3, num_steps=8, num_points=2)
    problems, _ = sample_problems(task, Purpose.TEST.key(key), 3)
    expected = np.linalg.svd(np.asarray(problems.matrix, np.float64))[1][:, ::-1] ** 2
    assert found.eigenvalues.shape == (3, 3, 5) and found.steps.tolist() == [0, 4, 8]
    np.testing.assert_allclose(found.eigenvalues, np.repeat(expected[:, None], 3, axis=1), atol=1e-5)
    assert found.bound == 1 and found.largest.max() <= 1
    np.testing.assert_allclose(found.span(), (expected.min(), expected.max()), rtol=2e-2)


def test_rosenbrock_starts_where_its_hessian_says(key):
    task = tasks.get("rosenbrock")
    found = task_curvatures(task, GradientDescent(1e-4), key=key, num_problems=4, num_steps=4, num_points=2)
    x, y = np.asarray(sample_problems(task, Purpose.TEST.key(key), 4)[0].initial_params, np.float64).T
    hessians = np.array([[2 - 400 * (y - 3 * x**2), -400 * x], [-400 * x, 200 + 0 * x]]).transpose(2, 0, 1)
    np.testing.assert_allclose(found.eigenvalues[:, 0], np.linalg.eigvalsh(hessians), rtol=1e-4, atol=1e-2)
    assert found.bound == np.inf


def test_lanczos_iteration_finds_the_largest_of_the_whole_hessian(key, monkeypatch):
    task = tasks.get("two_moons(num_examples=16, widths=(3,))")
    settings = {"key": key, "num_problems": 1, "num_steps": 2, "num_points": 1, "num_eigenvalues": 2}
    whole = task_curvatures(task, GradientDescent(0.1), **settings)
    monkeypatch.setattr(curvatures, "_LARGEST_DENSE", 0)
    found = task_curvatures(task, GradientDescent(0.1), **settings)
    assert whole.eigenvalues.shape == (1, 2, 13) and found.eigenvalues.shape == (1, 2, 2)
    np.testing.assert_allclose(found.eigenvalues, whole.eigenvalues[..., -2:], rtol=5e-3, atol=1e-4)


def test_runs_that_diverge_have_no_curvature_and_say_so(key):
    task = tasks.get("rosenbrock")
    found = task_curvatures(task, GradientDescent(10.0), key=key, num_problems=2, num_steps=40, num_points=2)
    assert np.isnan(found.eigenvalues[:, -1]).all() and np.isfinite(found.eigenvalues[:, 0]).all()
    with pytest.raises(ValueError, match="must be a multiple of `num_points` = 8, got 10"):
        task_curvatures(task, GradientDescent(1.0), key=jax.random.key(0), num_steps=10)
