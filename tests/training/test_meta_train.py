"""Meta-training: what is learned, what is skipped, and what survives being killed."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optoscope import artifacts
from optoscope.optimizers import GRUOptimizer
from optoscope.running import evaluate, sample_problems
from optoscope.running.share_out import replicate
from optoscope.tasks import AbstractTask, LinearRegression, Problem
from optoscope.training import MetaTrainConfig, meta_train, preset
from optoscope.training.config import PRESETS
from optoscope.training.memory import estimated_bytes, with_segments
from optoscope.training.meta_step import (
    batch_objective,
    initial_meta_state,
    make_meta_step,
    make_objective_and_gradient,
)
from optoscope.training.meta_train import _snapshot_steps
from optoscope.training.validation import NOTHING, Validation, why_nothing_was_learned

TINY = MetaTrainConfig(
    num_units=4,
    num_steps=10,
    batch_size=4,
    num_meta_steps=12,
    num_validation_problems=8,
    validate_every=4,
    learning_rate=1e-2,
    num_snapshots=5,
)


@pytest.fixture(scope="module")
def tiny():
    """What the settings above train with key 0."""
    return meta_train(LinearRegression(), config=TINY, key=jax.random.key(0))


def same(a, b):
    return jax.tree.all(jax.tree.map(np.array_equal, a, b))


def test_training_improves_on_validation_problems(key):
    config = dataclasses.replace(TINY, num_units=8, num_meta_steps=200, clip=0.05, eps=1e-6, b1=0.8, b2=0.9)
    trained = meta_train(LinearRegression(), config=config, key=key)
    assert trained.metrics["best_validation"] < 0.8 * trained.curve["validations"][0]
    assert trained.curve["validations"][0] == pytest.approx(1.0, abs=1e-5)


def test_the_same_key_gives_the_same_bits_and_another_key_does_not(tiny, key):
    again = meta_train(LinearRegression(), config=TINY, key=key)
    other = meta_train(LinearRegression(), config=TINY, key=jax.random.key(1))
    assert same(tiny.snapshots, again.snapshots)
    assert not same(tiny.optimizer, other.optimizer)


def test_snapshots_run_from_the_start_to_the_end(tiny, key):
    trained = tiny
    assert trained.snapshot_steps.tolist() == [0, 1, 2, 5, 12]
    assert not same(trained.snapshot(0), trained.snapshot(-1))
    fewest = meta_train(LinearRegression(), config=dataclasses.replace(TINY, num_snapshots=2), key=key)
    assert fewest.snapshot_steps.tolist() == [0, 12]
    assert _snapshot_steps(dataclasses.replace(TINY, num_snapshots=1)).tolist() == [0]
    assert same(fewest.snapshot(-1), trained.snapshot(-1))


class Exploding(AbstractTask):
    """Its loss is not finite from the moment that the optimizer moves up."""

    def sample(self, key):
        return Problem(jax.random.normal(key, (1,)))

    def loss(self, problem, params, key):
        moved = jnp.sum(params - problem.initial_params)
        return jnp.where(moved > 0, jnp.inf, 1.0) + 0.0 * jnp.sum(params)


class Rising(AbstractTask):
    """Its loss is at first 1 and grows as the optimizer moves."""

    def sample(self, key):
        return Problem(jax.random.normal(key, (1,)))

    def loss(self, problem, params, key):
        return 1.0 + 100.0 * jnp.sum(jnp.abs(params - problem.initial_params))


def test_a_step_that_is_not_finite_is_counted_and_not_applied(key):
    optimizer = GRUOptimizer.create(4, key=key)
    optimizer = eqx.tree_at(lambda o: o.readout_bias, optimizer, jnp.ones(()))
    config = dataclasses.replace(TINY, num_meta_steps=3)
    devices = jax.local_devices()[:1]
    step = make_meta_step(Exploding(), config, devices)
    state, objective = step.run(*replicate((initial_meta_state(optimizer, config, LinearRegression()), key), devices))
    assert not np.isfinite(objective)
    assert (int(state.step), int(state.num_skipped)) == (1, 1)
    assert same(state.optimizer, optimizer)
    assert same(state.average, optimizer)


def test_weights_that_are_not_finite_or_spike_go_back_to_their_average(key):
    devices = jax.local_devices()[:1]
    good, drifted = (jax.tree.map(np.asarray, GRUOptimizer.create(4, key=jax.random.key(i))) for i in range(2))
    config = dataclasses.replace(TINY, weight_average=0.9, spike_factor=2.0)
    for task, bias, counts in ((Exploding(), 1.0, (1, 0)), (Rising(), 0.1, (0, 1))):
        moved = eqx.tree_at(lambda o: o.readout_bias, drifted, jnp.full((), bias))
        state = eqx.tree_at(lambda s: s.optimizer, initial_meta_state(good, config, task), moved)
        state, _ = make_meta_step(task, config, devices).run(*replicate((state, key), devices))
        assert (int(state.num_skipped), int(state.num_rollbacks)) == counts
        assert same(state.optimizer, good)
        assert same(state.average, good)


class PartlyBroken(AbstractTask):
    """A parabola, but not a number on the 2% of its problems that start far out; or on all."""

    bound: float = 2.05

    def sample(self, key):
        return Problem(jax.random.normal(key, (1,)))

    def loss(self, problem, params, key):
        return jnp.where(problem.initial_params[0] > self.bound, jnp.nan, jnp.sum(params**2))


def test_problems_that_are_not_finite_are_counted_told_and_left_out_of_the_validation(key, tmp_path):
    config = dataclasses.replace(
        TINY, num_meta_steps=60, num_validation_problems=256, validate_every=20, batch_size=16, segment_length=5
    )
    said = []
    trained = meta_train(PartlyBroken(), config=config, key=key, directory=tmp_path, announce=said.append)
    shares = trained.curve["finite_shares"]
    assert 0.96 < shares[0] < 1 and (shares == shares[0]).all()
    assert np.isfinite(trained.curve["validations"]).all()
    assert trained.curve["validations"][0] == pytest.approx(1.0)
    assert trained.metrics["best_step"] > 0 and trained.metrics["best_validation"] < 0.9
    assert trained.metrics["finite_share"] == shares[0]
    assert 5 < trained.metrics["num_skipped"] < 30  # of 60 batches of 16
    assert why_nothing_was_learned(trained) is None
    told = [sentence for sentence in said if "not finite" in sentence]
    assert len(told) == 2 and told[0].startswith("meta-step 0: ")
    assert f"on {1 - shares[0]:.2%} of the validation problems" in told[0]
    assert "skipped and counted" in told[1]
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["finite_share"] for record in records] == shares[1:].tolist()


def test_weights_with_which_fewer_problems_fail_are_better_whatever_the_others_score():
    few, many, better = Validation(0.5, 0.99), Validation(0.1, 0.98), Validation(0.4, 0.99)
    assert few.beats(many) and not many.beats(few)
    assert better.beats(few) and not few.beats(better) and not few.beats(few)
    assert not Validation(float("nan"), 0.0).beats(NOTHING)


def test_a_task_that_is_finite_nowhere_is_refused_at_once(key):
    with pytest.raises(ValueError, match="finite on none of the 8 validation problems"):
        meta_train(PartlyBroken(bound=-100.0), config=TINY, key=key)


def test_a_run_in_which_nothing_was_learned_says_so(key):
    trained = meta_train(Exploding(), config=TINY, key=key)
    reason = why_nothing_was_learned(trained)
    assert reason is not None and f"Of 12 meta-steps, {trained.metrics['num_skipped']} were skipped" in reason
    assert trained.metrics["best_step"] == 0


def test_an_average_that_has_blown_up_is_given_up(key, tmp_path):
    # One step of this size is far too long, and the average follows at once: every later step would go back to it.
    config = dataclasses.replace(
        TINY, num_units=8, num_meta_steps=200, clip=0.05, eps=1e-6, b1=0.8, b2=0.9, output_scale=300.0,
        weight_average=0.9, spike_factor=2.0, learning_rate=0.1, validate_every=20,
    )  # fmt: skip
    said = []
    trained = meta_train(LinearRegression(), config=config, key=key, announce=said.append)
    assert trained.metrics["num_rollbacks"] < 120
    assert trained.metrics["best_step"] > 0 and trained.metrics["best_validation"] < 0.9
    assert [sentence for sentence in said if "blown up; back to those of meta-step" in sentence]
    for stop in (3, 4, None):
        cut = meta_train(LinearRegression(), config=config, key=key, directory=tmp_path, resume=True, stop_at=stop)
    assert same(trained.optimizer, cut.optimizer)


def test_a_spike_is_seen_soon_after_a_warm_start(key):
    devices = jax.local_devices()[:1]
    trained = artifacts.load("linear_regression").optimizer
    config = dataclasses.replace(
        TINY, num_units=32, num_steps=100, batch_size=8, learning_rate=1e-9, weight_average=0.9, spike_factor=2.0
    )
    step = make_meta_step(LinearRegression(), config, devices)
    state, meta_key = replicate((initial_meta_state(trained, config, LinearRegression()), key), devices)
    objectives = []
    for _ in range(40):
        state, objective = step.run(state, meta_key)
        objectives.append(float(objective))
    assert int(state.num_rollbacks) == 0
    np.testing.assert_allclose(float(state.running_objective), np.mean(objectives), rtol=0.3)
    idle = jax.tree.map(jnp.zeros_like, state.optimizer)
    assert 2 * np.mean(objectives) < 0.9  # what doing nothing scores is a spike, though less than twice the start's
    state, objective = step.run(eqx.tree_at(lambda s: s.optimizer, state, idle), meta_key)
    assert float(objective) > 0.9
    assert int(state.num_rollbacks) == 1


def test_one_and_two_devices_compute_the_same_gradient_up_to_rounding(key):
    assert jax.local_device_count() >= 2
    optimizer = jax.tree.map(lambda leaf: leaf + 0.01, GRUOptimizer.create(4, key=key))
    config = dataclasses.replace(TINY, l2=0.0)
    two = make_objective_and_gradient(config, jax.local_devices()[:2])
    objective, gradient = eqx.filter_jit(two)(LinearRegression(), optimizer, key)
    batches = [sample_problems(LinearRegression(), jax.random.fold_in(key, i), 2) for i in range(2)]
    halves = [jax.value_and_grad(batch_objective)(optimizer, LinearRegression(), config, *batch) for batch in batches]
    np.testing.assert_allclose(objective, np.mean([value for value, _ in halves]), rtol=1e-5)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, halves[0][1], halves[1][1])
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(mean)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_a_batch_in_parts_gives_the_same_gradient_up_to_rounding(key):
    optimizer = jax.tree.map(lambda leaf: leaf + 0.01, GRUOptimizer.create(4, key=key))
    whole, parts = (
        eqx.filter_jit(make_objective_and_gradient(config, jax.local_devices()[:1]))(LinearRegression(), optimizer, key)
        for config in (TINY, dataclasses.replace(TINY, part_size=TINY.batch_size // 2))
    )
    for ours, theirs in zip(jax.tree.leaves(parts), jax.tree.leaves(whole)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-7)


def test_the_gradient_of_each_part_is_clipped_before_the_mean(key):
    optimizer = jax.tree.map(lambda leaf: leaf + 0.01, GRUOptimizer.create(4, key=key))
    config = dataclasses.replace(TINY, batch_size=4, part_size=1, l2=0.0)
    drawn = sample_problems(LinearRegression(), jax.random.fold_in(key, 0), 4)
    each = eqx.filter_vmap(
        lambda *one: jax.grad(batch_objective)(
            optimizer, LinearRegression(), config, *jax.tree.map(lambda leaf: leaf[None], one)
        )
    )(*drawn)
    norms = np.sqrt(sum(np.square(np.asarray(leaf)).reshape(4, -1).sum(1) for leaf in jax.tree.leaves(each)))
    bound = float(np.median(norms))
    clipped = dataclasses.replace(config, part_clip=bound)
    _, gradient = eqx.filter_jit(make_objective_and_gradient(clipped, jax.local_devices()[:1]))(
        LinearRegression(), optimizer, key
    )
    shrink = np.minimum(1.0, bound / norms)
    assert (shrink < 1).any() and (shrink == 1).any()
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(each)):
        expected = (np.asarray(theirs) * shrink.reshape(4, *[1] * (theirs.ndim - 1))).mean(0)
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-7)


def test_a_curriculum_trains_on_short_unrolls_first_and_resumes_to_the_same_bits(key, tmp_path):
    config = dataclasses.replace(TINY, curriculum=((5, 4),))
    said = []
    whole = meta_train(LinearRegression(), config=config, key=key, announce=said.append)
    assert [sentence.split()[2] for sentence in said] == ["5", str(TINY.num_steps)]
    for stop in (3, None):
        cut = meta_train(LinearRegression(), config=config, key=key, directory=tmp_path, resume=True, stop_at=stop)
    assert same(whole.optimizer, cut.optimizer)


def test_what_is_trained_in_half_precision_is_run_in_float32(tiny, key):
    half = meta_train(LinearRegression(), config=dataclasses.replace(TINY, bfloat16=True), key=key)
    assert not half.optimizer.bfloat16 and not half.snapshot(-1).bfloat16
    assert 0 < abs(half.metrics["best_validation"] / tiny.metrics["best_validation"] - 1) < 0.05


def test_a_warm_start_does_what_the_optimizer_it_starts_from_does(tiny, key, tmp_path):
    path = tiny.save(tmp_path / "start")
    config = dataclasses.replace(TINY, num_units=7, warm_start=str(path), num_meta_steps=1, learning_rate=1e-9)
    wider = meta_train(LinearRegression(), config=config, key=jax.random.key(5))
    results = evaluate(LinearRegression(), {"a": tiny.optimizer, "b": wider.snapshot(0)}, num_problems=4, key=key)
    np.testing.assert_allclose(results.losses[0], results.losses[1], rtol=1e-3)
    with pytest.raises(ValueError, match="does not fit"):
        meta_train(LinearRegression(), config=dataclasses.replace(config, num_units=2), key=key)
    tuned = dataclasses.replace(config, warm_start="rosenbrock/adam")
    with pytest.raises(ValueError, match="rosenbrock/adam is a tuned adam; a learned optimizer is needed here"):
        meta_train(LinearRegression(), config=tuned, key=key)


def test_a_preset_to_start_from_is_trained_first_with_the_same_seed(tiny, key, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", {"linear_regression": TINY})
    config = dataclasses.replace(TINY, warm_start="tiny:linear_regression", num_meta_steps=2, output_scale=0.5)
    whole = meta_train(LinearRegression(), config=config, key=key)
    assert same(jax.tree.leaves(whole.snapshot(0)), jax.tree.leaves(tiny.optimizer))
    assert whole.optimizer.output_scale == 0.5
    assert whole.metrics["seconds_of_start"] > 0
    meta_train(LinearRegression(), config=config, key=key, directory=tmp_path, stop_at=1)
    resumed = meta_train(LinearRegression(), config=config, key=key, directory=tmp_path, resume=True)
    assert same(whole.optimizer, resumed.optimizer)


def test_segments_are_picked_from_a_memory_budget(monkeypatch):
    monkeypatch.setattr("optoscope.training.memory._resident_bytes", lambda: 0)  # whatever ran before
    config = dataclasses.replace(TINY, num_units=256, batch_size=400, num_steps=200)
    needs = {
        n: estimated_bytes(LinearRegression(), dataclasses.replace(config, segment_length=n), 1) for n in (10, 200)
    }
    assert needs[10] < needs[200] / 5
    middle = with_segments(LinearRegression(), dataclasses.replace(config, memory_gigabytes=1.0), 1).segment_length
    assert 10 <= middle < 200
    with pytest.raises(ValueError, match="part_size"):
        with_segments(LinearRegression(), dataclasses.replace(config, memory_gigabytes=0.01), 1)


def test_the_penalty_is_the_unsquared_norm(key):
    optimizer = jax.tree.map(lambda leaf: leaf + 0.01, GRUOptimizer.create(4, key=key))
    gradients = [
        eqx.filter_jit(make_objective_and_gradient(dataclasses.replace(TINY, l2=l2), jax.local_devices()[:1]))(
            LinearRegression(), optimizer, key
        )[1]
        for l2 in (0.0, 1.0)
    ]
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(optimizer)))
    difference = jax.tree.map(lambda a, b: b - a, *gradients)
    np.testing.assert_allclose(difference.biases, optimizer.biases / norm, rtol=1e-3, atol=1e-5)


def test_a_run_that_was_interrupted_goes_on_to_the_same_bits(key, tmp_path):
    whole = meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path / "whole")

    def interrupt(progress):
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped after meta-step 5"):
        meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path / "cut", report=interrupt)
    resumed = meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path / "cut", resume=True)
    assert same(whole.optimizer, resumed.optimizer)
    assert same(whole.snapshots, resumed.snapshots)
    assert whole.curve["validations"].tolist() == resumed.curve["validations"].tolist()
    logs = [
        [json.loads(line)["validation"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "cut")
    ]
    assert logs[0] == logs[1]


def test_sigterm_saves_and_then_goes_to_whoever_handles_it(key, tmp_path):
    came = []
    previous = signal.signal(signal.SIGTERM, lambda signum, frame: came.append(sorted(tmp_path.glob("checkpoint-*"))))

    def terminate(progress):
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt, match="stopped after meta-step 5"):
            meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path, report=terminate)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert [path.name for path in came[0]][-1:] == ["checkpoint-00000005.safetensors"]
    assert len(came) == 1


def test_saving_takes_a_small_share_of_the_time(key, tmp_path, monkeypatch):
    now, saved = [1000.0], []

    def save(folder, step, *_, run):
        saved.append(step)
        now[0] += 0.05

    module = sys.modules["optoscope.training.meta_train"]  # the function of the same name hides it
    monkeypatch.setattr(module, "save_checkpoint", save)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    half_a_second = lambda progress: now.append(now.pop() + 0.5)
    meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path, report=half_a_second)
    assert saved == [1, 6, 11, 12]  # 2.5 s apart, 50 times as long as saving takes, and at the end


def test_without_a_handler_sigterm_ends_the_process_once_all_is_saved(tmp_path):
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom optoscope._core.interrupts import deferred\n"
        "with deferred() as interruption:\n    os.kill(os.getpid(), signal.SIGTERM)\n    Path('saved').touch()\n"
        "interruption.deliver('saved')\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path).returncode == -signal.SIGTERM
    assert (tmp_path / "saved").exists()


def test_a_damaged_newest_checkpoint_is_passed_over(key, tmp_path):
    whole = meta_train(LinearRegression(), config=TINY, key=key)
    meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path, checkpoint_seconds=0)
    newest = max(tmp_path.glob("checkpoint-*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:100])
    resumed = meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path, resume=True)
    assert same(whole.optimizer, resumed.optimizer)


_SCRIPT = """
import jax, sys
sys.path.insert(0, {tests!r})
from test_meta_train import TINY
from optoscope.tasks import LinearRegression
from optoscope.training import meta_train
trained = meta_train(
    LinearRegression(), config=TINY, key=jax.random.key(0), directory={directory!r}, resume=True, checkpoint_seconds=0
)
trained.save({directory!r} + "/trained")
"""


def test_killing_a_run_at_random_moments_changes_no_bit(key, tmp_path):
    directory = tmp_path / "run"
    script = _SCRIPT.format(tests=os.path.dirname(__file__), directory=str(directory))
    rng = random.Random(0)
    for attempt in range(8):
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        if attempt < 3:
            # Wait for the run to be under way (or to write), then kill it without warning.
            deadline = time.monotonic() + 60
            seen = len(list(directory.glob("checkpoint-*"))) if directory.exists() else 0
            while process.poll() is None and time.monotonic() < deadline:
                if directory.exists() and len(list(directory.glob(".checkpoint-*.part"))) + len(
                    list(directory.glob("checkpoint-*"))
                ) > min(seen, 2):
                    break
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        if process.wait() == 0:
            break
    whole = meta_train(LinearRegression(), config=TINY, key=key)
    from optoscope.artifacts import load

    resumed = load(directory / "trained")
    assert same(whole.optimizer, resumed.optimizer)
    assert same(whole.snapshots, resumed.snapshots)


def test_a_write_that_is_cut_off_leaves_the_old_file(tmp_path, monkeypatch):
    from optoscope._core import files

    target = tmp_path / "file"
    files.write_whole(target, b"old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"


def test_resuming_on_another_number_of_devices_is_refused(key, tmp_path, monkeypatch):
    meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path, stop_at=4)
    one_device = jax.local_devices()[:1]
    module = sys.modules["optoscope.training.meta_train"]  # the package has a function of that name
    monkeypatch.setattr(module, "devices_for", lambda count: one_device)
    with pytest.raises(ValueError, match="holds a run with another num_devices"):
        meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path, resume=True)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_and_that_is_said(key, tmp_path):
    whole = meta_train(LinearRegression(), config=TINY, key=key)
    for stop in (3, 7):
        meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path, resume=True, stop_at=stop)
    newest = tmp_path / "checkpoint-00000007.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[-20] ^= 4
    newest.write_bytes(damaged)
    said = []
    resumed = meta_train(
        LinearRegression(), config=TINY, key=key, directory=tmp_path, resume=True, announce=said.append
    )
    assert same(whole.optimizer, resumed.optimizer)
    assert any("checkpoint-00000007.safetensors is damaged" in sentence for sentence in said)


def test_a_warm_start_from_other_weights_is_another_run(key, tmp_path):
    first, second = (meta_train(LinearRegression(), config=TINY, key=jax.random.key(seed)) for seed in (1, 2))
    first.save(tmp_path / "start")
    config = dataclasses.replace(TINY, warm_start=str(tmp_path / "start"))
    meta_train(LinearRegression(), config=config, key=key, directory=tmp_path / "run", stop_at=2)
    second.save(tmp_path / "start")
    with pytest.raises(ValueError, match="holds a run with another start"):
        meta_train(LinearRegression(), config=config, key=key, directory=tmp_path / "run", resume=True)


def test_resuming_with_other_settings_is_refused(key, tmp_path):
    meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path)
    with pytest.raises(FileExistsError, match="already holds a run; pass --resume"):
        meta_train(LinearRegression(), config=TINY, key=key, directory=tmp_path)
    other = dataclasses.replace(TINY, num_units=5)
    with pytest.raises(ValueError, match="holds a run with another config"):
        meta_train(LinearRegression(), config=other, key=key, directory=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be a whole number from 1 to 1000000, got 0"),
        ({"learning_rate": -1.0}, "`learning_rate` must be a finite number above 0, got -1.0"),
        (
            {"weight_average": 1.0},
            "`weight_average` must be a finite number from 0 to below 1, got 1.0; 0 switches it off",
        ),
        ({"num_snapshots": 0}, "`num_snapshots` must be a whole number from 1 to 10000, got 0"),
    ],
)
def test_bad_settings_are_refused_at_once(key, change, message):
    with pytest.raises(ValueError, match=message):
        meta_train(LinearRegression(), config=dataclasses.replace(TINY, **change), key=key)


def test_presets_are_those_of_the_paper_and_the_authors():
    paper = preset("paper", "linear_regression")
    assert (paper.batch_size, paper.clip, paper.decay_rate, paper.decay_steps, paper.l2) == (32, 5.0, 0.8, 500, 1e-5)
    authors = preset("authors", "linear_regression")
    assert (authors.num_units, authors.batch_size, authors.clip, authors.b2) == (256, 64, 0.0473, 0.594)
    momentum = preset("momentum", "linear_regression")
    assert (momentum.num_units, momentum.eps, momentum.num_meta_steps, momentum.l2) == (64, 0.1, 2000, 1e-4)
    with pytest.raises(ValueError, match="unknown preset 'slow'"):
        preset("slow", "linear_regression")
    with pytest.raises(ValueError, match="exists for linear_regression"):
        preset("authors", "rosenbrock")
