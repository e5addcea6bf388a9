"""`optoscope claims`."""

import json

import pytest

from optoscope.paper.claims.ledger import CLAIMS, Ledger


@pytest.fixture
def ledger(monkeypatch):
    made = Ledger(findings=(), left_out={"mnist": "it is not at hand"}, provenance={})
    monkeypatch.setattr("optoscope.paper.claims.make_ledger", lambda *_, **__: made)
    assert CLAIMS
    return made


def test_it_prints_and_writes_the_ledger(ledger, run, tmp_path):
    called = run("claims", "rosenbrock", "--out", str(tmp_path))
    assert called.code == 0
    assert "left out: it is not at hand" in called.out and f"wrote {tmp_path / 'claims.json'}" in called.out
    assert json.loads(run("claims", "rosenbrock", "--json").out) == json.loads((tmp_path / "claims.json").read_text())
    called = run("claims", "rosenbrock", "--out", str(tmp_path))
    assert called.code == 2 and "pass --force" in called.err


def test_bad_calls(refused):
    assert "unknown task of the paper 'digits'" in refused("claims", "digits")
    assert "--source nowhere is not a directory" in refused("claims", "rosenbrock", "--source", "nowhere")
