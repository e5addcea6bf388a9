"""`from_torch`: torch's own numbers, contracts of every rule, derivatives, clocks, and what is refused."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from optoscope import as_rule, dynamics, load
from optoscope.optimizers import from_torch, lift
from optoscope.torch_optimizer import LearnedOptimizer

optim = torch.optim


class Detached(optim.Optimizer):
    """A stranger's momentum: works on `.data`, which hides its derivatives, and counts with a Python number."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        for group in self.param_groups:
            for x in group["params"]:
                state = self.state[x]
                if not state:
                    state.update(mean=torch.zeros_like(x), count=0)
                state["count"] += 1
                state["mean"].mul_(0.9).add_(x.grad.detach())
                x.data.add_(torch.tanh(state["mean"]), alpha=-group["lr"] / (1 + 1 / state["count"]))


class Decaying(optim.SGD):
    """The learning rate is part of the group and shrinks at each step."""

    def step(self, closure=None):
        self.param_groups[0]["lr"] *= 0.99
        super().step()


#: Every component-wise rule: what makes it, and its state.
RULES = {
    "sgd": (lambda p: optim.SGD(p, lr=0.1), ()),
    "sgd, maximizing": (lambda p: optim.SGD(p, lr=0.1, maximize=True), ()),
    "momentum": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), ("momentum_buffer",)),
    "nesterov": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), ("momentum_buffer",)),
    "dampening": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3), ("momentum_buffer", "started")),
    "rmsprop": (lambda p: optim.RMSprop(p, lr=0.01), ("square_avg",)),
    "rmsprop, all of it": (
        lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
        ("square_avg", "momentum_buffer", "grad_avg"),
    ),
    "adam": (lambda p: optim.Adam(p, lr=0.01), ("exp_avg", "exp_avg_sq", "step")),
    "amsgrad": (
        lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
        ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"),
    ),
    "adam, fused": (lambda p: optim.Adam(p, lr=0.01, fused=True), ("exp_avg", "exp_avg_sq", "step")),
    "adamw without decay": (lambda p: optim.AdamW(p, weight_decay=0.0), ("exp_avg", "exp_avg_sq", "step")),
    "adamax": (lambda p: optim.Adamax(p, lr=0.01), ("exp_avg", "exp_inf", "step")),
    "nadam": (lambda p: optim.NAdam(p, lr=0.01), ("exp_avg", "exp_avg_sq", "step")),
    "radam": (lambda p: optim.RAdam(p, lr=0.01), ("exp_avg", "exp_avg_sq", "step")),
    "rprop": (lambda p: optim.Rprop(p, lr=0.01), ("prev", "step_size")),
    "asgd without decay": (lambda p: optim.ASGD(p, lr=0.01, lambd=0.0), ()),
    "adagrad": (lambda p: optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1), ("sum",)),
    "adagrad, decaying": (lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1), ("sum", "step")),
    "adadelta": (lambda p: optim.Adadelta(p), ("square_avg", "acc_delta")),
    "of a stranger": (Detached, ("mean", "step")),
    "decaying": (lambda p: Decaying(p, lr=0.1), ("step",)),
}
SINGLE_PRECISION = ("dampening", "amsgrad", "nadam")
NUM_STEPS, NUM_COMPONENTS = 200, 7


@functools.cache
def made(name, clock="run"):
    return from_torch(RULES[name][0], clock=clock)


def gradients_of_many_sizes(dtype):
    rng = np.random.default_rng(3)
    sizes = 10.0 ** rng.integers(-3, 3, (NUM_STEPS, 1))
    return (sizes * rng.standard_normal((NUM_STEPS, NUM_COMPONENTS))).astype(dtype)


def updates_of_torch(factory, gradients, start, *, put_back):
    x = torch.tensor(start)
    optimizer = factory([x])
    found = []
    for g in gradients:
        before = x.clone()
        x.grad = torch.tensor(g)
        optimizer.step()
        found.append((x - before).numpy() if put_back else x.numpy().copy())
        if put_back:
            x.copy_(torch.tensor(start))
    return np.array(found)


@pytest.mark.parametrize(
    "name,dtype", [*((name, "float64") for name in RULES), *((name, "float32") for name in SINGLE_PRECISION)]
)
def test_over_200_steps_it_is_torch(name, dtype):
    gradients = gradients_of_many_sizes(dtype)
    zeros, start = np.zeros(NUM_COMPONENTS, dtype), np.linspace(-1, 1, NUM_COMPONENTS).astype(dtype)
    with jax.enable_x64(dtype == "float64"):
        optimizer = made(name)
        h = jnp.tile(optimizer.initial_state(), (NUM_COMPONENTS, 1))
        assert h.dtype == dtype
        run = jax.jit(lambda h, g: jax.lax.scan(lambda h, g: optimizer.step_components(h, g), h, g)[1])
        updates = np.asarray(run(h, gradients))
    assert updates.dtype == dtype
    # To the last bit where the parameters stay at zero; else they round the sum.
    np.testing.assert_array_equal(updates, updates_of_torch(RULES[name][0], gradients, zeros, put_back=True))
    path = updates_of_torch(RULES[name][0], gradients, start, put_back=False)
    scale = np.abs(path).max() + np.abs(updates).sum(0).max()
    np.testing.assert_allclose(
        start + np.cumsum(updates, 0), path, rtol=0, atol=NUM_STEPS * np.finfo(dtype).eps * scale
    )


def visited(name):
    """States after a few gradients of order 1, away from what is singular at 0, and another gradient; in float64."""
    optimizer = made(name)
    h = jnp.tile(optimizer.initial_state(), (4, 1))
    rng = np.random.default_rng(5)
    for g in rng.uniform(0.5, 2.0, (7, 4)):
        h, _ = optimizer.step_components(h, jnp.asarray(g))
    return optimizer, h, jnp.asarray(rng.uniform(0.5, 2.0, 4))


@pytest.mark.parametrize("name", RULES)
def test_the_contract_of_a_rule(name):
    with jax.enable_x64(True):
        optimizer, h, g = visited(name)
        assert optimizer.state_names == RULES[name][1]
        assert optimizer.num_states == len(RULES[name][1])
        loop = [optimizer.step(row, each) for row, each in zip(h, g)]
        expected = np.array([row for row, _ in loop]), np.array([dx for _, dx in loop])
        for step in (optimizer.step_components, jax.vmap(optimizer.step), jax.jit(jax.vmap(optimizer.step))):
            for found, value in zip(step(h, g), expected):
                assert found.shape == value.shape and found.dtype == jnp.float64
                np.testing.assert_allclose(found, value, rtol=1e-14)


@pytest.mark.parametrize("name", RULES)
def test_derivatives_are_those_of_the_update(name):
    with jax.enable_x64(True):
        optimizer, h, g = visited(name)
        clocks = [each in ("step", "mu_product", "started", "count", "lr") for each in optimizer.state_names]
        row, size = np.append(h[0], g[0]), optimizer.num_states + 1
        widths = 1e-5 * np.maximum(np.abs(row), 1e-3)
        ends = [
            np.column_stack(optimizer.step_components(jnp.asarray(moved[:, :-1]), jnp.asarray(moved[:, -1])))
            for moved in (row + np.diag(widths), row - np.diag(widths))
        ]
        expected = ((ends[0] - ends[1]) / (2 * widths[:, None])).T
        expected[[*clocks, False]] = expected[:, [*clocks, False]] = 0.0  # clocks are constants

        def step(z):
            return jnp.append(*optimizer.step(z[:-1], z[-1]))

        forward = jax.jacfwd(step)(jnp.asarray(row))
        np.testing.assert_allclose(forward, expected, rtol=1e-5, atol=1e-9)  # of differences, where v is near 0
        weights = np.random.default_rng(1).standard_normal(size)
        backward = jax.grad(lambda z: weights @ step(z))(jnp.asarray(row))
        np.testing.assert_allclose(backward, weights @ forward, rtol=1e-12, atol=1e-14)
    assert optimizer.derivatives == ("differences" if name == "of a stranger" else "forward mode")


def test_second_derivatives_are_refused():
    optimizer = made("adam")
    with pytest.raises(NotImplementedError, match="take differences of the first ones"):
        jax.hessian(lambda g: optimizer.step(jnp.ones(3), g)[1])(1.0)


def test_dynamics_sees_momentum_inside_torch():
    optimizer = made("momentum")
    points = dynamics.find_fixed_points(optimizer, gradient=[0.0, 1.0], seeds=[[0.0], [3.0]])
    assert np.all(points.converged)
    np.testing.assert_allclose(points.states, [[0.0], [10.0]], atol=1e-9)
    modes = dynamics.modes(dynamics.linearize(optimizer, [0.0], 0.0))
    np.testing.assert_allclose(modes.decays, [0.9], rtol=1e-12)
    np.testing.assert_allclose(modes.learning_rates, [0.1], rtol=1e-12)


def test_a_frozen_clock_is_not_part_of_the_state_and_has_forgotten_the_bias_correction():
    optimizer = made("adam", "frozen")
    assert (optimizer.clock, optimizer.clock_steps, optimizer.clock_values) == ("frozen", 100_000, (100_000.0,))
    assert optimizer.state_names == ("exp_avg", "exp_avg_sq") and not optimizer.has_running_clock
    points = dynamics.find_fixed_points(optimizer, gradient=[1.0], seeds=[[0.5, 0.5]])
    np.testing.assert_allclose(points.states, [[1.0, 1.0]], rtol=1e-9)
    _, dx = optimizer.step(jnp.array([0.0, 1.0]), 1.0)
    assert float(dx) == pytest.approx(-0.01 * 0.1, rel=1e-6)


@pytest.mark.parametrize("name", ["nadam", "decaying"])
def test_a_frozen_clock_is_the_running_one_held(name):
    frozen, running = from_torch(RULES[name][0], clock="frozen", clock_steps=300), made(name)
    assert frozen.clock_values == (300.0,) and frozen.num_states == running.num_states - 1
    own = jnp.full(frozen.num_states, 0.1)
    assert float(frozen.step(own, 1.0)[1]) == float(running.step(jnp.append(own, 300.0), 1.0)[1])


def test_components_with_different_clocks_keep_them():
    optimizer = made("adam")
    h, g = jnp.array([[0.1, 0.1, 1.0], [0.1, 0.1, 50.0], [0.2, 0.1, 1.0]]), jnp.ones(3)
    new, dx = jax.jit(optimizer.step_components)(h, g)
    assert new[:, 2].tolist() == [2.0, 51.0, 2.0]
    alone = [optimizer.step(row, 1.0)[1] for row in h]
    np.testing.assert_allclose(dx, alone, rtol=1e-6)


def test_many_components_in_a_loop_do_not_wait_for_each_other():
    optimizer = made("momentum")
    run = jax.jit(lambda h, g: jax.lax.scan(lambda h, _: optimizer.step_components(h, g), h, length=3)[0])
    assert run(jnp.zeros((200_000, 1)), jnp.ones(200_000))[-1].tolist() == [pytest.approx(2.71)]


def test_64_bits_arrive_although_jax_may_call_from_a_thread_of_its_own():
    optimizer = made("momentum")
    run = jax.jit(lambda h: jax.lax.scan(lambda h, _: optimizer.step_components(h, h[:, 0]), h, length=3)[1])
    with jax.enable_x64(True):
        updates = run(jnp.full((50_000, 1), 1 / 3))  # outside, where it is waited for, 64 bits are off
    assert np.unique(np.asarray(updates)[0]).tolist() == [-0.1 * (0.9 / 3 + 1 / 3)]


def test_it_is_lifted_and_may_have_no_components():
    transformation = lift(made("adam"))
    params = {"a": jnp.ones((2, 2)), "b": jnp.ones(())}
    updates, state = transformation.update(params, transformation.init(params))
    np.testing.assert_allclose(updates["a"], -0.01, rtol=1e-6)
    assert state.shape == (5, 3)
    nothing = jnp.zeros(0)
    updates, state = transformation.update(nothing, transformation.init(nothing))
    assert (updates.shape, state.shape) == ((0,), (0, 3))


def test_a_learned_optimizer_comes_back_from_torch():
    learned = load("linear_regression").optimizer
    returned = from_torch(lambda params: LearnedOptimizer(params, "linear_regression"))
    assert returned.state_names[:2] == ("hidden[0]", "hidden[1]") and returned.derivatives == "forward mode"
    with jax.enable_x64(True):
        h = jnp.asarray(learned.initial_state(), float)
        np.testing.assert_allclose(returned.initial_state(), h, rtol=1e-15)
        found, expected = (
            jax.jacfwd(optimizer.step, argnums=(0, 1))(h, jnp.asarray(0.3)) for optimizer in (returned, learned)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, expected)


class Norm(optim.SGD):
    """Clips by the norm over all parameters."""

    def step(self, closure=None):
        torch.nn.utils.clip_grad_norm_(self.param_groups[0]["params"], 1.0)
        super().step()


class Noise(optim.SGD):
    """Adds noise from torch's global generator."""

    def step(self, closure=None):
        super().step()
        for x in self.param_groups[0]["params"]:
            x.add_(1e-9 * torch.randn(x.shape))


class Memory(optim.SGD):
    """Keeps something where no state dictionary looks."""

    count = 0

    def step(self, closure=None):
        self.count += 1
        for x in self.param_groups[0]["params"]:
            x.grad = x.grad / self.count
        super().step()


class Summing(optim.SGD):
    """Its group has a number that depends on the gradients, its updates do not."""

    def step(self, closure=None):
        group = self.param_groups[0]
        group["total"] = group.get("total", 0.0) + sum(float(x.grad.sum()) for x in group["params"])
        super().step()


class Late(optim.SGD):
    """Decays its parameters from the twentieth step on."""

    count = 0

    def step(self, closure=None):
        self.count += 1
        super().step()
        if self.count > 20:
            for x in self.param_groups[0]["params"]:
                x.mul_(0.99)


class Accumulating(optim.SGD):
    """Takes a step with the mean of 32 gradients, which it keeps in a list of its own."""

    def __init__(self, params, **settings):
        super().__init__(params, **settings)
        self.kept = []

    def step(self, closure=None):
        params = self.param_groups[0]["params"]
        self.kept.append([x.grad.clone() for x in params])
        if len(self.kept) == 32:
            for x, *gradients in zip(params, *self.kept):
                x.grad = sum(gradients) / 32
            super().step()
            self.kept = []


def test_what_is_kept_anywhere_is_part_of_the_rule():
    assert from_torch(lambda p: Memory(p, lr=0.1)).state_names == ("step",)
    assert from_torch(lambda p: Summing(p, lr=0.1)).state_names == ()
    counted = from_torch(lambda p: Memory(p, lr=0.1))
    h, updates = counted.initial_state(), []
    for _ in range(3):
        h, dx = counted.step(h, 1.0)
        updates.append(float(dx))
    np.testing.assert_allclose(updates, [-0.1, -0.1 / 2, -0.1 / 3], rtol=1e-6)


def test_accumulation_over_32_gradients_is_seen():
    accumulating = from_torch(lambda p: Accumulating(p, lr=0.1))
    h, updates = accumulating.initial_state(), []
    for k in range(64):
        h, dx = accumulating.step(h, float(k))
        updates.append(float(dx))
    assert np.flatnonzero(updates).tolist() == [31, 63]
    np.testing.assert_allclose(updates[31::32], [-0.1 * 15.5, -0.1 * 47.5], rtol=1e-6)


REFUSED = {
    "decay": (lambda p: optim.SGD(p, lr=0.1, weight_decay=1e-9), r"reads the parameters: .* relative leak of \d"),
    "late decay": (lambda p: Late(p, lr=0.1), r"reads the parameters: .* relative leak of \d"),
    "adamw": (optim.AdamW, r"reads the parameters: .* relative leak of \d"),
    "asgd": (optim.ASGD, r"reads the parameters: .* relative leak of \d"),
    "norm": (Norm, r"together with others differs from its update alone by a relative leak of \d"),
    "noise": (Noise, r"draws random numbers: two runs differ by a relative \d"),
    "lbfgs": (optim.LBFGS, r"this one does not: .*"),
    "muon": (optim.Muon, r"cannot be made for a vector"),
    "sparse adam": (optim.SparseAdam, r"SparseAdam does not support dense gradients"),
    "adafactor": (optim.Adafactor, r"together with others differs from its update alone by a relative leak of \d"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_a_rule_of_one_component_is_refused_with_the_reason(name):
    factory, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        from_torch(factory)


@pytest.mark.parametrize("wrong", [3, lambda params: params])
def test_what_makes_no_optimizer_is_refused(wrong):
    with pytest.raises(TypeError):
        from_torch(wrong)


def test_bad_settings_are_not_taken_for_a_leak():
    with pytest.raises(ValueError, match=r"cannot be made of parameters .*Invalid learning rate: -1"):
        from_torch(lambda p: optim.SGD(p, lr=-1))


def test_states_in_half_precision_are_refused():
    with pytest.raises(ValueError, match="in float32 or float64, got bfloat16"):
        made("momentum").step(jnp.zeros(1, jnp.bfloat16), 1.0)


def test_the_command_line_names_torch_optimizers():
    assert as_rule("torch.optim:SGD(lr=0.1, momentum=0.9)").state_names == ("momentum_buffer",)
    with pytest.raises(ValueError, match=r"`from_torch` takes only"):
        as_rule("torch.optim:LBFGS()")


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import optoscope
from optoscope import as_optimizer
for attempt in (lambda: optoscope.from_torch(print), lambda: optoscope.LearnedOptimizer,
                lambda: as_optimizer("torch.optim:SGD(lr=0.1)")):
    try:
        attempt()
    except (ImportError, ValueError) as error:
        print(error)
"""


def test_without_torch_all_say_what_to_install():
    result = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, timeout=120)
    assert result.stdout.count('pip install "optoscope[torch]"') == 3, result.stdout + result.stderr
