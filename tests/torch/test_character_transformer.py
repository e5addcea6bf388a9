"""The example trains at small size, records itself, and is examined."""

import importlib.util
from pathlib import Path

from optoscope import examine, read_recording

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_transformer_is_recorded_and_examined(tmp_path, capsys):
    size = ["--width", "16", "--depth", "1", "--batch", "4", "--steps", "10"]
    losses = load("character_transformer").main([*size, "--record", str(tmp_path), "--margin-every", "5"])
    found = read_recording(tmp_path)
    assert len(losses) == 10 and len(found.margins) == 2 and (found.margins > 0).all()
    examined = examine(found)
    assert examined.explained > 0.999 and "bias corrections" in examined.rule
    assert "decay on normalization" in examined.names() and "margin" in examined.names()
    assert "ms a step" in capsys.readouterr().out
