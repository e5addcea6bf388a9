"""`optoscope examine`."""

import json

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")

from tests.recordings.plants import train


def test_it_writes_a_page_and_names_what_is_wrong(run, tmp_path):
    train(tmp_path / "run", "another rate")
    called = run("examine", str(tmp_path / "run"))
    assert called.code == 0 and "warning: group 0" in called.out and "momentum" in called.out
    assert (tmp_path / "run" / "examination" / "index.html").exists()
    told = json.loads(run("examine", str(tmp_path / "run"), "--json", "--out", str(tmp_path / "out")).out)
    assert "another rate" in [one["name"] for one in told["findings"]]


def test_where_nothing_was_recorded_it_says_so(refused, tmp_path):
    assert "holds no recording" in refused("examine", str(tmp_path))
    assert "unknown optimizer" in refused("examine", str(tmp_path), "--expect", "nothing")
