"""`optoscope figure`."""

import json
from pathlib import Path

import pytest


def test_it_says_where_the_pictures_are(run, tmp_path, monkeypatch):
    drawn = []

    def draw_figures(numbers, directory, **settings):
        drawn.append((numbers, directory, settings["seed"], settings["source"]))
        return {number: directory / f"figure_{number}.png" for number in numbers}

    monkeypatch.setattr("optoscope.paper.reproduce.draw_figures", draw_figures)
    called = run("figure", "3", "--out", str(tmp_path), "--seed", "5", "--json")
    assert called.code == 0 and drawn == [([3], tmp_path, 5, None)]
    assert json.loads(called.out)["figures"] == [{"number": 3, "file": str(tmp_path / "figure_3.png")}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["99"], "unknown figure '99'"),
        (["²"], "unknown figure '²'"),
        (["-3"], "unknown figure '-3'"),
        (["3", "--source", "nowhere"], "--source nowhere is not a directory"),
    ],
)
def test_bad_calls(arguments, message, refused):
    assert message in refused("figure", *arguments)


def test_a_picture_is_not_overwritten(run, tmp_path):
    Path(tmp_path / "figure_3.png").touch()
    called = run("figure", "3", "--out", str(tmp_path))
    assert called.code == 2 and "pass --force" in called.err
