"""`optoscope ablate`; its happy path is in tests/interventions."""

import pytest

CALL = ["ablate", "rosenbrock", "--task", "rosenbrock", "--out", "x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mechanisms", "nothing"], "unknown mechanism 'nothing'"),
        (["--mechanisms", "momentum", "momentum"], "`--mechanisms` has 'momentum' twice"),
        (["--num-controls", "-1"], "`--num-controls` must be a whole number from 0 to 1000, got -1"),
        (["--num-problems", "1"], "`--num-problems` must be a whole number from 2 to 1000000, got 1"),
    ],
)
def test_bad_calls(arguments, message, refused):
    assert message in refused(*CALL, *arguments)
