"""Every result is pleasant to meet: it prints on a screen, is JSON with stable names, and draws itself."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import optoscope
from optoscope import dynamics, tasks
from optoscope._core.json_data import to_json
from optoscope._core.shown import Shown
from optoscope._core.tables import Table
from optoscope.optimizers import GradientDescent, Momentum

RULE = Momentum(0.1, 0.9)
SMALL = {"num_problems": 3, "num_steps": 12, "key": jax.random.key(0)}


def evaluation():
    return optoscope.evaluate(tasks.get("rosenbrock"), {"a": GradientDescent(1e-4), "b": Momentum(1e-4, 0.5)}, **SMALL)


MADE = {
    "Evaluation": evaluation,
    "Visits": lambda: optoscope.running.visit(RULE, tasks.get("linear_regression"), **SMALL),
    "MechanismReport": lambda: optoscope.diagnose(RULE, num_steps=20),
    "Comparison": lambda: optoscope.compare(RULE, GradientDescent(0.1), num_steps=20),
    "Structure": lambda: optoscope.structure(GradientDescent(0.1)),
    "StabilityMap": lambda: dynamics.stability_map(RULE, jnp.linspace(1.0, 50.0, 7)),
    "FixedPoints": lambda: dynamics.find_fixed_points(RULE, gradient=1.0, seeds=np.zeros((2, 1))),
    "Linearization": lambda: dynamics.linearize(RULE, np.zeros(1)),
    "Modes": lambda: dynamics.modes(dynamics.linearize(RULE, np.zeros(1))),
    "UpdateFunction": lambda: dynamics.update_function(RULE, np.zeros(1), np.linspace(-1, 1, 9)),
}


@pytest.fixture(scope="module")
def results():
    return {name: make() for name, make in MADE.items()}


@pytest.mark.parametrize("name", MADE)
def test_a_result_prints_on_a_screen(results, name):
    lines = repr(results[name]).splitlines()
    assert 1 < len(lines) <= 60 and max(map(len, lines[1:])) <= 100
    assert "array(" not in repr(results[name]) and " object at 0x" not in repr(results[name])


@pytest.mark.parametrize("name", MADE)
def test_json_has_stable_names_and_nothing_that_json_lacks(results, name):
    data = results[name].to_json()
    json.dumps(data, allow_nan=False)
    assert all(re.fullmatch("[A-Z]|[a-z][a-z0-9_]*", key) for key in data), list(data)
    for table in results[name].tables():
        assert all(re.fullmatch("[a-z][a-z0-9_]*", column) for column in table.columns), table.columns
        assert table.name in data


@pytest.mark.parametrize("name", MADE)
def test_a_result_draws_itself_and_shows_in_a_notebook(results, name):
    figure = results[name].plot()
    assert isinstance(figure, Figure) and any(axes.has_data() for axes in figure.axes)
    page = results[name]._repr_html_()
    assert "<table>" in page and "data:image/png;base64," in page


def test_every_result_class_prints_by_the_same_rule():
    def below(kind):
        return {kind}.union(*map(below, kind.__subclasses__()))

    own = [kind.__name__ for kind in below(Shown) if kind.__repr__ is not Shown.__repr__]
    assert own == []


def test_json_data():
    data = to_json({"c": np.array([1 + 2j, np.nan]), "n": np.float32(1.5), "t": (True, None, float("-inf"))})
    assert data == {"c": [[1.0, 2.0], [None, 0.0]], "n": 1.5, "t": [True, None, None]}


def test_a_table_says_the_same_as_records_text_and_html():
    table = Table("rows", ["name", "loss_at_end"], [["<b> [x]", 0.5], ["y", float("nan")], ["z", [1.0, -np.inf]]])
    assert table.records()[1] == {"name": "y", "loss_at_end": None}
    text = table.text(width=80, most_rows=2)
    assert "<b> [x]" in text and "loss at end" in text and text.endswith("and 1 more rows\n")
    assert "[1, -inf]" in table.text(width=80)
    assert "&lt;b&gt; [x]" in table.html() and "<caption>rows</caption>" in table.html()


def test_a_field_takes_the_place_of_a_table_of_its_name(results):
    data = results["MechanismReport"].to_json()
    assert set(data["verdicts"]) == {"momentum", "clipping", "schedule", "adaptation", "grouping"}
    assert data["verdicts"]["momentum"]["modes"][0]["beta"] == pytest.approx([0.9, 0.0], abs=1e-6)
