"""`optoscope stability`."""

import json

import numpy as np


def test_it_writes_results_figure_and_numbers(run, tmp_path):
    call = ["stability", "optoscope.optimizers:Momentum(3.0, 0.9)", "--out", str(tmp_path), "--json"]
    called = run(*call)
    assert called.code == 0, called.err
    edge = json.loads(called.out)["edges"][0]
    np.testing.assert_allclose([edge["predicted"], edge["measured"]], 2 * 1.9 / 3.0, rtol=1e-3)
    assert {"stability.png", "stability.svg", "stability.json", "stability.npz", "measured.npz"} <= {
        path.name for path in tmp_path.iterdir()
    }
    called = run(*call)
    assert called.code == 2 and "exists" in called.err


def test_an_optimizer_without_a_linearization(run, tmp_path):
    called = run("stability", "linear_regression/adam", "--out", str(tmp_path / "adam"))
    assert called.code == 2 and "Adam has no linearization" in called.err


def test_bad_calls(refused):
    assert "unknown task 'nothing'" in refused("stability", "rosenbrock", "--task", "nothing", "--out", "x")
    assert "`--num-problems` must be" in refused("stability", "rosenbrock", "--num-problems", "0", "--out", "x")
    assert "by itself" in refused("stability", "optax:lamb(0.1)", "--task", "rosenbrock", "--out", "x")


def test_a_whole_optimizer(run, tmp_path):
    called = run("stability", "optax:adamw(0.001)", "--out", str(tmp_path / "w"), "--json")
    assert called.code == 0, called.err
    found = json.loads(called.out)
    assert found["edges"] and all(abs(edge["error"]) < 0.02 for edge in found["edges"])
    assert (tmp_path / "w" / "edges.npz").exists()
