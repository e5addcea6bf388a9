"""The tables of the pages on stability and generalization are those that were measured, and the bars hold."""

import json
from pathlib import Path

import pytest

from optoscope import artifacts

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("name", ["stability", "generalization"])
def test_tables_are_those_that_were_measured(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.failure_pages import fill

    text = (ROOT / "docs" / f"{name}.md").read_text()
    assert fill(name, text) == text


def test_every_measured_edge_lies_within_two_percent_of_its_prediction():
    numbers = json.loads((RESULTS / "stability.json").read_text())["numbers"]
    assert all(abs(row["error"]) < 0.02 for row in numbers["edges"])
    measured = {row["optimizer"] for row in numbers["edges"]}
    assert measured.isdisjoint(numbers["refused"])
    assert measured | set(numbers["refused"]) <= set(artifacts.shipped())
    assert all(name.endswith("/adam") for name in numbers["refused"])
