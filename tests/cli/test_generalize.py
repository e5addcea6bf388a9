"""`optoscope generalize`."""

import json

import pytest


def test_it_writes_the_matrix_and_goes_on(run, tmp_path):
    call = ["generalize", "optoscope.optimizers:Momentum(0.1, 0.5)", "--tasks", "linear_regression",
            "--out", str(tmp_path), "--scales", "1", "1000", "--horizons", "10", "40",
            "--num-problems", "2", "--json"]  # fmt: skip
    called = run(*call)
    assert called.code == 0, called.err
    cells = json.loads(called.out)["cells"]
    assert [cell["scale"] for cell in cells] == [1.0, 1000.0] and cells[0]["after_40_steps"] < 1
    assert len(list((tmp_path / "cells").glob("*.npz"))) == 2
    assert {"generalization.png", "generalization.json", "generalization.npz"} <= {p.name for p in tmp_path.iterdir()}
    called = run(*call)
    assert called.code == 2 and "exists" in called.err
    assert run(*call, "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "nothing"], "unknown task 'nothing'"),
        (["--tasks", "rosenbrock", "rosenbrock"], "`--tasks` has 'rosenbrock' twice"),
        (["--tasks"], "--tasks is empty"),
        (["--scales", "0"], "`--scales` must be a finite number from 1e-12 to 1e+12, got 0.0"),
        (["--scales", "1", "1"], "`--scales` has 1.0 twice"),
        (["--horizons", "5"], "`--horizons` must be a whole number from 10 to 1000000, got 5"),
        (["--horizons", "50", "50"], "`--horizons` has 50 twice"),
    ],
)
def test_bad_calls(arguments, message, refused):
    assert message in refused("generalize", "rosenbrock/adam", "--out", "x", *arguments)
