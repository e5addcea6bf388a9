"""What must work right after `pip install optoscope`: every public name, and commands of each kind."""

import json
import subprocess
import sys
from pathlib import Path

import optoscope

SOURCES = Path(__file__).resolve().parent.parent
NEEDS_TORCH = {"LearnedOptimizer"}

assert SOURCES not in Path(optoscope.__file__).resolve().parents, "the installed package is what is tested"
for name in optoscope.__all__:
    if name not in NEEDS_TORCH:
        getattr(optoscope, name)


def run(*arguments: str) -> str:
    """Run `optoscope` as a person does; it must succeed, and say nothing of deprecations."""
    command = [str(Path(sys.executable).with_name("optoscope")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or "Deprecat" in done.stderr:
        sys.exit(f"{' '.join(command)} gave {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


run("--help")
assert json.loads(run("list", "--json"))
assert "momentum" in run("diagnose", "optax:sgd(learning_rate=0.1, momentum=0.9)")
run("evaluate", "rosenbrock", "--num-problems", "4", "--num-steps", "20", "--out", "evaluation.npz")
small = ("num_units=8", "num_meta_steps=40", "num_validation_problems=8", "num_steps=20")
small = (*small, "learning_rate=0.02", "warmup_steps=0")
run("train", "linear_regression", "--out", "run", "--set", *small)
run("train", "linear_regression", "--out", "run", "--resume", "--set", *small)
assert optoscope.load("run").task == "linear_regression"
run("figure", "3", "--out", "figures")
