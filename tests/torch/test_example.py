"""The example trains, and its seed determines what it prints."""

import importlib.util
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "torch_training.py"


def test_the_example_is_determined_by_its_seed(capsys):
    spec = importlib.util.spec_from_file_location("torch_training", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = ["--steps", "12", "--networks", "1", "--optimizer", "linear_regression"]
    first, second, other = (module.main([*arguments, "--seed", seed]) for seed in ("0", "0", "1"))
    assert [row._replace(seconds=0) for row in first] == [row._replace(seconds=0) for row in second]
    assert [row.mean_loss for row in first] != [row.mean_loss for row in other]
    assert {row.name for row in first} == {"learned (linear_regression)", "SGD, momentum 0.9", "Adam"}
    assert all(row.final_loss < 2 and row.mean_loss < 0.8 for row in first)
    assert first[0].final_loss < first[0].mean_loss
    assert "best of six settings" in capsys.readouterr().out
