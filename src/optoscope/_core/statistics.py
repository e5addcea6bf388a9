"""The one bootstrap: intervals over problems, drawn with replacement."""

from collections.abc import Callable
from typing import Any

import numpy as np


def bootstrap_interval(
    statistic: Callable[[np.ndarray], Any],
    num_problems: int,
    *,
    num_resamples: int,
    seed: int = 0,
    batch: int | None = None,
) -> tuple[float, float]:
    """Return the 95% percentile interval of a statistic over problems (`scipy.stats.bootstrap`).

    Args:
        statistic: its values [resample], of rows [resample, problem] that hold the numbers of the problems drawn.
        num_problems: how many there are.
        num_resamples: how often they are drawn anew.
        seed: of the draws; the same by default.
        batch: resamples at a time; all at once if None.

    Returns:
        The interval; all numbers if the statistic is not finite for some of the resamples.

    >>> values = np.array([1.0, 2.0, 3.0, 4.0])
    >>> bootstrap_interval(lambda rows: values[rows].mean(1), 4, num_resamples=1000)
    (1.5, 3.5)
    """
    from scipy.stats import bootstrap

    def of_rows(rows, axis=-1):
        del axis
        return np.asarray(statistic(np.asarray(rows, int)), float)

    with np.errstate(all="ignore"):
        values = bootstrap(
            (np.arange(num_problems),), of_rows, vectorized=True, n_resamples=num_resamples, batch=batch,
            method="percentile", rng=np.random.default_rng(seed),
        ).bootstrap_distribution  # fmt: skip
    if not np.isfinite(values).all():
        return float("-inf"), float("inf")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
