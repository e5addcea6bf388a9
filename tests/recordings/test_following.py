"""A rule is followed to the end of a run: what changes late is found, and nothing in a run that stays what it was."""

import re

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")

import torch

from optoscope.recordings import examine, read_recording, record
from optoscope.recordings.following import follow
from optoscope.recordings.identify import identify

STEPS = 300


def run(directory, *, at=None, what=None, make=None, steps=STEPS, rates=None, expect=None, megabytes=256.0):
    """Train a small network; at one step something happens to the optimizer."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    params = list(model.parameters())
    optimizer = (make or (lambda p: torch.optim.AdamW(p, lr=3e-3, weight_decay=0.02)))(params)
    draws = torch.Generator().manual_seed(1)
    with record(optimizer, directory, model=model, megabytes=megabytes):
        for step in range(steps):
            inputs = torch.randn(32, 5, generator=draws)
            if rates is not None:
                for group in optimizer.param_groups:
                    group["lr"] = rates(step)
            optimizer.zero_grad()
            (model(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
            if at is not None and step >= at:
                what(optimizer, step - at)
            optimizer.step()
    return examine(directory, expect=expect)


def forget(optimizer, since):
    if since == 0:
        optimizer.state.clear()


def stand_still(optimizer, _):
    for state in optimizer.state.values():
        state["step"].zero_()


def begin_again(optimizer, since):
    if since == 0:
        stand_still(optimizer, since)


def other_eps(optimizer, _):
    for group in optimizer.param_groups:
        group["eps"] = 0.1


LATE = {
    "memory lost": forget,
    "counter stands still": stand_still,
    "counter lost": begin_again,
    "other updates": other_eps,
}


@pytest.mark.parametrize("name", LATE)
def test_what_changes_late_is_found_with_its_step(tmp_path, name):
    found = run(tmp_path, at=200, what=LATE[name], expect="torch.optim:AdamW(lr=0.003, weight_decay=0.02)")
    by_name = {one["name"]: one for one in found.findings}
    assert set(LATE) & set(by_name) == {name}
    assert re.search(r"\bstep 200\b", by_name[name]["sentence"])
    assert "the updates of steps 0 to 199 are those of" in by_name["rule"]["sentence"]
    assert "as expected" not in by_name
    assert "from step 200 on" in by_name["not as expected"]["sentence"]


def test_a_run_that_stays_what_it_was_is_compared_to_its_end(tmp_path):
    found = run(tmp_path, expect="torch.optim:AdamW(lr=0.003, weight_decay=0.02)")
    by_name = {one["name"]: one["sentence"] for one in found.findings}
    assert not set(LATE) & set(by_name)
    assert by_name["rule"].startswith(f"the updates of steps 0 to {STEPS - 1} are those of")
    assert by_name["as expected"].startswith(f"the updates of steps 0 to {STEPS - 1} are those of torch.optim:AdamW")
    assert found.rule_steps.tolist() == list(range(STEPS)) and found.unexplained.max() < 1e-3


def test_where_steps_are_missing_it_goes_on_from_the_recorded_state(tmp_path):
    run(tmp_path, steps=2500, megabytes=2.0)
    recording = read_recording(tmp_path)
    assert len(recording.windows()) > 1
    followed = follow(recording, identify(recording))
    assert followed.departures == () and followed.last > 2400
    assert 128 < followed.compared < len(recording.kept_steps)


def test_a_run_that_was_started_anew_in_its_directory_is_told(tmp_path):
    run(tmp_path, steps=80)
    names = {one["name"]: one["sentence"] for one in run(tmp_path, steps=80).findings}
    assert "step 80 begins with other parameters" in names["other parameters"]
    assert "at step 80 the optimizer's memory was empty again" in names["memory lost"]


def warm_up(step):
    return 3e-3 * min((step + 1) / 20, 1 - 0.9 * step / STEPS)


@pytest.mark.parametrize("rate", [3e-3, 2e-3])
def test_a_schedule_is_no_difference_but_another_rate_is(tmp_path, rate):
    largest = max(map(warm_up, range(STEPS)))
    found = run(
        tmp_path, rates=warm_up, expect=f"torch.optim:AdamW(lr={largest if rate == 3e-3 else rate}, weight_decay=0.02)"
    )
    names = found.names()
    if rate == 3e-3:
        assert "as expected but for a schedule" in names and "not as expected" not in names
    else:
        assert {"not as expected", "other learning rate"} <= set(names)
        sentence = next(one["sentence"] for one in found.findings if one["name"] == "other learning rate")
        assert "0.002 was meant" in sentence


def test_decays_of_groups_are_told_apart(tmp_path):
    make = lambda p: torch.optim.AdamW(
        [{"params": p[::2], "weight_decay": 0.5}, {"params": p[1::2], "weight_decay": 0.0}], lr=3e-3
    )
    (rule,) = [one["sentence"] for one in run(tmp_path, make=make).findings if one["name"] == "rule"]
    assert "weight decay times the learning rate: 0.5 in group 0, none in group 1" in rule


def test_what_treats_components_together_cannot_be_expected_of_a_sample(tmp_path):
    run(tmp_path, steps=20)
    with pytest.raises(ValueError, match="its components depend on each other"):
        examine(tmp_path, expect="optax.contrib:muon(0.01)")


def test_spikes_of_single_batches_are_no_spikes_of_the_run():
    from optoscope.recordings.findings import noisy_spikes, spikes

    rng = np.random.default_rng(0)
    calm = np.exp(-np.arange(500) / 200) * rng.lognormal(0, 0.4, 500)
    assert len(spikes(calm)) > 20 and len(noisy_spikes(calm)) == 0
    broken = calm.copy()
    broken[300:340] *= 8
    assert 295 < noisy_spikes(broken)[0] < 310
    smooth = np.where(np.arange(200) == 100, 5.0, 1.0)
    assert noisy_spikes(smooth).tolist() == spikes(smooth).tolist() == [100]


def test_an_array_that_stops_is_told_with_its_step(tmp_path):
    def freeze(optimizer, _):
        optimizer.param_groups[0]["params"][0].grad = None

    found = run(tmp_path, at=30, what=freeze, steps=60, make=lambda p: torch.optim.SGD(p, lr=1e-3))
    (stopped,) = [one["sentence"] for one in found.findings if one["name"] == "updates stopped"]
    assert stopped == "0.weight gets no updates from step 30 on"
    assert found.layers[0]["rate"] == pytest.approx(1e-3, rel=1e-3)


def test_a_run_that_writes_nothing_any_more_is_said_to_have_stopped(tmp_path):
    import os
    import time

    from optoscope.recordings.watching import look

    run(tmp_path, steps=20)
    assert not look(tmp_path).has_stopped and not look(read_recording(tmp_path)).has_stopped
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 900,) * 2)
    assert any("nothing was written for 9" in line for line in look(tmp_path).lines())
