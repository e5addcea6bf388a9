"""Loss against time: arithmetic on planted costs, and one real measurement."""

import jax
import numpy as np
import pytest

from optoscope.optimizers import GradientDescent, Momentum
from optoscope.running import StepCosts, evaluate, measure_costs
from optoscope.tasks import LinearRegression


@pytest.fixture(scope="module")
def evaluation():
    rules = {"cheap": GradientDescent(0.1), "dear": Momentum(0.1, 0.9)}
    return evaluate(LinearRegression(), rules, num_problems=4, num_steps=12, key=jax.random.key(0))


def test_at_equal_time_a_rule_three_times_as_dear_has_made_a_third_of_the_steps(evaluation):
    costs = StepCosts(["dear", "cheap"], "linear_regression", np.array([[3.0, 3.0, 9.0], [1.0, 1.0, 1.0]]), {})
    np.testing.assert_array_equal(costs.medians, [3.0, 1.0])
    np.testing.assert_array_equal(costs.times(evaluation)[:, -1], [12.0, 36.0])  # in the evaluation's order
    read = costs.at_equal_time(evaluation)
    np.testing.assert_array_equal(read[0], evaluation.losses[0, :, 12])
    np.testing.assert_array_equal(read[1], evaluation.losses[1, :, 4])


def test_measured_costs_are_positive_and_have_one_row_per_optimizer(tmp_path):
    rules = {"a": GradientDescent(0.1), "b": GradientDescent(0.2)}
    costs = measure_costs(LinearRegression(), rules, num_steps=3, num_repetitions=2, key=jax.random.key(0))
    assert costs.seconds.shape == (2, 2)
    assert (costs.seconds > 0).all()
    np.testing.assert_array_equal(StepCosts.load(costs.save(tmp_path / "costs.npz")).seconds, costs.seconds)


def test_nothing_to_measure_is_refused():
    with pytest.raises(ValueError, match="`optimizers` is empty"):
        measure_costs(LinearRegression(), {}, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`num_steps`"):
        measure_costs(LinearRegression(), {"a": GradientDescent(0.1)}, num_steps=0, key=jax.random.key(0))
