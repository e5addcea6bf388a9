"""From planted optimizers to error rates, and the gallery of optax."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from optoscope.calibration import Calibration, calibrate, catalogue, gallery
from optoscope.calibration.calibrate import summarize
from optoscope.calibration.cases import check_diagnosis
from optoscope.calibration.optax_rules import find_rules
from optoscope.calibration.page import write_calibration


@pytest.fixture(scope="module")
def calibration():
    steps = []
    made = calibrate(
        key=jax.random.key(5),
        families=("gradient descent", "clipping", "clipping beyond reach", "sign-like clipping"),
        report=lambda what, done, total: steps.append((done, total)),
    )
    assert steps[-1] == (made.num_optimizers, made.num_optimizers)
    return made


def test_what_is_planted_is_found(calibration):
    assert calibration.num_optimizers == 20
    assert calibration.mistakes == {"first": [], "second": []}
    assert calibration.meets_its_bars
    clipping = calibration.confusion["second"]["clipping"]
    assert clipping["present"]["present"] == calibration.rates["second"]["clipping"]["false negative"]["of"] >= 6
    assert clipping["absent"]["absent"] >= 2
    assert calibration.errors["second"]["threshold"]["largest"] < 0.02


def test_intervals_are_those_of_clopper_and_pearson(calibration):
    rate = calibration.rates["second"]["momentum"]["false positive"]
    assert rate["count"] == 0
    assert rate["interval"][1] == pytest.approx(1 - 0.025 ** (1 / rate["of"]), rel=1e-9)
    assert calibration.rates["second"]["momentum"]["false negative"]["interval"] == [0.0, 1.0]  # none was planted


def test_a_result_is_saved_loaded_and_written(calibration, tmp_path):
    loaded = Calibration.load(calibration.save(tmp_path / "calibration.npz"))
    assert loaded.rates == calibration.rates
    page = write_calibration(calibration, tmp_path).read_text()
    assert "| momentum | 0 of" in page and "sign-like clipping 1" in page and "Nothing, in either half." in page
    assert json.loads((tmp_path / "calibration.json").read_text())["num_optimizers"] == 20


def test_wrong_answers_are_counted():
    [planted] = catalogue(key=jax.random.key(0), families=("clipping",))[:1]
    right = check_diagnosis(planted, "second")
    wrong = dataclasses.replace(
        right,
        found={**right.found, "momentum": "present", "clipping": "absent", "schedule": "undecided"},
        errors={"threshold": 0.5},
        kind="nonlinear odd",
        expected={**right.expected, "adaptation": "present"},
    )
    made = summarize([right, wrong], fits={})
    rates = made.rates["second"]
    assert (rates["momentum"]["false positive"]["count"], rates["clipping"]["false negative"]["count"]) == (1, 1)
    assert rates["schedule"]["undecided"]["count"] == 1
    assert made.errors["second"]["threshold"]["beyond"] == 1
    assert len(made.mistakes["second"]) == 5  # momentum, clipping, adaptation and its kind, the threshold
    assert not made.meets_its_bars
    assert np.isfinite(made.rates["first"]["momentum"]["false positive"]["interval"]).all()


def test_unknown_families_are_refused():
    with pytest.raises(ValueError, match=r"unknown family 'heavy bal'\. Did you mean 'heavy ball'"):
        calibrate(key=jax.random.key(0), families=("heavy bal",))


def test_every_rule_of_optax_is_found_and_can_be_made():
    rules = find_rules()
    names = {rule.name for rule in rules}
    assert {"optax.adam", "optax.nadam", "optax.chain", "optax.contrib.dog", "optax.contrib.muon"} <= names
    assert not {"optax.cosine_decay_schedule", "optax.update_moment", "optax.l2_loss"} & names
    assert all(rule.arguments != "..." for rule in rules), "a rule needs arguments that nobody has given it"


def test_the_gallery_diagnoses_or_says_why_not(tmp_path):
    found = gallery("optax", names=("sgd", "lion", "lookahead"), num_steps=60)
    rows = {(row["name"], row["arguments"]): row for row in found.rows}
    assert rows["sgd", "learning_rate=0.1"]["diagnosis"].startswith("no momentum; no clipping; no schedule")
    lion = rows["lion", "learning_rate=0.1"]
    assert lion["unit"] == "component" and lion["view"] == "context" and "weight decay" in lion["diagnosis"]
    assert lion["exponents"]["own"] == pytest.approx(0, abs=0.05) and lion["explained"] > 0.99
    (refused,) = [row for row in found.rows if row["name"] == "lookahead"]
    assert refused["unit"] is None and "LookaheadParams" in refused["what_it_needs"]
    assert found.counts == {"optimizers": 4, "structures": 3, "diagnoses": 3, "explained": 3}
    page = found.write(tmp_path).read_text()
    assert "lion <small>learning_rate=0.1</small>" in page and found.version in page
    with pytest.raises(ValueError, match="unknown optimizer of optax 'admm'"):
        gallery("optax", names=("admm",))
