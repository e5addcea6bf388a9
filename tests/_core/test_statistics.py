"""The one bootstrap, beside draws made by hand and beside the standard error."""

import numpy as np
import pytest

from optoscope._core.statistics import bootstrap_interval

VALUES = np.random.default_rng(1).normal(size=400)


def mean_of(values):
    return lambda rows: values[rows].mean(1)


def test_it_is_the_percentiles_of_resampled_problems():
    drawn = np.random.default_rng(0).integers(400, size=(2000, 400))
    expected = np.quantile(VALUES[drawn].mean(1), [0.025, 0.975])
    found = bootstrap_interval(mean_of(VALUES), 400, num_resamples=2000)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(found, VALUES.mean() + np.array([-1.96, 1.96]) * VALUES.std() / 20, atol=0.01)


def test_batches_and_seeds():
    whole = bootstrap_interval(mean_of(VALUES), 400, num_resamples=500)
    assert bootstrap_interval(mean_of(VALUES), 400, num_resamples=500, batch=100) == pytest.approx(whole, rel=1e-12)
    assert bootstrap_interval(mean_of(VALUES), 400, num_resamples=500, seed=1) != whole


def test_a_statistic_that_is_not_finite_has_no_interval():
    values = np.append(VALUES, np.inf)
    assert bootstrap_interval(mean_of(values), 401, num_resamples=100) == (-np.inf, np.inf)
    assert bootstrap_interval(mean_of(np.full(4, 2.0)), 4, num_resamples=100) == (2.0, 2.0)
