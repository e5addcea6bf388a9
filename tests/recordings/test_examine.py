"""Each planted fault is found by name from 24 recorded steps, and none in a clean run; the page says so."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")

import torch

from optoscope.recordings import examine, read_recording
from optoscope.recordings.findings import spikes
from optoscope.recordings.identify import identify
from optoscope.recordings.page import write_examination
from optoscope.recordings.watching import look, write_scalars
from tests.recordings.plants import one_cycle, train

#: What each plant is called when it is found.
NAMES = {
    "counter stands still": "counter stands still",
    "momentum reset by a resume": "memory lost",
    "schedule stepped twice": "schedule stepped twice",
    "clipped before unscaling": "clipped before unscaling",
    "another rate": "another rate",
    "coupled decay": "coupled decay",
    "bfloat16": "short state",
}


@pytest.mark.parametrize("plant", ["none", *NAMES])
def test_each_plant_is_found_by_name_and_no_other(tmp_path, plant):
    train(tmp_path, plant)
    found = examine(tmp_path)
    assert set(found.names()) & set(NAMES.values()) == ({NAMES[plant]} if plant in NAMES else set()), found
    assert found.explained > 0.999 and "mean square" in found.rule


@pytest.mark.parametrize("clip", [0.125, 0.333, 0.5])
def test_clipping_before_unscaling_is_found_at_any_norm(tmp_path, clip):
    train(tmp_path / "wrong", "clipped before unscaling", clip=clip)
    assert "clipped before unscaling" in examine(tmp_path / "wrong").names()
    train(tmp_path / "right", clip=clip)
    assert "clipped before unscaling" not in examine(tmp_path / "right").names()


OTHERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, alpha=0.95),
    "RMSprop with momentum": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.85, 0.98)),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_lost_memory_is_found_of_any_rule_also_where_its_decay_is_scheduled(tmp_path, make):
    train(tmp_path, "momentum reset by a resume", make=make, schedule=one_cycle, steps=20)
    found = examine(tmp_path)
    assert set(found.names()) & set(NAMES.values()) == {"memory lost"} and found.explained > 0.999, found
    assert "scheduled momentum" in found.names()


def test_the_rule_its_numbers_and_its_mechanisms_are_found(tmp_path):
    train(tmp_path, clip=0.05)
    r = read_recording(tmp_path)
    found = identify(r)
    assert found.rule.b1 == 0.9 and found.rule.b2 == 0.999 and found.rule.clock == "runs" and not found.resets
    assert found.rates[0] == pytest.approx(1, abs=1e-3) and found.decays[0] == pytest.approx(0.05, rel=0.01)
    examined = examine(r, expect="torch.optim:AdamW(lr=0.02, weight_decay=0.05)")
    assert {"not as expected", "other learning rate", "clipping"} <= set(examined.names())
    assert [one["name"] for one in examined.mechanisms] == [
        "momentum", "adaptation", "clipping", "schedule", "weight decay",
    ]  # fmt: skip
    momentum = examined.mechanisms[0]
    assert 0 < momentum["value"] < 1 and -1 <= momentum["turned"] <= 1
    assert examined.signal_to_noise > 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: torch.optim.SGD(p, lr=0.05), "the present gradient"),
        (lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), "momentum with decay 0.9"),
        (lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True), "Nesterov"),
        (lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.8), "decay 0.8, of gradients divided by the root"),
        (lambda p: torch.optim.RMSprop(p, lr=1e-3), "the present gradient, divided by the root of the mean square"),
        (lambda p: torch.optim.Adagrad(p, lr=1e-2), "sum of all squares"),
        (lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.7, 0.95)), "decay 0.7, divided by the root"),
    ],
)
def test_other_rules_are_found(tmp_path, make, words):
    train(tmp_path, make=make, steps=12)
    found = identify(read_recording(tmp_path))
    assert words in str(found.rule) and found.explained > 0.999 and found.rates[0] == pytest.approx(1, abs=1e-2)


def test_a_rule_that_is_none_of_ours_is_said_to_be_none(tmp_path):
    train(tmp_path, make=lambda p: torch.optim.Rprop(p, lr=1e-3), steps=12)
    found = examine(tmp_path)
    assert "none of the rules tried" in " ".join(found.sentences()) and found.mechanisms == []


def test_the_page_needs_nothing_else_and_shows_each_finding(tmp_path):
    train(tmp_path / "run", "schedule stepped twice")
    found = examine(tmp_path / "run")
    page, data, *pictures = write_examination(found, tmp_path / "out")
    text = page.read_text()
    assert "the scheduler moves twice" in text and "http://" not in text and "https://" not in text
    assert {path.stem for path in pictures} == {"loss", "learning_rate", "clipping", "layers", "updates"}
    assert data.exists() and len(found.plot().axes) == 5 and found.to_json()["findings"] == found.findings
    assert type(found).load(found.save(tmp_path / "found.npz")).names() == found.names()


def test_a_run_is_watched_and_its_numbers_go_elsewhere(tmp_path):
    train(tmp_path, "schedule stepped twice")
    standing = look(tmp_path)
    assert standing.num_steps == 24 and any("! the scheduler moves twice" in line for line in standing.lines())

    class Writer:
        def __init__(self):
            self.rows = []

        def log(self, numbers, step):
            self.rows.append((step, numbers))

    writer = Writer()
    write_scalars(read_recording(tmp_path), writer)
    assert len(writer.rows) == 24 and writer.rows[0][1]["optoscope/learning_rate"] == 0.01
    with pytest.raises(TypeError, match="has neither"):
        write_scalars(read_recording(tmp_path), object())


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([3, 2, 1, 1.4, 1.6, 1.7, 1.2, 2], [4, 7]),
        ([1, 0.5, np.nan, np.nan], [2]),
        ([np.nan, np.nan, 1, 0.9], []),
        ([1, np.inf, 1], [1]),
        ([np.nan, np.nan], []),
    ],
)
def test_spikes_are_where_a_loss_rises_above_its_lowest(losses, expected):
    assert spikes(np.array(losses, float)).tolist() == expected


def test_an_optimizer_that_was_run_is_diagnosed_and_seen_at_work(tmp_path):
    train(tmp_path, clip=0.05)
    spec = "torch.optim:AdamW(lr=0.01, weight_decay=0.05)"
    found = examine(tmp_path, optimizer=spec)
    did = {one["name"]: one for one in found.mechanisms}
    assert set(did) == {"momentum", "schedule", "adaptation", "decay"}
    assert did["momentum"]["sentence"].startswith("momentum with timescale 0.90: without it, updates change by")
    assert did["adaptation"]["value"] > 0.3 and did["adaptation"]["turned"] < 0.99
    assert 0 < did["decay"]["value"] < 0.1 < did["momentum"]["value"]
    (share,) = [one for one in found.findings if one["name"] == "explained"]
    assert 0.9 < share["value"] < 0.999  # the run's rate fell by the step, that of the optimizer given does not
    flat = examine(tmp_path, optimizer="optax.contrib:adopt(0.1)")
    assert not flat.mechanisms and "not explained" in flat.names()
