"""A torch run is recorded as it was, and is the same run with and without it."""

import gc
import subprocess
import sys
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")

from optoscope.recordings import read_recording, record  # noqa: E402


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Tanh(), torch.nn.Linear(4, 1))


INPUTS = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
TARGETS = INPUTS.sum(1, keepdim=True).sin()


def loss_of(model):
    return (model(INPUTS) - TARGETS).square().mean()


def train(model, optimizer, steps, *, passes=1, clip=None, scheduler=None):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(passes):
            loss = loss_of(model) / passes
            loss.backward()
        losses.append(passes * loss.item())
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return losses


def flat(model):
    return torch.cat([x.detach().reshape(-1) for x in model.parameters()]).numpy().copy()


def test_a_run_is_recorded_as_it_was(tmp_path):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    start = flat(model)
    with record(optimizer, tmp_path, model=model) as recorder:
        assert "at most 256 MB on disk" in repr(recorder)
        losses = train(model, optimizer, 5, passes=3, clip=0.1, scheduler=scheduler)
    found = read_recording(tmp_path)
    assert found.x.shape == (5, len(start)), "all components of a small model"
    np.testing.assert_array_equal(found.x[0].astype(np.float32), start)
    np.testing.assert_allclose(found.x[-1] + found.updates[-1], flat(model), rtol=1e-6)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5)
    assert (found.backward_passes == 3).all()
    np.testing.assert_allclose(found.setting("lr")[:, 0], [0.01, 0.01, 0.005, 0.005, 0.0025])
    assert found.scheduler_steps.tolist() == [0, 1, 2, 3, 4] and found.clocks[:, 0].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(found.gradient_norms, 0.1, rtol=1e-4)
    np.testing.assert_allclose(found.clip_factors, 0.1 / np.linalg.norm(found.raw_gradients, axis=1), rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found.updates, axis=1), found.update_norms, rtol=1e-4)
    assert set(found.state_names) == {"exp_avg", "exp_avg_sq"} and found.state_types == ["float32", "float32"]
    roles = [one["role"] for one in found.parameters]
    assert roles == ["weight", "bias", "normalization", "normalization", "weight", "bias"]
    assert not hasattr(torch.autograd.backward, "__wrapped__"), "torch is as it was"


def test_the_run_is_the_same_with_and_without_it(tmp_path):
    ends = []
    for recorded in (False, True):
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        if recorded:
            record(optimizer, tmp_path, components=8)  # nobody keeps what it returns
        train(model, optimizer, 4)
        ends.append(flat(model))
    np.testing.assert_array_equal(*ends)
    del optimizer, model
    gc.collect()
    assert len(read_recording(tmp_path).steps) == 4


def test_mixed_precision_closures_groups_and_what_gets_no_gradient(tmp_path):
    model = network()
    model[3].bias.requires_grad_(False)
    groups = [{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with record(optimizer, tmp_path / "scaled", model=model):
        for _ in range(3):
            optimizer.zero_grad()
            loss = loss_of(model)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    found = read_recording(tmp_path / "scaled")
    assert (found.loss_scales == 1024).all() and found.losses[-1] == pytest.approx(loss.item())
    there = np.isfinite(found.gradients).all(0)
    assert [found.parameters[i]["name"] for i in set(found.component_parameters[~there])] == ["3.bias"]
    np.testing.assert_allclose(found.raw_gradients[:, there], found.gradients[:, there], rtol=1e-5)
    np.testing.assert_allclose(found.clip_factors, 1.0, rtol=1e-5)
    assert found.setting("lr")[0].tolist() == [0.1, 0.5]
    rates = found.setting("lr")[0][found.component_groups]
    np.testing.assert_allclose(found.updates[:, there], (-rates * found.gradients)[:, there], atol=1e-7)

    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss

    with record(optimizer, tmp_path / "closure", model=model):
        optimizer.step(closure)
    found = read_recording(tmp_path / "closure")
    assert found.backward_passes[0] > 1 and np.isfinite(found.gradient_norms).all()


def test_norms_of_large_arrays_are_estimated_and_those_of_gradients_exact(tmp_path):
    large, small = (torch.nn.Parameter(torch.randn(size)) for size in ((500, 401), (7, 3)))
    before, scale = large.detach().clone(), torch.linspace(0, 1, 500)[:, None]
    optimizer = torch.optim.SGD([large, small], lr=0.5)
    with record(optimizer, tmp_path, components=64) as recorder:
        ((large * scale).sum() + small.square().sum()).backward()
        optimizer.step()
    assert recorder.memory < 4 * large.numel()
    found = read_recording(tmp_path)
    exact = [[x.norm().item() for x in (one, small)] for one in (before, large.grad)]
    assert found.layer_parameter_norms[0, 0] == pytest.approx(exact[0][0], rel=0.05)
    assert found.layer_gradient_norms[0, 0] == pytest.approx(exact[1][0], rel=1e-5)
    assert found.layer_update_norms[0, 0] == pytest.approx(0.5 * exact[1][0], rel=0.05)
    np.testing.assert_allclose(found.updates[0], -0.5 * found.gradients[0], atol=1e-6)


def test_a_second_session_goes_on_and_another_model_is_refused(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        with record(optimizer, tmp_path, model=model, every=2):
            train(model, optimizer, 4)
    found = read_recording(tmp_path)
    assert found.steps.tolist() == [0, 2, 4, 6] and found.sessions.tolist() == [0, 0, 1, 1]
    other = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="a recording of something else"):
        record(torch.optim.SGD(other.parameters(), lr=0.1), tmp_path)


def test_bad_calls_are_refused_before_anything_is_written(tmp_path):
    optimizer = torch.optim.SGD(network().parameters(), lr=0.01)
    for settings, words in (
        ({"every": 0}, "`every` must be a whole number from 1"),
        ({"components": 1}, "`components` must be"),
        ({"megabytes": 0.01}, "is too small"),
    ):
        with pytest.raises(ValueError, match=words):
            record(optimizer, tmp_path / "new", **settings)
    with pytest.raises(TypeError, match="takes a torch optimizer, got Linear"):
        record(torch.nn.Linear(1, 1), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_replicas_are_read_as_one(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        with record(optimizer, tmp_path, model=model):
            for _ in range(2 + int(rank)):
                loss = loss_of(model) * (1 + int(rank))
                loss.backward()
                optimizer.step()
    found = read_recording(tmp_path)
    assert found.steps.tolist() == [0, 1] and found.x.shape[1] == len(flat(model))
    assert found.losses[0] == pytest.approx(0.75 * loss.item())


def test_processes_that_share_gradients_are_read_as_one(tmp_path):
    script = """
        import sys, torch
        from optoscope.recordings import record
        rank, folder = int(sys.argv[1]), sys.argv[2]
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        shared = torch.nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with record(optimizer, f"{folder}/run", model=model):
            for _ in range(6):
                optimizer.zero_grad()
                (shared(torch.eye(3)) - rank).square().mean().backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
                optimizer.step()
        torch.distributed.destroy_process_group()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    started = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [one.wait(timeout=600) for one in started] == [0, 0]
    found = read_recording(tmp_path / "run")
    assert len(found.steps) == 6 and len(list((tmp_path / "run").glob("process-*.json"))) == 2
    np.testing.assert_allclose(found.gradient_norms, 0.01, rtol=1e-3)
    raw = np.linalg.norm(found.raw_gradients, axis=1)
    np.testing.assert_allclose(found.clip_factors, 0.01 / raw, rtol=1e-3, err_msg="raw gradients are averaged already")
    torch.manual_seed(0)
    outputs = torch.nn.Linear(3, 1)(torch.eye(3)).detach()
    first = np.mean([(outputs - rank).square().mean() for rank in range(2)])
    assert found.losses[0] == pytest.approx(first, rel=1e-5)


def test_a_killed_run_keeps_what_is_older_than_seconds(tmp_path):
    script = """
        import os, sys, time, torch
        from optoscope.recordings import files, record
        files.SECONDS = 0.01
        model = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder = record(optimizer, sys.argv[1], model=model)
        for _ in range(20):
            model(torch.ones(2, 3)).square().mean().backward()
            optimizer.step()
            time.sleep(0.02)
        assert "jax" not in sys.modules
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], timeout=600)
    assert done.returncode == -9
    assert len(read_recording(tmp_path).steps) >= 17
