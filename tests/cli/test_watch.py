"""`optoscope watch`."""

import json

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")

from tests.recordings.plants import train


def test_it_says_how_things_stand(run, tmp_path):
    train(tmp_path / "run", "another rate")
    called = run("watch", str(tmp_path / "run"), "--once")
    assert called.code == 0 and "step 23" in called.out and "! group 0" in called.out
    assert json.loads(run("watch", str(tmp_path / "run"), "--json").out)["num_steps"] == 24


def test_where_nothing_was_recorded_it_says_so(refused, tmp_path):
    assert "holds no recording" in refused("watch", str(tmp_path))
