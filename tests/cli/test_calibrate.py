"""`optoscope calibrate`."""

import json
import sys


def test_it_prints_error_rates_and_writes_a_page(run, tmp_path):
    called = run("calibrate", "--family", "gradient descent", "--out", str(tmp_path / "c"), "--json")
    assert called.code == 0, called.err
    assert json.loads(called.out)["mistakes"] == {"first": [], "second": []}
    assert (tmp_path / "c" / "calibration_results.md").exists()


def test_it_goes_on_where_it_was_stopped_wherever_it_runs(run, tmp_path, monkeypatch):
    from optoscope.calibration import calibrate as module
    from optoscope.calibration.cases import check_diagnosis

    call = ["calibrate", "--family", "gradient descent", "--num-steps", "20", "--json", "--out", str(tmp_path / "c")]
    asked = []

    def once(planted, half, *, num_steps):
        asked.append(planted.name)
        if len(asked) == 2:
            raise KeyboardInterrupt("stopped")
        return check_diagnosis(planted, half, num_steps=num_steps)

    monkeypatch.setattr(sys.modules[module.__module__], "check_diagnosis", once)
    assert run(*call).code == 130
    called = run(*call)
    assert called.code == 0, called.err
    assert (asked.count(asked[0]), asked.count(asked[1])) == (1, 2)
    assert run(*call, "--force").code == 0 and asked.count(asked[0]) == 2
    monkeypatch.undo()
    apart = run(*call[:-1], str(tmp_path / "d"), "--on", "processes", "--num-processes", "1")
    assert json.loads(apart.out)["cases"] == json.loads(called.out)["cases"]


def test_bad_families(refused):
    assert "unknown family 'nothing'" in refused("calibrate", "--out", "x", "--family", "nothing")
    assert "`--family` has 'Adam' twice" in refused("calibrate", "--out", "x", "--family", "Adam", "Adam")
