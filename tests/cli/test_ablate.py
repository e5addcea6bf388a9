"""`optoscope ablate`."""

import json

import pytest

from optoscope.interventions import Ablation

CALL = ["ablate", "rosenbrock", "--task", "rosenbrock", "--out", "x"]


def test_it_prints_and_writes_what_is_needed(run, tmp_path):
    call = ["ablate", "linear_regression/momentum", "--task", "linear_regression", "--mechanisms", "schedule",
            "--num-problems", "4", "--num-steps", "10", "--json", "--out", str(tmp_path)]  # fmt: skip
    called = run(*call)
    assert called.code == 0, called.err
    written = json.loads((tmp_path / "ablation.json").read_text())
    printed = json.loads(called.out)
    (verdict,) = printed["verdicts"]
    assert (verdict["mechanism"], verdict["needed"]) == ("schedule", "absent")
    assert Ablation.load(tmp_path / "ablation.npz").task == "linear_regression"
    assert written["verdicts"] == printed["verdicts"]
    results = {f"ablation.{end}" for end in ("npz", "png", "svg", "json")}
    assert {path.name for path in tmp_path.iterdir()} == {*results, "run.json", "log.jsonl"}
    called = run(*call)
    assert called.code == 2 and "pass --force" in called.err


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
