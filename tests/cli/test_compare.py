"""`optoscope compare`."""

import json

import pytest

CALL = ["compare", "optax:sgd(0.1, momentum=0.9)", "optax:sgd(0.1)", "--gradients", "0.1", "1", "--num-steps", "10"]


def test_it_says_where_two_optimizers_part(run, tmp_path):
    called = run(*CALL, "--out", str(tmp_path), "--json")
    assert called.code == 0, called.err
    printed = json.loads(called.out)
    assert printed["same"] is False and printed["first_step"] == 2  # the first gradient is remembered
    assert json.loads((tmp_path / "comparison.json").read_text())["first_step"] == 2
    called = run(*CALL, "--out", str(tmp_path))
    assert called.code == 2 and "pass --force" in called.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gradients", "5", "1"], "the smallest first"),
        (["--gradients", "1", "1"], "has 1.0 twice"),
        (["--num-steps", "5"], "`--num-steps` must be a whole number from 10 to 10000, got 5"),
    ],
)
def test_bad_calls(arguments, message, refused):
    assert message in refused(*CALL[:3], *arguments)


def test_both_optimizers_are_looked_at_before_any_work(refused):
    assert "unknown optimizer 'nothing'" in refused("compare", "optax:sgd(0.1)", "nothing")
