"""Planted whole optimizers: what is asked about them, and that `structure` answers."""

import jax.numpy as jnp
import pytest

from optoscope.calibration.whole_calibration import QUESTIONS, WholeCalibration, _asked, calibrate_wholes
from optoscope.calibration.whole_plants import whole_plants


def test_both_halves_have_something_of_everything():
    plants = whole_plants()
    assert len(plants) >= 60 and len({plant.name for plant in plants}) == len(plants)
    for half in (plants[::2], plants[1::2]):
        assert {"network", "matrix", "layer", "row and column", "component"} == {plant.unit for plant in half}
        assert any(plant.threshold for plant in half) and any(plant.noise for plant in half)
        assert {"none", "decoupled", "coupled"} == {plant.decay[0] for plant in half}
        assert any(plant.rhythm[0] > 1 for plant in half) and any(plant.spectral for plant in half)


def test_each_takes_a_step():
    params = [jnp.ones((3, 2)), jnp.ones((3, 2))]
    for plant in whole_plants():
        made = plant.make()
        updates, _ = made.update(params, made.init(params), params)
        assert all(jnp.isfinite(part).all() for part in updates), plant.name


@pytest.mark.parametrize("name", ["AdamW behind a norm", "3 gradients for a step"])
def test_an_answer_is_right(name):
    (plant,) = (one for one in whole_plants() if one.name == name)
    row = _asked(plant)
    assert set(row["questions"]) == set(QUESTIONS)
    wrong = {question: one for question, one in row["questions"].items() if not one["right"]}
    assert not wrong


def test_what_is_done_is_kept(monkeypatch, tmp_path):
    import optoscope.calibration.whole_calibration as module

    asked = []
    question = {"truth": 1, "answer": 2, "present": True, "right": False}

    def ask(plant):
        asked.append(plant.name)
        return {"summary": "", "questions": dict.fromkeys(QUESTIONS, question)}

    monkeypatch.setattr(module, "_asked", ask)
    found = calibrate_wholes(directory=tmp_path / "done")
    again = calibrate_wholes(directory=tmp_path / "done")
    assert isinstance(found, WholeCalibration) and found.rows == again.rows and len(asked) == len(found.rows)
    answers, wrong = found.tables()
    assert len(answers.rows) == 2 * len(QUESTIONS) and len(wrong.rows) == len(QUESTIONS) * len(found.rows)
