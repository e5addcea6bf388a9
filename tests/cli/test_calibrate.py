"""`optoscope calibrate`; its happy path is in tests/calibration."""


def test_bad_families(refused):
    assert "unknown family 'nothing'" in refused("calibrate", "--out", "x", "--family", "nothing")
    assert "`--family` has 'Adam' twice" in refused("calibrate", "--out", "x", "--family", "Adam", "Adam")
