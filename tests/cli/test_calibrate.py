"""`optoscope calibrate`."""

import json


def test_it_prints_error_rates_and_writes_a_page(run, tmp_path):
    called = run("calibrate", "--family", "gradient descent", "--out", str(tmp_path / "c"), "--json")
    assert called.code == 0, called.err
    assert json.loads(called.out)["mistakes"] == {"first": [], "second": []}
    assert (tmp_path / "c" / "calibration_results.md").exists()


def test_bad_families(refused):
    assert "unknown family 'nothing'" in refused("calibrate", "--out", "x", "--family", "nothing")
    assert "`--family` has 'Adam' twice" in refused("calibrate", "--out", "x", "--family", "Adam", "Adam")
