"""What a run had learned at some time."""

import jax
import numpy as np
import pytest

from optoscope.artifacts import load_trained
from optoscope.training import snapshots


@pytest.mark.parametrize("share", [0.0, 0.011, 0.5, 2.0])
def test_the_latest_snapshot_in_time(share, tmp_path, monkeypatch):
    trained = load_trained("linear_regression")
    last = int(trained.snapshot_steps[-1])
    monkeypatch.setattr(snapshots, "read_records", lambda run: [{"step": last, "seconds": 100.0}])
    found, reached = snapshots.snapshot_within(100.0 * share, trained, tmp_path)
    index = int(np.flatnonzero(trained.snapshot_steps <= share * last)[-1])
    assert reached == pytest.approx(100.0 * trained.snapshot_steps[index] / last)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(trained.snapshot(index)), strict=True):
        np.testing.assert_array_equal(one, other)
