"""`optoscope structure`."""

import json


def test_it_says_what_updates_depend_on(run, tmp_path):
    call = ["structure", "optax:sgd(0.1)", "--out", str(tmp_path), "--json"]
    called = run(*call)
    assert called.code == 0, called.err
    assert json.loads(called.out)["unit"] == "component"
    assert {"structure.json", "structure_figure.png"} <= {path.name for path in tmp_path.iterdir()}
    called = run(*call)
    assert called.code == 2 and "pass --force" in called.err


def test_an_optimizer_that_does_not_exist(refused):
    assert "cannot find optax:nothing" in refused("structure", "optax:nothing()")
