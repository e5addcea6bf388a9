"""`optoscope train`."""

import jax
import jax.numpy as jnp
import pytest

from optoscope.artifacts import load
from optoscope.tasks import AbstractTask, Problem

TINY = ["--set", "num_meta_steps=4", "num_units=3", "num_steps=10", "batch_size=4", "num_validation_problems=8",
        "validate_every=2", "segment_length=5", "num_snapshots=3"]  # fmt: skip


def test_it_writes_an_artifact_and_does_not_overwrite_it(run, tmp_path):
    bounds = ["objective_cap=inf", "clip=inf"]
    call = ["train", "linear_regression", "--out", str(tmp_path), "--seed", "3", *TINY, *bounds]
    called = run(*call)
    assert (called.code, "best validation" in called.out) == (0, True)
    assert load(tmp_path).seed == 3
    called = run(*call)
    assert (called.code, "pass --resume" in called.err) == (2, True)
    assert run(*call, "--resume").code == 0
    assert run(*call, "--force").code == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("units=3", "unknown setting 'units'"),
        ("num_units", "--set takes NAME=VALUE"),
        ("num_units=many", "`num_units` must be a whole number from 1 to 100000, got 'many'"),
        ("num_units=0", "`num_units` must be a whole number from 1 to 100000, got 0"),
        ("num_units=50000", "GB of memory"),
        ("num_units=" + "(" * 500, "`num_units` must be"),
        ("num_units=" + "-" * 20_000 + "1", "at most 2000 characters"),
        ("batch_size=1000000000", "`batch_size` must be"),
        ("batch_size=1000000", "GB of memory"),
        ("learning_rate=1e400", "`learning_rate` must be a finite number above 0"),
        ("b1=2", "`b1` must be a finite number from 0 to below 1, got 2.0"),
        ("warmup_steps=-5", "`warmup_steps` must be"),
        ("curriculum=((1,),)", "`curriculum` must be a tuple such as (1, 1), got (1,) with 1 entries instead of 2"),
        ("input_kind=x", "unknown input_kind 'x'. Known: gradient, log_sign"),
        ("spike_factor=nan", "`spike_factor` must be a number above 0, or inf"),
        ("weight_average=0", "set `weight_average` too"),
        ("num_steps=30", "must be a multiple of `segment_length`, got 30 and 20"),
        ("warm_start=nothing", "unknown optimizer 'nothing'"),
        ("warm_start=linear_regression_paper", "a GRU-256 that reads 'gradient' does not fit into a GRU-32"),
        ("memory_gigabytes=1e-3", "one meta-step needs about"),
    ],
)
def test_bad_settings(setting, message, refused):
    assert message in refused("train", "linear_regression", "--out", "x", "--set", setting)


def test_a_setting_that_is_given_twice(refused):
    assert "--set has b1 twice" in refused("train", "rosenbrock", "--out", "x", "--set", "b1=0.5", "b1=0.6")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["linear_regression", "--preset", "slow"], "unknown preset 'slow'"),
        (["rosenbrock", "--preset", "authors"], "it exists for linear_regression"),
        (["mnist", "--mnist-dir", "."], "Pass --mnist-dir or set OPTOSCOPE_MNIST"),
    ],
)
def test_bad_calls(arguments, message, refused):
    assert message in refused("train", *arguments, "--out", "x")


def test_training_that_learned_nothing_fails_and_writes_no_optimizer(run, tmp_path, monkeypatch):
    class Exploding(AbstractTask):
        def sample(self, key):
            return Problem(jax.random.normal(key, (1,)))

        def loss(self, problem, params, key):
            return jnp.where(jnp.sum(params - problem.initial_params) > 0, jnp.nan, 1.0) + 0.0 * jnp.sum(params)

    monkeypatch.setattr("optoscope.tasks.get", lambda name: Exploding())
    monkeypatch.setattr("optoscope.tasks.name_of", lambda task: "linear_regression")
    called = run("train", "linear_regression", "--out", str(tmp_path), *TINY)
    assert called.code == 1
    assert called.err.splitlines()[-1].startswith(
        "optoscope: nothing was learned: on validation problems no weights did better"
    )
    assert called.err.endswith("No optimizer was written.\n")
    assert not (tmp_path / "linear_regression.json").exists() and (tmp_path / "log.jsonl").exists()
