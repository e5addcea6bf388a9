"""`LearnedOptimizer`: the numbers of JAX, and what torch expects of an optimizer."""

import copy
import io
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from optoscope import Save, load, rollout, shipped, tasks, torch_optimizer
from optoscope.torch_optimizer import LearnedOptimizer

#: Those whose task runs here in seconds.
LEARNED = [name for name in shipped() if "/" not in name and load(name).task != "mnist"]


@pytest.mark.parametrize("name", LEARNED)
def test_over_200_steps_of_its_own_task_the_numbers_are_those_of_jax(name):
    artifact = load(name)
    task = tasks.get(artifact.task)
    problem = jax.jit(lambda key: task.sample(key))(jax.random.key(4))
    kept = jnp.arange(min(200, sum(leaf.size for leaf in jax.tree.leaves(problem.initial_params))))
    save = Save(params=True, gradients=True, components=kept)
    run = jax.jit(lambda p: rollout(task, p, artifact.optimizer, num_steps=200, key=jax.random.key(5), save=save))(
        problem
    )
    params, gradients = np.array(run.params), np.array(run.gradients)
    x = torch.nn.Parameter(torch.tensor(params[0]))
    optimizer = LearnedOptimizer([x], name)
    path = []
    for g in gradients:
        path.append(x.detach().numpy().copy())
        x.grad = torch.tensor(g)
        optimizer.step()
    assert len(path) == 200 and np.abs(params[-1] - params[0]).max() > 0.01
    np.testing.assert_allclose(path, params, rtol=1e-5, atol=1e-5 * np.abs(params).max())


def test_in_closed_loop_torchs_own_gradients_lead_along_the_path_of_jax():
    network = load("rosenbrock").optimizer
    task = tasks.get("rosenbrock")
    problem = jax.jit(task.sample)(jax.random.key(0))
    run = jax.jit(lambda p: rollout(task, p, network, num_steps=200, key=jax.random.key(1), save=Save(params=True)))
    expected = np.array(run(problem).params)
    x = torch.nn.Parameter(torch.tensor(expected[0]))
    optimizer = LearnedOptimizer([x], "rosenbrock")
    for k in range(200):
        np.testing.assert_allclose(x.detach().numpy(), expected[k], rtol=0, atol=1e-4)
        optimizer.zero_grad()
        ((1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2).backward()
        optimizer.step()


def test_in_float64_it_agrees_to_rounding():
    network = load("linear_regression").optimizer
    gradients = np.random.default_rng(0).standard_normal((50, 6))
    with jax.enable_x64(True):
        h = jnp.tile(jnp.asarray(network.initial_state(), float), (6, 1))
        updates = np.asarray(
            jax.jit(lambda h: jax.lax.scan(lambda h, g: network.step_components(h, g), h, gradients)[1])(h)
        )
    x = torch.zeros(6, dtype=torch.float64)
    optimizer = LearnedOptimizer([x], "linear_regression")
    for g, dx in zip(gradients, updates):
        x.zero_().grad = torch.tensor(g)
        optimizer.step()
        np.testing.assert_allclose(x.numpy(), dx, rtol=1e-12, atol=1e-15)


def drive(optimizer, parameters, num_steps, seed=0):
    """Steps with gradients that depend on the parameters and on the step."""
    for k in range(num_steps):
        for i, x in enumerate(parameters):
            noise = torch.tensor(np.random.default_rng([seed, k, i]).standard_normal(tuple(x.shape)), dtype=x.dtype)
            x.grad = x.detach() + 0.1 * noise
        optimizer.step()


def parameters(*shapes):
    return [torch.nn.Parameter(torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape)) for shape in shapes]


def test_a_saved_state_goes_on_to_the_same_bits():
    first = parameters((3, 2), (4,), ())
    optimizer = LearnedOptimizer(first, "linear_regression", update_scale=0.01)
    drive(optimizer, first, 5)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "parameters": [x.detach() for x in first]}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second = [torch.nn.Parameter(x.clone()) for x in saved["parameters"]]
    resumed = LearnedOptimizer(second, "linear_regression")
    resumed.load_state_dict(saved["optimizer"])
    for each, params in ((optimizer, first), (resumed, second)):
        drive(each, params, 5, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert resumed.param_groups[0]["update_scale"] == 0.01


def test_a_state_of_other_weights_is_refused():
    x = parameters((2,))
    state = LearnedOptimizer(x, "rosenbrock").state_dict()
    with pytest.raises(ValueError, match=r"another optimizer's: its weights have the SHA-256 .* expected"):
        LearnedOptimizer(x, "linear_regression").load_state_dict(state)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_a_copy_goes_on_by_itself(duplicate):
    x = parameters((3,))
    optimizer = LearnedOptimizer(x, "linear_regression", update_scale=0.01)
    drive(optimizer, x, 3)
    twin = duplicate(optimizer)
    drive(optimizer, x, 3, seed=1)
    drive(twin, twin.param_groups[0]["params"], 3, seed=1)
    assert torch.equal(x[0], twin.param_groups[0]["params"][0])


def test_each_parameter_group_has_its_own_scales():
    a, b, c = parameters((3,), (2, 2), (5,))
    groups = [{"params": [a]}, {"params": [b], "gradient_scale": 3.0, "update_scale": 0.5}]
    optimizer = LearnedOptimizer(groups, "linear_regression", gradient_scale=2.0, update_scale=0.25)
    optimizer.add_param_group({"params": [c], "update_scale": 4.0})
    network = LearnedOptimizer(parameters((1,)), "linear_regression")._network
    for x, gradient_scale, update_scale in ((a, 2.0, 0.25), (b, 3.0, 0.5), (c, 2.0, 4.0)):
        start, g = x.detach().clone(), torch.full(x.shape, 0.3)
        x.grad = g
        weights = network.weights(x.dtype, x.device)
        _, dx = network.advance(weights, weights["initial"].repeat(x.numel(), 1), gradient_scale * g.reshape(-1))
        expected = start + update_scale * dx.reshape(x.shape)
        optimizer.step()
        x.grad = None
        torch.testing.assert_close(x.detach(), expected, rtol=1e-6, atol=1e-7)


def test_components_are_moved_by_themselves_however_they_are_arranged(monkeypatch):
    together, apart = parameters((5, 3)), parameters((5, 3))
    apart = [torch.nn.Parameter(row.clone()) for row in apart[0].detach().T]  # not contiguous before the copy
    optimizers = [LearnedOptimizer(params, "linear_regression") for params in (together, apart)]
    gradient = torch.linspace(-2, 2, 15).reshape(3, 5).T
    monkeypatch.setattr(torch_optimizer, "_BLOCK", 4)
    for _ in range(3):
        together[0].grad = gradient
        for x, g in zip(apart, gradient.T):
            x.grad = g
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(together[0].detach().T, torch.stack([x.detach() for x in apart]), rtol=1e-6, atol=1e-7)


def test_a_closure_is_run_with_gradients_and_its_loss_returned():
    (x,) = parameters((3,))
    optimizer = LearnedOptimizer([x], "linear_regression")

    def closure():
        optimizer.zero_grad()
        loss = x.square().sum()
        loss.backward()
        return loss

    before = x.detach().clone()
    assert float(optimizer.step(closure).detach()) == pytest.approx(float(before.square().sum()))
    assert not torch.equal(x, before)


def test_what_has_no_gradient_and_what_is_empty_stays():
    x, empty = parameters((3,), (0,))
    optimizer = LearnedOptimizer([x, empty], "linear_regression")
    empty.grad = torch.zeros(0)
    before = x.detach().clone()
    optimizer.step()
    assert torch.equal(x, before) and x not in optimizer.state


def test_everything_is_where_the_parameters_are():
    x = torch.nn.Parameter(torch.empty((4, 2), device="meta"))
    x.grad = torch.empty((4, 2), device="meta")
    optimizer = LearnedOptimizer([x], "rosenbrock")
    optimizer.step()
    assert optimizer.state[x]["hidden"].device.type == "meta"


def test_what_it_cannot_do_is_refused():
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = LearnedOptimizer(embedding.parameters(), "linear_regression")
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(TypeError, match="got a sparse one; make the layer with sparse=False"):
        optimizer.step()
    with pytest.raises(TypeError, match=r"must be float32 or float64, got torch.bfloat16"):
        LearnedOptimizer([torch.zeros(2, dtype=torch.bfloat16)], "linear_regression")
    for name in ("gradient_scale", "update_scale"):
        with pytest.raises(ValueError, match=rf"`{name}` must lie in \(0, inf\), got 0.0"):
            LearnedOptimizer(parameters((2,)), "linear_regression", **{name: 0.0})
    with pytest.raises(ValueError, match="is a tuned momentum, not a learned optimizer"):
        LearnedOptimizer(parameters((2,)), "linear_regression/momentum")
    with pytest.raises(FileNotFoundError, match="unknown optimizer 'rosenbrok'"):
        LearnedOptimizer(parameters((2,)), "rosenbrok")


def test_it_does_not_load_jax():
    code = (
        "import sys, torch, optoscope; x = torch.ones(2, requires_grad=True); x.square().sum().backward();"
        "optoscope.LearnedOptimizer([x], 'linear_regression').step(); print('jax' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "False", result.stderr
