"""Whole torch optimizers: stacks, in the shape of optax, in a context, and a learned one of somebody else."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import optoscope
from optoscope.optimizers import Context, TorchStack, from_torch, whole_torch
from optoscope.optimizers._image import Image
from optoscope.whole import find_component, find_decay, find_rhythm, structure

optim = torch.optim


def cosine(optimizer):
    return optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)


def full_stack():
    return TorchStack(lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.01), scheduler=cosine, clip_norm=1.0)


def path_of(transformation, num_steps=20):
    params = {"a": jnp.ones((3, 2)), "b": jnp.ones(2)}

    def step(carry, _):
        params, state = carry
        updates, state = transformation.update(jax.tree.map(lambda x: 3 * x, params), state, params)
        return (optax.apply_updates(params, updates), state), updates["a"][0, 0]

    return jax.lax.scan(step, (params, transformation.init(params)), None, length=num_steps)[1]


def test_a_stack_does_what_the_same_chain_of_optax_does():
    chain = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(0.1, 50), weight_decay=0.01)
    )
    found = jax.jit(lambda: path_of(whole_torch(full_stack())))()
    np.testing.assert_allclose(found, path_of(chain), rtol=1e-4, atol=3e-6)


def test_a_state_leads_to_the_same_update_however_often():
    transformation = whole_torch(lambda p: optim.Adam(p, lr=0.1))
    params = jnp.zeros(3)
    state = transformation.init(params)
    _, state = transformation.update(jnp.ones(3), state, params)
    first, _ = transformation.update(jnp.full(3, -2.0), state, params)
    transformation.update(jnp.full(3, 5.0), state, params)
    again, _ = transformation.update(jnp.full(3, -2.0), state, params)
    assert first.tolist() == again.tolist()


def test_a_whole_torch_optimizer_runs_on_a_task():
    task = optoscope.tasks.get("linear_regression")
    problem = task.sample(jax.random.key(0))
    transformation = whole_torch(TorchStack(lambda p: optim.SGD(p, lr=0.1), clip_norm=1.0))
    run = optoscope.rollout(task, problem, transformation, num_steps=10, key=jax.random.key(1))
    assert run.losses[-1] < run.losses[0]


def test_a_script_gives_its_own_optimizer_scheduler_and_clipping():
    model = torch.nn.Linear(3, 2)
    groups = [{"params": [model.weight], "weight_decay": 0.1}, {"params": [model.bias], "weight_decay": 0.0}]
    optimizer = optim.SGD(groups, lr=0.5)
    stack = TorchStack(optimizer, scheduler=optim.lr_scheduler.StepLR(optimizer, 2), clip_norm=1.0)
    x = torch.zeros(1)
    running = stack([x])
    moves = []
    for _ in range(4):
        before, x.grad = x.clone(), torch.full((1,), 4.0)
        running.step()
        moves.append(float((x - before)[0]))
    assert moves[0] == pytest.approx(-0.5, rel=1e-5)  # torch clips to 1 / (norm + 1e-6)
    assert moves[2] == pytest.approx(-0.05 * (1 - 0.1 * 0.975), rel=1e-3)
    assert find_decay(TorchStack(optimizer)).size == pytest.approx(0.1, rel=1e-2)
    assert find_decay(TorchStack(optimizer).with_group(1)).kind == "none"
    assert optimizer.state == {} and optimizer.param_groups[0]["lr"] == 0.5  # the script's own is not touched


def test_accumulation_is_a_period():
    stack = TorchStack(lambda p: optim.SGD(p, lr=0.1), accumulate=4)
    found = find_rhythm(stack)
    assert (found.period, found.gathers, found.noise) == (4, "mean", 0.0)
    rule = from_torch(stack)
    h, updates = rule.initial_state(), []
    for g in (1.0, 2.0, 3.0, 4.0):
        h, dx = rule.step(h, g)
        updates.append(float(dx))
    assert updates == [0.0, 0.0, 0.0, -0.25]


@pytest.mark.parametrize("settings", [{"clip_norm": 0.0}, {"clip_value": -1.0}, {"accumulate": 0}, {"group": 3}])
def test_bad_settings_of_a_stack_are_refused(settings):
    with pytest.raises(ValueError):
        TorchStack(optim.SGD([torch.zeros(1)], lr=0.1), **settings)


class Keeper:
    """Keeps things everywhere."""

    def __init__(self):
        self.count, self.list, self.inner = 0, [torch.zeros(2)], {"a": {"b": 1.5}}
        self.generator = torch.Generator()

    def change(self):
        self.count += 1
        self.list[0].add_(1)
        self.list.append(torch.rand(1, generator=self.generator))
        self.inner["a"]["b"] *= 2
        self.new = True


def test_an_image_puts_everything_back():
    keeper = Keeper()
    image = Image([keeper])
    keeper.change()
    first = copy.deepcopy(keeper.__dict__["list"])
    image.put_back()
    assert (keeper.count, keeper.inner, len(keeper.list), hasattr(keeper, "new")) == (0, {"a": {"b": 1.5}}, 1, False)
    assert keeper.list[0].tolist() == [0.0, 0.0]
    keeper.change()
    assert keeper.list[1].item() == first[1].item()


def test_a_component_among_others_reads_its_norm():
    context = Context(((2, 2),), gradients=1.0)
    rule = from_torch(TorchStack(lambda p: optim.SGD(p, lr=1.0), clip_norm=1.0), context=context)
    others = sum(float((part**2).sum()) for part in context.gradient(0))
    for g in (0.0, 0.5, 30.0):
        _, dx = rule.step(rule.initial_state(), g)
        assert float(dx) == pytest.approx(-g / max(np.sqrt(others + g**2), 1.0), rel=1e-5, abs=1e-7)


def test_weight_decay_leaves_a_component_by_itself():
    found = find_component(optim.AdamW)
    assert found.view == "context" and found.context is None
    assert found.optimizer.state_names == ("exp_avg", "exp_avg_sq", "step")


class LearnedByOthers(optim.Optimizer):
    """A small network on normalized features, as learned optimizers have: the test double of such a package."""

    def __init__(self, params, lr=1e-2):
        super().__init__(params, {"lr": lr, "step": 0})
        generator = torch.Generator().manual_seed(0)
        draw = lambda *shape: torch.randn(*shape, generator=generator)
        self.weights = draw(13, 8), draw(8, 2)
        self.decays = torch.tensor([0.1, 0.5, 0.9, 0.99, 0.999, 0.9999])

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["step"] += 1
            for x in group["params"]:
                state, g = self.state[x], x.grad.float()
                matrix = g.reshape(len(g), -1) if g.ndim else g.reshape(1, 1)
                if not state:
                    state["momentum"] = [torch.zeros_like(g) for _ in self.decays]
                    state["row"], state["column"] = torch.zeros(len(matrix)), torch.zeros(matrix.shape[1])
                for m, decay in zip(state["momentum"], self.decays):
                    m.mul_(decay).add_((1 - decay) * g)
                state["row"].mul_(0.9).add_(0.1 * matrix.square().mean(1))
                state["column"].mul_(0.9).add_(0.1 * matrix.square().mean(0))
                scale = torch.rsqrt(state["row"][:, None] * state["column"] / state["row"].mean() + 1e-12)
                factored = (matrix * scale).reshape(g.shape)
                features = torch.stack([g, x.float(), *state["momentum"], factored, factored.abs()], -1)
                features = features / (features.square().mean(tuple(range(g.ndim)), keepdim=True).sqrt() + 1e-8)
                time = torch.tanh(group["step"] / torch.tensor([10.0, 100.0, 1000.0])).expand(*g.shape, 3)
                out = torch.relu(torch.cat([features, time], -1) @ self.weights[0]) @ self.weights[1]
                x.sub_((group["lr"] * out[..., 0] * torch.exp(0.1 * out[..., 1])).to(x.dtype))


def test_a_learned_optimizer_of_others_goes_through_the_same_door():
    found = structure(LearnedByOthers, name="theirs")
    assert found.unit in ("row and column", "matrix") and found.reads["parameters"] > 0.01
    assert found.exponents["others"] == 0.0 and abs(found.exponents["all"]) < 0.01
    component = from_torch(LearnedByOthers, context=Context(((2, 2),)))
    assert {"step"} <= set(component.state_names) and component.num_states > 6


def test_a_script_with_groups_and_a_scheduler_for_each():
    model = torch.nn.Linear(3, 2)
    groups = [{"params": [model.weight], "weight_decay": 0.1}, {"params": [model.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, [lambda step: 0.5**step, lambda step: 0.25**step])
    stack = TorchStack(optimizer, scheduler=scheduler, clip_norm=1.0)
    for one, rate in ((stack, 0.5), (stack.with_group(1), 0.25)):
        running = one([torch.ones(2, 2, requires_grad=True)])
        running.params[0].grad = torch.ones(2, 2)
        running.step()
        assert running.param_groups[0]["lr"] == pytest.approx(1e-3 * rate)
