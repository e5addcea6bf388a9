"""Pairs that are the same, across frameworks, pairs that differ in one thing, and settings that make them the same."""

import json

import numpy as np
import optax
import pytest

from optoscope.calibration.pairs import DIFFERENT, PAIRS, SAME, TRANSLATED
from optoscope.figures.comparison import comparison_figure
from optoscope.mechanisms.compare import Comparison, compare
from optoscope.optimizers import Momentum

pytest.importorskip("torch")
#: A few of each kind; the rest is slow, and `python -m benchmarks.pairs` tells all of them.
FEW = ("heavy ball", "Adam", "RMSprop", "decay", "clipping", "where eps stands", "heavy ball in torch", "eps")


def some(pairs):
    return [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in pairs]


@pytest.mark.parametrize("name", some(SAME))
def test_pairs_that_are_the_same_are_said_to_be(name):
    found = SAME[name].compared()
    assert found.same and found.first_step is None and not found.mechanism
    assert "are the same" in found.summary and max(found.difference.values()) < found.tolerance


@pytest.mark.parametrize("name", some(DIFFERENT))
def test_pairs_that_differ_in_one_thing_are_said_to_differ_in_it(name):
    pair = DIFFERENT[name]
    found = pair.compared()
    assert not found.same and pair.differs in found.mechanism and found.first_step == pair.first_step
    assert pair.is_right(found)


@pytest.mark.parametrize("name", some(TRANSLATED))
def test_settings_that_make_a_pair_the_same_are_found(name):
    pair = TRANSLATED[name]
    assert pair.is_right(pair.compared())


def test_there_are_twenty_pairs_of_each_kind():
    assert [len(pairs) for pairs in PAIRS.values()] == [20, 20, 20]


def test_where_two_part_is_told_with_numbers(tmp_path):
    found = compare(Momentum(0.1, 0.9), Momentum(0.1, 0.8), num_steps=50, names=("mine", "yours"))
    assert "mine" in found.summary and "0.80" in found.summary and "step 2" in found.summary
    row = found.first_updates - found.second_updates
    assert row[0] == 0 and row[found.first_step - 1] != 0
    json.dumps(found.to_json(), allow_nan=False)
    again = Comparison.load(found.save(tmp_path / "comparison.npz"))
    np.testing.assert_array_equal(again.first_updates, found.first_updates)
    with pytest.raises(ValueError, match="increasing"):
        compare(Momentum(0.1, 0.9), Momentum(0.1, 0.8), gradients=(1.0, 0.1))


def test_whole_optimizers_are_compared_with_what_ties_them_together():
    one, same, other = (optax.adamw(1e-3, weight_decay=w) for w in (0.1, 0.1, 0.01))
    assert compare(one, same, num_steps=20).same
    found = compare(one, other, num_steps=20)
    assert not found.same and found.first_step is None and found.mechanism == "decay"
    assert "decay: the first has decoupled weight decay: 0.0001" in found.summary


def test_its_figure_draws_its_numbers():
    found = compare(Momentum(0.1, 0.9), Momentum(0.1, 0.8), num_steps=50, gradients=(0.1, 1.0))
    figure, numbers = comparison_figure(found)
    series = numbers["panels"]["b"]["series"]
    np.testing.assert_allclose(series["second"]["y"], found.second_updates[: len(series["second"]["y"])])
    assert series["they part"]["x"][0] == found.first_step and len(found.plot().axes) == len(figure.axes) == 3
