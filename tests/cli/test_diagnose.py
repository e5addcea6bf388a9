"""`optoscope diagnose`."""

import json

import pytest

CALL = ["diagnose", "optax:sgd(0.1, momentum=0.9)", "--gradients", "0.1", "1", "--num-steps", "50"]


def test_it_prints_and_writes_the_verdicts(run, tmp_path):
    called = run(*CALL, "--out", str(tmp_path))
    assert called.code == 0
    assert "momentum with timescale 0.90" in called.out and f"wrote {tmp_path / 'diagnosis.json'}" in called.out
    assert {"diagnosis.json", "momentum.npz"} <= {path.name for path in tmp_path.iterdir()}
    called = run(*CALL, "--out", str(tmp_path))
    assert called.code == 2 and "pass --force" in called.err


def test_its_json_is_the_report(run):
    report = json.loads(run(*CALL, "--json").out)
    assert report["optimizer"] == CALL[1] and report["verdicts"]["momentum"]["verdict"] == "present"


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        (["1e-300", "1e300"], "`--gradients` must be a finite number from 1e-12 to 1e+12, got 1e-300"),
        (["nan"], "`--gradients` must be a finite number"),
        (["0"], "`--gradients` must be a finite number"),
        (["5", "1"], "takes the smallest magnitude first"),
        (["1", "1"], "has 1.0 twice"),
        (["1", "2", "3"], "takes at most 2 entries"),
    ],
)
def test_bad_gradients(gradients, message, refused):
    assert message in refused("diagnose", "optax:sgd(0.1)", "--gradients", *gradients)


def test_too_few_steps(refused):
    message = refused("diagnose", "optax:sgd(0.1)", "--num-steps", "3")
    assert "`--num-steps` must be a whole number from 10 to 100000, got 3; the paper uses 200" in message
