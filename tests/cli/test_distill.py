"""`optoscope distill`."""

import json

import pytest

CALL = ["distill", "rosenbrock", "--task", "rosenbrock"]


@pytest.mark.slow
def test_it_prints_and_writes_a_formula(run, tmp_path):
    sizes = ["--path", "momentum", "--effort", "0.001", "--num-test", "8", "--num-steps", "5"]
    called = run(*CALL, *sizes, "--out", str(tmp_path), "--json")
    assert called.code == 0, called.err
    printed = json.loads(called.out)
    assert [(row["chosen"], row["pieces"]) for row in printed["sizes"]] == [(True, ["momentum"])]
    assert {"distilled.npz", "formula.txt"} <= {path.name for path in tmp_path.iterdir()}
    called = run(*CALL, *sizes, "--out", str(tmp_path))
    assert called.code == 2 and "pass --force" in called.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--path", "nothing"], "unknown piece 'nothing'"),
        (["--path", "saturation"], "must begin with a group that has 'momentum'"),
        (["--path", "momentum", "gain", "gain"], "`path` has 'gain' twice"),
        (["--effort", "-1"], "`--effort` must be a finite number from 1e-06 to 1000, got -1.0"),
        (["--effort", "nan"], "`--effort` must be a finite number"),
        (["--max-numbers", "0"], "`--max-numbers` must be a whole number"),
    ],
)
def test_bad_calls(arguments, message, refused):
    assert message in refused(*CALL, "--out", "x", *arguments)
