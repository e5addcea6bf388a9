"""`optoscope states`."""

import json

import numpy as np

from optoscope.running import Visits


def test_it_keeps_a_bounded_sample_with_its_groups(run, tmp_path):
    task = "two_moons(num_examples=32, widths=(6, 5))"
    path = tmp_path / "states.npz"
    size = ["--num-problems", "2", "--num-steps", "4", "--max-components", "20"]
    called = run("states", "linear_regression", "--task", task, "--out", str(path), *size, "--json")
    rows = json.loads(called.out)["trajectories"]
    visits = Visits.load(path)
    assert called.code == 0
    assert visits.states.shape == (40, 4, 32)
    assert [row["group"] for row in rows] == visits.groups
    assert visits.groups[:2] == ["layer 1 biases", "layer 1 weights"]
    counts = np.bincount(visits.group, minlength=6) // 2
    assert counts.tolist() == [row["trajectories"] // 2 for row in rows]
    assert counts.tolist() == [4, 4, 3, 4, 1, 4]  # one bias in the last layer; the others share evenly


def test_more_states_than_memory_holds(refused):
    sizes = ["--num-problems", "100000", "--max-components", "9000"]
    message = refused("states", "rosenbrock", "--task", "two_moons", "--out", "o.npz", *sizes)
    assert "100000 problems and 200 steps need at least" in message
