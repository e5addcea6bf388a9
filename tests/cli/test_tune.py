"""`optoscope tune`."""

import pytest

from optoscope.artifacts import load


def test_it_writes_every_sample(run, tmp_path):
    call = ["tune", "rosenbrock", "gradient_descent", "--num-samples", "30", "--out", str(tmp_path)]
    called = run(*call)
    assert (called.code, "best: learning_rate=" in called.out) == (0, True)
    assert load(tmp_path / "gradient_descent").samples.shape == (30, 1)
    called = run(*call)
    assert (called.code, "pass --resume" in called.err) == (2, True)
    assert run(*call, "--resume").code == 0


@pytest.mark.parametrize(
    ("rule", "message"),
    [("sgd", "unknown optimizer 'sgd'"), ("gru", "unknown rule with a search space for rosenbrock 'gru'")],
)
def test_bad_rules(rule, message, refused):
    assert message in refused("tune", "rosenbrock", rule, "--out", "x")
