"""`optoscope evaluate`."""

import json

import numpy as np
import pytest


def test_it_compares_what_it_is_given(run, tmp_path):
    optimizers = ["optoscope.optimizers:Momentum(3.0, 0.9)", "optax:sgd(learning_rate=3.0, momentum=0.9)"]
    where = ["--num-problems", "8", "--num-steps", "20", "--json", "--out", str(tmp_path / "result.npz")]
    called = run("evaluate", "linear_regression", *optimizers, *where)
    tables = json.loads(called.out)
    rows = tables["optimizers"]
    assert called.code == 0
    assert [row["optimizer"] for row in rows] == optimizers
    np.testing.assert_allclose(rows[0]["mean"], rows[1]["mean"], rtol=1e-5)
    called = run("evaluate", "linear_regression", *optimizers, *where)
    assert (called.code, "exists" in called.err) == (2, True)


def test_without_optimizers_it_takes_what_ships_for_the_task(run):
    called = run("evaluate", "rosenbrock", "--num-problems", "4", "--num-steps", "5")
    assert called.code == 0
    assert "evaluating 4/4" in called.err
    for name in ("rosenbrock/adam", "rosenbrock/momentum", "rosenbrock/rmsprop"):
        assert name in called.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rosenbrock", "optax:sgd(learning_rate=open('x'))"], "only literals are allowed"),
        (["rosenbrock", "optax:nothing()"], "cannot find optax:nothing"),
        (["rosenbrock", "optax:sgd(wrong=1)"], "failed"),
        (["rosenbrock", "math:sqrt(2.0)"], "math is a part of Python"),
        (["digits"], "nothing ships for digits"),
        (["rosenbrock", "--out", "losses.txt"], "a file that ends in .npz"),
        (["rosenbrock", "--num-problems", "1000000", "--num-steps", "1000000"], "GB of memory"),
        (["linear_regression(10000)", "optax:sgd(0.1)", "--num-problems", "1000000"], "GB of memory"),
    ],
)
def test_bad_calls(arguments, message, refused):
    assert message in refused("evaluate", *arguments)
