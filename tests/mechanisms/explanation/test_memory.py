"""Responses split into schedules and a memory."""

import numpy as np
import pytest

from optoscope.mechanisms.explanation.memory import separate


@pytest.mark.parametrize("seed", range(30))
def test_responses_that_two_schedules_cannot_make_are_no_error(seed):
    """Turns of least squares may end in schedules that are no numbers: then there are none."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-160, 0, [(12, 12), (12, 1), (1, 12)][seed % 3])
    kernel = np.tril(rng.standard_normal((12, 12)) * sizes)
    if seed % 2:
        kernel[rng.random((12, 12)) < 0.5] = 0
    with np.errstate(all="ignore"):
        before, response, after, error = separate(kernel)
    assert len(before) == len(after) == 12 and 0 <= len(response) <= 12 and np.isfinite(error)
