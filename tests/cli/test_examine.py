"""`optoscope examine` and `optoscope watch`."""

import json

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")

from tests.recordings.plants import train


def test_a_recording_is_examined_and_watched(run, tmp_path):
    train(tmp_path / "run", "another rate")
    called = run("examine", str(tmp_path / "run"))
    assert called.code == 0 and "warning: group 0" in called.out and "momentum" in called.out
    assert (tmp_path / "run" / "examination" / "index.html").exists()
    told = json.loads(run("examine", str(tmp_path / "run"), "--json", "--out", str(tmp_path / "out")).out)
    assert "another rate" in [one["name"] for one in told["findings"]]
    called = run("watch", str(tmp_path / "run"), "--once")
    assert called.code == 0 and "step 23" in called.out and "! group 0" in called.out
    assert json.loads(run("watch", str(tmp_path / "run"), "--json").out)["num_steps"] == 24


@pytest.mark.parametrize("command", ["examine", "watch"])
def test_where_nothing_was_recorded_it_says_so(refused, command, tmp_path):
    assert "holds no recording" in refused(command, str(tmp_path))
    if command == "examine":
        assert "unknown optimizer" in refused("examine", str(tmp_path), "--expect", "nothing")
