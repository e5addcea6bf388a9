"""Tuning finds planted optima and never mixes problem sets."""

import functools

import jax
import numpy as np
import pytest

from optoscope.optimizers import GradientDescent
from optoscope.running import Purpose, meta_objective, sample_problems
from optoscope.running.rollouts import rollout_batch
from optoscope.tasks import LinearRegression
from optoscope.training import Range, Stage, tune


def test_tuning_finds_good_momentum_and_keeps_every_sample(key):
    tuned = tune(
        LinearRegression(), "momentum", num_samples=300, stages=(Stage(16, 200, 20), Stage(64, 200, 1)), key=key
    )
    assert tuned.samples.shape == (300, 2)
    assert not np.isnan(tuned.scores).any()
    assert np.isinf(tuned.scores).any()  # some learning rates diverge
    assert 1.5 < tuned.optimizer.learning_rate < 6
    assert 0.7 < tuned.optimizer.decay < 0.98
    assert tuned.score < 0.08
    assert (tuned.stages_reached == 1).sum() == 20
    assert tuned.score == tuned.scores[tuned.stages_reached == 1].min()


SHORT_FIRST = (Stage(4, 20, 40), Stage(8, 100, 5), Stage(16, 100, 1))


def test_dropping_early_finds_what_whole_runs_find(key):
    early = tune(LinearRegression(), "momentum", num_samples=200, stages=SHORT_FIRST, num_rechecked=30, key=key)
    assert np.bincount(early.stages_reached).tolist() == [160, 35, 5]
    again = early.settings["dropped early, checked again"]
    assert again["settings checked"] == 30
    assert again["best of those that went on"] <= again["best of them"]
    assert 1.0 < early.optimizer.learning_rate < 8


def test_a_run_that_is_cut_short_is_scored_as_if_its_last_loss_stayed(key):
    tuned = tune(
        LinearRegression(), "gradient_descent", num_samples=200, stages=(Stage(8, 5, 9), Stage(1, 20, 1)), key=key
    )
    dropped = int(np.flatnonzero(tuned.stages_reached == 0)[np.argmin(tuned.scores[tuned.stages_reached == 0])])
    rule = GradientDescent(tuned.samples[dropped, 0])
    problems, keys = sample_problems(LinearRegression(), Purpose.TUNE.key(key), 9)
    first = jax.tree.map(lambda array: array[:8], problems)
    losses = rollout_batch(LinearRegression(), first, rule, num_steps=5, keys=keys[:8]).losses
    held = np.concatenate([losses, np.repeat(losses[:, -1:], 15, 1)], axis=1)
    np.testing.assert_allclose(tuned.scores[dropped], np.mean(meta_objective(held)), rtol=1e-3)


def test_a_search_that_was_cut_off_goes_on_to_the_same_scores(key, tmp_path):
    search = functools.partial(
        tune, LinearRegression(), "momentum", num_samples=64, stages=SHORT_FIRST, key=key, resume=True
    )
    whole = search(directory=tmp_path / "whole")

    def interrupt(what, done, total):
        if what.startswith("stage 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(directory=tmp_path / "cut", report=interrupt)
    with (tmp_path / "cut" / "log.jsonl").open("a") as log:
        log.write('{"chunk": [0, 1')
    resumed = search(directory=tmp_path / "cut")
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    assert resumed.winner == whole.winner
    with pytest.raises(ValueError, match="another num_samples"):
        tune(LinearRegression(), "momentum", num_samples=5, stages=SHORT_FIRST, key=key, directory=tmp_path / "cut",
             resume=True)  # fmt: skip


def test_a_search_goes_on_with_another_number_of_devices_and_gives_every_sample_its_own_score(
    key, tmp_path, monkeypatch
):
    settings = {"num_samples": 40, "stages": (Stage(4, 20, 20), Stage(4, 20, 1)), "key": key, "directory": tmp_path}
    whole = tune(LinearRegression(), "momentum", **settings)
    lines = (tmp_path / "log.jsonl").read_text().splitlines(True)
    (tmp_path / "log.jsonl").write_text("".join(lines[:2]))
    one_device = jax.local_devices()[:1]
    monkeypatch.setattr(jax, "local_devices", lambda: one_device)
    resumed = tune(LinearRegression(), "momentum", resume=True, **settings)
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    assert resumed.winner == whole.winner
    assert (tmp_path / "log.jsonl").read_text().splitlines(True)[:2] == lines[:2]


def test_a_winner_on_the_edge_widens_the_range_and_says_so(key):
    tuned = tune(
        LinearRegression(),
        "gradient_descent",
        num_samples=60,
        stages=(Stage(8, 200, 32), Stage(8, 200, 1)),
        space={"learning_rate": Range(1e-4, 1e-3, "log")},
        key=key,
    )
    assert len(tuned.widened) >= 2
    assert "the winner lay on the edge of [0.0001, 0.001]" in tuned.widened[0]
    assert tuned.optimizer.learning_rate > 0.1


def test_when_everything_diverges_the_error_says_what_to_do(key):
    with pytest.raises(ValueError, match="search smaller learning rates"):
        tune(
            LinearRegression(),
            "gradient_descent",
            num_samples=5,
            stages=(Stage(4, 200, 1),),
            space={"learning_rate": Range(1e4, 1e5, "log")},
            key=key,
        )


@pytest.mark.parametrize("bounds", [Range(1e-3, 10.0, "log"), Range(0.0, 0.999, "one_minus_log")])
def test_a_range_maps_the_unit_interval_and_back(bounds):
    unit = np.linspace(0, 1, 7)
    values = bounds.from_unit(unit)
    np.testing.assert_allclose(values[[0, -1]], [bounds.low, bounds.high], atol=1e-12)
    np.testing.assert_allclose(bounds.to_unit(values), unit, atol=1e-9)
    assert bounds.widened(0.5, 0.02) is None
    assert bounds.widened(0.999, 0.02).high > bounds.high
