"""`optoscope stability`; its happy path is in tests/prediction."""


def test_bad_calls(refused):
    assert "unknown task 'nothing'" in refused("stability", "rosenbrock", "--task", "nothing", "--out", "x")
    assert "`--num-problems` must be" in refused("stability", "rosenbrock", "--num-problems", "0", "--out", "x")
    assert "does not" in refused("stability", "optax:lamb(0.1)", "--out", "x")  # not the rule of one component
