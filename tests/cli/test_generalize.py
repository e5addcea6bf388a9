"""`optoscope generalize`; its happy path is in tests/prediction."""

import pytest


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
