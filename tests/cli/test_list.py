"""`optoscope list`."""

import json


def test_it_shows_what_ships_as_json(run):
    called = run("list", "--json")
    listed = json.loads(called.out)
    assert called.code == 0
    assert {"linear_regression", "rosenbrock"} <= {row["name"] for row in listed["tasks"]}
    assert "linear_regression/momentum" in {row["name"] for row in listed["shipped"]}
    allowed = {row["name"]: row["allowed"] for row in listed["settings"]}
    assert allowed["num_units"] == "from 1 to 100000" and allowed["schedule"] == "cosine or exponential"


def test_it_shows_tables(run):
    called = run("list")
    assert called.code == 0 and "rosenbrock/adam" in called.out and called.err == ""
