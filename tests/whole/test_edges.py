"""`find_edges`: predicted edges of whole optimizers are those of their own runs."""

import numpy as np
import optax
import pytest

from optoscope.whole import find_edges


@pytest.mark.parametrize(
    "tx,view",
    [
        (optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.1)), "context"),
        (optax.contrib.muon(1e-2), "spectral"),
        pytest.param(optax.lamb(1e-2), "context", marks=pytest.mark.slow),
        pytest.param(optax.adamw(1e-3, weight_decay=10.0), "context", marks=pytest.mark.slow),
    ],
)
def test_predicted_edges_are_measured(tx, view):
    found = find_edges(tx)
    assert found.view == view and len(found.predicted) == 1
    np.testing.assert_allclose(found.measured, found.predicted, rtol=0.02)
    assert "the edge of stability is at a curvature of" in found.sentence


def test_decay_moves_an_edge():
    plain, coupled = (
        find_edges(optax.chain(optax.add_decayed_weights(w), optax.sgd(0.1, momentum=0.9))) for w in (0, 1)
    )
    assert plain.predicted[0] == pytest.approx(38.0) and coupled.predicted[0] == pytest.approx(37.0)
    np.testing.assert_allclose(coupled.measured, 37.0, rtol=0.01)


def test_a_sign_has_none():
    found = find_edges(optax.sign_sgd(0.1))
    assert len(found.predicted) == 0 and "no edge" in found.sentence
