"""Evaluation pairs what it compares."""

import numpy as np
import optax
import pytest

from optoscope.optimizers import GradientDescent, Momentum
from optoscope.running import evaluate
from optoscope.tasks import LinearRegression


def test_all_optimizers_meet_the_same_problems_and_differences_are_paired(key):
    result = evaluate(
        LinearRegression(),
        {"ours": Momentum(1.0, 0.9), "optax": optax.sgd(1.0, momentum=0.9), "plain": GradientDescent(1.0)},
        num_problems=16,
        num_steps=50,
        key=key,
    )
    assert result.losses.shape == (3, 16, 51)
    np.testing.assert_array_equal(result.losses[0, :, 0], result.losses[2, :, 0])
    np.testing.assert_allclose(result.objectives[0], result.objectives[1], rtol=1e-5)
    same = result.compare("ours", "optax")
    assert abs(same.difference) < 1e-6
    better = result.compare("ours", "plain")
    np.testing.assert_allclose(better.difference, np.mean(result.objectives[0] - result.objectives[2]))
    assert better.difference_interval[0] <= better.difference <= better.difference_interval[1]
    np.testing.assert_allclose(result.standard_errors[0], result.objectives[0].std(ddof=1) / 4)


def test_a_diverged_run_counts_as_infinite(key):
    result = evaluate(LinearRegression(), {"bad": GradientDescent(1e6), "good": Momentum(1.0, 0.9)}, key=key)
    assert np.isinf(result.means[0])
    assert result.num_diverged.tolist() == [64, 0]
    assert result.compare("good", "bad").difference == -np.inf
    with pytest.raises(ValueError, match="Known: bad, good"):
        result.compare("good", "worse")


def test_evaluate_refuses_nothing_to_do(key):
    with pytest.raises(ValueError, match="`optimizers` is empty"):
        evaluate(LinearRegression(), {}, key=key)
