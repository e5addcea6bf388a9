"""The search over meta-training's settings: everything recorded, nothing computed twice, resumable."""

import json

import pytest

from optoscope.tasks import LinearRegression
from optoscope.training import MetaTrainConfig, search
from optoscope.training.search import FACTORS

TINY = MetaTrainConfig(
    num_units=3, num_steps=10, batch_size=4, num_meta_steps=8, num_validation_problems=8, validate_every=2,
    learning_rate=1e-2, num_snapshots=3,
)  # fmt: skip
ROUNDS = {"shares": (0.25, 1.0), "kept": 0.4, "num_samples": 3}


def test_a_search_records_every_sample_and_lets_the_best_go_on(key, tmp_path):
    best, results = search(LinearRegression(), config=TINY, key=key, directory=tmp_path, widths=(3, 5), **ROUNDS)
    assert sorted(one.sample for one in results) == [0, 1, 2]
    assert [one.num_meta_steps for one in results] == [8, 8, 2]
    assert results[0].validation == best.metrics["best_validation"] == min(r.validation for r in results[:2])
    first = next(one for one in results if one.sample == 0)
    assert first.settings == {}  # the first sample is the configuration itself
    other = next(one for one in results if one.sample == 1)
    assert other.settings["num_units"] in (3, 5)
    for name, (low, high) in FACTORS.items():
        assert low <= other.settings[name] / getattr(TINY, name) <= high
    recorded = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [one["sample"] for one in recorded] == [one.sample for one in results]


def test_a_search_that_was_cut_off_goes_on_to_the_same_results(key, tmp_path):
    rounds = {**ROUNDS, "num_samples": 2}
    whole = search(LinearRegression(), config=TINY, key=key, directory=tmp_path / "whole", **rounds)[1]
    count = []

    def interrupt(what, done, total):
        count.append(what)
        if len(count) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(LinearRegression(), config=TINY, key=key, directory=tmp_path / "cut", report=interrupt, **rounds)
    with pytest.raises(FileExistsError, match="--resume"):
        search(LinearRegression(), config=TINY, key=key, directory=tmp_path / "cut", **rounds)
    resumed = search(LinearRegression(), config=TINY, key=key, directory=tmp_path / "cut", resume=True, **rounds)[1]
    assert [(one.sample, one.validation) for one in resumed] == [(one.sample, one.validation) for one in whole]
