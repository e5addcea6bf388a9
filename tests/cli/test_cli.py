"""The command line: what it prints, what it refuses, what it writes."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope import as_optimizer
from optoscope.anatomy import Visits
from optoscope.artifacts import load
from optoscope.cli.main import main
from optoscope.optimizers import Momentum
from optoscope.tasks import AbstractTask, Problem

TINY = ["--set", "num_meta_steps=4", "num_units=3", "num_steps=10", "batch_size=4", "num_validation_problems=8",
        "validate_every=2", "segment_length=5", "num_snapshots=3"]  # fmt: skip


def run(capsys, *arguments):
    """Exit code, standard output and standard error of one call."""
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_is_complete_and_loads_no_jax():
    script = (
        "import sys\nfrom optoscope.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'jax' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for word in ("list", "train", "tune", "evaluate", "figure", "reproduce", "optoscope evaluate linear_regression"):
        assert word in done.stdout


@pytest.mark.parametrize("command", ["list", "train", "tune", "evaluate", "figure", "reproduce"])
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"Example: optoscope {command}" in capsys.readouterr().out


def test_list_shows_what_ships_as_json(capsys):
    code, out, _ = run(capsys, "list", "--json")
    listed = json.loads(out)
    assert code == 0
    assert {"linear_regression", "rosenbrock"} <= {row["name"] for row in listed["Tasks"]}
    assert "linear_regression/momentum" in {row["name"] for row in listed["Shipped optimizers"]}


def test_train_writes_an_artifact_and_does_not_overwrite_it(capsys, tmp_path):
    call = ["train", "linear_regression", "--out", str(tmp_path), "--seed", "3", *TINY]
    code, out, _ = run(capsys, *call)
    assert (code, "best validation" in out) == (0, True)
    assert load(tmp_path).seed == 3
    code, _, err = run(capsys, *call)
    assert (code, "pass --resume" in err) == (2, True)
    assert run(capsys, *call, "--resume")[0] == 0
    assert run(capsys, *call, "--force")[0] == 0


def test_tune_writes_every_sample(capsys, tmp_path):
    call = ["tune", "rosenbrock", "gradient_descent", "--num-samples", "30", "--out", str(tmp_path)]
    code, out, _ = run(capsys, *call)
    assert (code, "best: learning_rate=" in out) == (0, True)
    assert load(tmp_path / "gradient_descent").samples.shape == (30, 1)
    code, _, err = run(capsys, *call)
    assert (code, "pass --resume" in err) == (2, True)
    assert run(capsys, *call, "--resume")[0] == 0


def test_search_tries_settings_and_saves_the_best(capsys, tmp_path):
    call = ["search", "linear_regression", "--num-samples", "2", "--out", str(tmp_path), "--json", *TINY]
    code, out, _ = run(capsys, *call)
    rows = json.loads(out)["Samples, best first"]
    assert code == 0
    assert len(rows) == 2
    assert load(tmp_path / "best").metrics["best_validation"] == rows[0]["validation"]


def test_states_keeps_a_bounded_sample_with_its_groups(capsys, tmp_path):
    task = "two_moons(num_examples=32, widths=(6, 5))"
    path = tmp_path / "states.npz"
    size = ["--num-problems", "2", "--num-steps", "4", "--max-components", "20"]
    code, out, _ = run(capsys, "states", "linear_regression", "--task", task, "--out", str(path), *size, "--json")
    rows = json.loads(out)["Trajectories kept"]
    visits = Visits.load(path)
    assert code == 0
    assert visits.states.shape == (40, 4, 32)
    assert [row["group"] for row in rows] == visits.groups
    assert visits.groups[:2] == ["layer 1 biases", "layer 1 weights"]
    counts = np.bincount(visits.group, minlength=6) // 2
    assert counts.tolist() == [row["trajectories"] // 2 for row in rows]
    assert counts.tolist() == [4, 4, 3, 4, 1, 4]  # one bias in the last layer; the others share evenly


def test_evaluate_compares_what_it_is_given(capsys, tmp_path):
    optimizers = ["optoscope.optimizers:Momentum(3.0, 0.9)", "optax:sgd(learning_rate=3.0, momentum=0.9)"]
    where = ["--num-problems", "8", "--num-steps", "20", "--json", "--out", str(tmp_path / "result.npz")]
    code, out, _ = run(capsys, "evaluate", "linear_regression", *optimizers, *where)
    tables = json.loads(out)
    rows = next(table for title, table in tables.items() if title.startswith("Meta-objective"))
    assert code == 0
    assert [row["optimizer"] for row in rows] == optimizers
    np.testing.assert_allclose(rows[0]["mean"], rows[1]["mean"], rtol=1e-5)
    code, _, err = run(capsys, "evaluate", "linear_regression", *optimizers, *where)
    assert (code, "exists" in err) == (2, True)


def test_evaluate_without_optimizers_takes_what_ships_for_the_task(capsys):
    code, out, err = run(capsys, "evaluate", "rosenbrock", "--num-problems", "4", "--num-steps", "5")
    assert code == 0
    assert "evaluating 4/4" in err
    for name in ("rosenbrock/adam", "rosenbrock/momentum", "rosenbrock/rmsprop"):
        assert name in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "linear_regresion", "--out", "x"], "Did you mean 'linear_regression'?"),
        (["train", "linear_regression", "--preset", "slow", "--out", "x"], "unknown preset 'slow'"),
        (["train", "linear_regression", "--out", "x", "--set", "units=3"], "unknown setting 'units'"),
        (["train", "linear_regression", "--out", "x", "--set", "num_units"], "--set takes NAME=VALUE"),
        (
            ["train", "linear_regression", "--out", "x", "--set", "num_units=many"],
            "must be a whole number from 1 to 100000, got 'many'",
        ),
        (["tune", "rosenbrock", "sgd", "--out", "x"], "unknown optimizer 'sgd'"),
        (["evaluate", "rosenbrock", "nothing"], "unknown optimizer 'nothing'"),
        (["evaluate", "rosenbrock", "optax:sgd(learning_rate=open('x'))"], "only literals are allowed"),
        (["evaluate", "rosenbrock", "optax:nothing()"], "cannot find optax:nothing"),
        (["evaluate", "rosenbrock", "optax:sgd(wrong=1)"], "failed"),
        (["evaluate", "rosenbrock", "math:sqrt(2.0)"], "math is a part of Python"),
        (["figure", "99"], "unknown figure '99'"),
        (["reproduce", "mnistt", "--out", "x"], "unknown task 'mnistt'"),
        (["evaluate", "mnist", "--mnist-dir", "nowhere"], "--mnist-dir nowhere is not a directory"),
        (["train", "mnist", "--mnist-dir", ".", "--out", "x"], "Pass --mnist-dir or set OPTOSCOPE_MNIST"),
    ],
)
def test_a_wrong_call_is_one_clear_paragraph_and_writes_nothing(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTOSCOPE_MNIST", "elsewhere")  # set by --mnist-dir, and set back after the test
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_training_that_learned_nothing_fails_and_writes_no_optimizer(capsys, tmp_path, monkeypatch):
    class Exploding(AbstractTask):
        def sample(self, key):
            return Problem(jax.random.normal(key, (1,)))

        def loss(self, problem, params, key):
            return jnp.where(jnp.sum(params - problem.initial_params) > 0, jnp.nan, 1.0) + 0.0 * jnp.sum(params)

    monkeypatch.setattr("optoscope.tasks.get", lambda name: Exploding())
    monkeypatch.setattr("optoscope.tasks.name_of", lambda task: "linear_regression")
    code, out, err = run(capsys, "train", "linear_regression", "--out", str(tmp_path), *TINY)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(
        "optoscope: nothing was learned: on validation problems no weights did better"
    )
    assert err.endswith("No optimizer was written.\n")
    assert not (tmp_path / "linear_regression.json").exists() and (tmp_path / "log.jsonl").exists()


def test_costs_refuses_bad_sizes_before_it_times_anything(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("optoscope.training.costs._run", None)
    code, _, err = run(capsys, "costs", "linear_regression", "--num-problems", "1", "--out", str(tmp_path / "new"))
    assert (code, "`--num-problems` must be a whole number from 2 to 1000000" in err) == (2, True)


@pytest.mark.parametrize(
    ("command", "resumes"),
    [(["tune", "rosenbrock", "adam", "--out", "new"], True), (["evaluate", "rosenbrock"], False)],
)
def test_ctrl_c_is_one_sentence_that_says_how_to_go_on(command, resumes, capsys, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("optoscope.tasks.get", stop)
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *command)
    hint = "; the same command with --resume goes on" if resumes else ""
    assert (code, err) == (130, f"optoscope: stopped{hint}.\n")


def test_optimizer_specifications():
    assert isinstance(as_optimizer("optoscope.optimizers:Momentum(0.1, decay=0.5)"), Momentum)
    assert isinstance(as_optimizer("optax:adam(1e-3)"), optax.GradientTransformation)
    assert as_optimizer("linear_regression/momentum").decay == load("linear_regression/momentum").optimizer.decay
