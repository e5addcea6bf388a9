"""The tables of the pages on stability and generalization are those that were measured, and the bars hold."""

import dataclasses
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


def test_a_matrix_that_was_written_down_can_be_read_and_gets_more_tasks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.generalization import ARRAYS, joined, matrix_of, numbers_of

    numbers = json.loads((RESULTS / "generalization.json").read_text())["numbers"]
    whole = matrix_of(numbers)
    assert numbers_of(whole) == numbers

    def part(tasks):
        some = {name: getattr(whole, name)[:, tasks] for name in ARRAYS}
        names = {name: [getattr(whole, name)[i] for i in tasks] for name in ("tasks", "references")}
        return dataclasses.replace(whole, **some, **names)

    assert numbers_of(joined(part([0, 1]), part([*range(1, len(whole.tasks))]))) == numbers
    with pytest.raises(ValueError, match="other optimizers"):
        joined(dataclasses.replace(whole, optimizers=whole.optimizers[1:]), whole)
