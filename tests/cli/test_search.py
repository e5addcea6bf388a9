"""`optoscope search`."""

import json

import pytest

from optoscope.artifacts import load

TINY = ["--set", "num_meta_steps=4", "num_units=3", "num_steps=10", "batch_size=4", "num_validation_problems=8",
        "validate_every=2", "segment_length=5", "num_snapshots=3"]  # fmt: skip


def test_it_tries_settings_and_saves_the_best(run, tmp_path):
    called = run("search", "linear_regression", "--num-samples", "2", "--out", str(tmp_path), "--json", *TINY)
    rows = json.loads(called.out)["samples"]
    assert called.code == 0
    assert len(rows) == 2
    assert load(tmp_path / "best").metrics["best_validation"] == rows[0]["validation"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--widths", "0"], "`--widths` must be a whole number from 1 to 4096"),
        (["--widths", "8", "8"], "`--widths` has 8 twice"),
        (["--set", "b2=1"], "`b2` must be a finite number from 0 to below 1"),
        (["--preset", "authors"], "it exists for linear_regression"),
    ],
)
def test_bad_calls(arguments, message, refused):
    assert message in refused("search", "rosenbrock", "--out", "x", *arguments)
