"""`optoscope gallery`; its happy path is in tests/calibration."""


def test_bad_rules(refused):
    assert "unknown rule of optax 'nothing'" in refused("gallery", "--out", "x", "--rule", "nothing")
    assert "`--rule` has 'adam' twice" in refused("gallery", "--out", "x", "--rule", "adam", "adam")
