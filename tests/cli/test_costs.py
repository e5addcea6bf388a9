"""`optoscope costs`."""

import json


def test_it_writes_what_a_step_costs(run, tmp_path):
    sizes = ["--num-problems", "2", "--num-steps", "5", "--json"]
    called = run("costs", "rosenbrock", "rosenbrock/adam", "rosenbrock/momentum", "--out", str(tmp_path), *sizes)
    rows = json.loads(called.out)["optimizers"]
    assert called.code == 0
    assert [row["optimizer"] for row in rows] == ["rosenbrock/adam", "rosenbrock/momentum"]
    assert min(row["times_the_cheapest"] for row in rows) == 1
    assert {"costs.npz", "evaluation.npz", "wall_clock.json", "wall_clock.png"} <= {p.name for p in tmp_path.iterdir()}


def test_bad_sizes_are_refused_before_anything_is_timed(refused, monkeypatch):
    monkeypatch.setattr("optoscope.running.costs._run", None)
    message = refused("costs", "linear_regression", "--num-problems", "1", "--out", "new")
    assert "`--num-problems` must be a whole number from 2 to 1000000, got 1" in message


def test_a_task_for_which_nothing_ships(refused):
    assert "nothing ships for digits; name the optimizers to time" in refused("costs", "digits", "--out", "new")
