"""`optoscope reproduce`; the whole of it is in tests/report."""

import json


def test_it_says_where_the_page_is(run, tmp_path, monkeypatch):
    asked = []

    def reproduce(task_names, directory, **settings):
        asked.append((task_names, settings["from_scratch"], settings["seed"]))
        return directory / "index.html"

    monkeypatch.setattr("optoscope.paper.reproduce.reproduce", reproduce)
    called = run("reproduce", "rosenbrock", "--out", str(tmp_path / "r"), "--json")
    assert called.code == 0 and asked == [(("rosenbrock",), False, 0)]
    assert json.loads(called.out) == {"page": str(tmp_path / "r" / "index.html")}


def test_bad_tasks(refused):
    assert "unknown task 'mnistt'" in refused("reproduce", "mnistt", "--out", "x")
    assert "`TASK` has 'rosenbrock' twice" in refused("reproduce", "rosenbrock", "rosenbrock", "--out", "x")


def test_a_directory_that_is_not_empty(run, tmp_path):
    (tmp_path / "mine.txt").touch()
    called = run("reproduce", "rosenbrock", "--out", str(tmp_path))
    assert called.code == 2 and "is not empty" in called.err
