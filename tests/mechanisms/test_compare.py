"""Pairs that are the same, across frameworks, and pairs that differ in one thing."""

import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope import from_optax, from_torch
from optoscope.mechanisms.compare import Comparison, compare
from optoscope.optimizers import (
    AbstractOptimizer,
    Adam,
    AggregatedMomentum,
    GradientDescent,
    Momentum,
    NesterovMomentum,
)

torch = pytest.importorskip("torch")


def of(name, **settings):
    return lambda: from_torch(lambda params: getattr(torch.optim, name)(params, **settings))


def tx(transformation):
    return lambda: from_optax(transformation)


SAME = {
    "gradient descent": (tx(optax.sgd(0.1)), lambda: GradientDescent(0.1)),
    "gradient descent in torch": (tx(optax.sgd(0.1)), of("SGD", lr=0.1)),
    "heavy ball": (tx(optax.sgd(0.1, momentum=0.9)), of("SGD", lr=0.1, momentum=0.9)),
    "heavy ball of one's own": (tx(optax.sgd(0.1, momentum=0.9)), lambda: Momentum(0.1, 0.9)),
    "Nesterov": (tx(optax.sgd(0.1, momentum=0.9, nesterov=True)), of("SGD", lr=0.1, momentum=0.9, nesterov=True)),
    "Nesterov of one's own": (lambda: NesterovMomentum(0.1, 0.9), of("SGD", lr=0.1, momentum=0.9, nesterov=True)),
    "heavy ball as a mode": (lambda: AggregatedMomentum([0.1], [0.9]), lambda: Momentum(0.1, 0.9)),
    "RMSprop": (tx(optax.rmsprop(0.1, decay=0.99, eps=0.01, eps_in_sqrt=False)), of("RMSprop", lr=0.1, eps=0.01)),
    "centered RMSprop": (
        tx(optax.rmsprop(0.1, decay=0.9, eps=1e-3, centered=True, eps_in_sqrt=False)),
        of("RMSprop", lr=0.1, alpha=0.9, eps=1e-3, centered=True),
    ),
    "Adam": (tx(optax.adam(1e-3)), of("Adam", lr=1e-3)),
    "Adam with other decays": (tx(optax.adam(1e-3, b1=0.8, b2=0.95)), of("Adam", lr=1e-3, betas=(0.8, 0.95))),
    "AdamW without decay": (tx(optax.adamw(1e-3, weight_decay=0.0)), of("AdamW", lr=1e-3, weight_decay=0.0)),
    "AdamW and Adam": (of("AdamW", lr=1e-3, weight_decay=0.0), of("Adam", lr=1e-3)),
    "Adagrad": (
        tx(optax.chain(optax.scale_by_rss(initial_accumulator_value=1e-30, eps=1e-30), optax.scale(-0.1))),
        of("Adagrad", lr=0.1, eps=1e-15),
    ),
    "Adadelta": (tx(optax.adadelta(1.0, rho=0.9, eps=1e-6)), of("Adadelta", lr=1.0, rho=0.9, eps=1e-6)),
    "NAdam without its schedule": (tx(optax.adam(1e-3, nesterov=True)), tx(optax.nadam(1e-3))),
    "two signs": (tx(optax.chain(optax.trace(0.9), optax.scale(0.1), optax.scale(-1.0))), lambda: Momentum(0.1, 0.9)),
    "order of constants": (
        tx(optax.chain(optax.scale(0.1), optax.trace(0.9), optax.scale(-1.0))),
        lambda: Momentum(0.1, 0.9),
    ),
    "clipping twice": (
        tx(optax.chain(optax.clip(2.0), optax.clip(1.0), optax.sgd(0.1))),
        tx(optax.chain(optax.clip(1.0), optax.sgd(0.1))),
    ),
    "a constant schedule": (tx(optax.sgd(optax.constant_schedule(0.1))), tx(optax.sgd(0.1))),
}


@pytest.mark.parametrize("name", SAME)
def test_pairs_that_are_the_same_are_said_to_be(name):
    first, second = (make() for make in SAME[name])
    gradients = (1e-6, 1e4) if name == "Adagrad" else None
    found = compare(first, second, num_steps=60, gradients=gradients)
    assert found.same and found.first_step is None and not found.mechanism
    assert "are the same" in found.summary and max(found.difference.values()) < found.tolerance


class Drop(AbstractOptimizer):
    """A rate that falls to a tenth at step 1, before or behind momentum."""

    before: bool

    def initial_state(self):
        return jnp.zeros(2)

    def step(self, h, g):
        rate = jnp.where(h[1] < 1, 1.0, 0.1)
        v = 0.9 * h[0] + (rate * g if self.before else g)
        return jnp.stack([v, h[1] + 1]), -0.1 * (v if self.before else rate * v)


DIFFERENT = {
    "rate": (tx(optax.sgd(0.1)), tx(optax.sgd(0.11)), "learning rate", 1),
    "rate with momentum": (lambda: Momentum(0.1, 0.9), lambda: Momentum(0.2, 0.9), "learning rate", 1),
    "decay": (lambda: Momentum(0.1, 0.9), lambda: Momentum(0.1, 0.8), "memory", 2),
    "no momentum": (lambda: Momentum(0.1, 0.9), lambda: GradientDescent(0.1), "memory", 2),
    "dampening": (of("SGD", lr=0.1, momentum=0.9), of("SGD", lr=0.1, momentum=0.9, dampening=0.5), "learning rate", 2),
    "clipping": (tx(optax.sgd(0.1)), tx(optax.chain(optax.clip(1.0), optax.sgd(0.1))), "static map", 1),
    "threshold": (
        tx(optax.chain(optax.clip(1.0), optax.sgd(0.1))),
        tx(optax.chain(optax.clip(2.0), optax.sgd(0.1))),
        "static map",
        1,
    ),
    "clipping before momentum": (
        tx(optax.sgd(0.1, momentum=0.9)),
        tx(optax.chain(optax.clip(1.0), optax.sgd(0.1, momentum=0.9))),
        "static map",
        1,
    ),
    "where eps stands": (of("RMSprop", lr=0.1, eps=0.01), tx(optax.rmsprop(0.1, decay=0.99, eps=0.01)), "gain", 1),
    "eps": (tx(optax.rmsprop(0.1, eps=1e-4)), tx(optax.rmsprop(0.1, eps=1e-2)), "gain", 1),
    "decay of squares": (tx(optax.adam(1e-3, b2=0.99)), tx(optax.adam(1e-3, b2=0.9)), "gain", 2),
    "bias correction": (tx(optax.adam(1e-3, b2=0.9)), lambda: Adam(1e-3, 0.9, 0.9, 1e-8), "learning rate", 1),
    "adaptation": (tx(optax.sgd(0.1)), tx(optax.adagrad(0.1)), "gain", 1),
    "schedule": (tx(optax.sgd(0.1)), tx(optax.sgd(optax.linear_schedule(0.1, 0.01, 50))), "learning rate", 2),
    "warm-up": (tx(optax.sgd(0.1)), tx(optax.sgd(optax.linear_schedule(0.0, 0.1, 10))), "learning rate", 1),
    "place of a schedule": (lambda: Drop(True), lambda: Drop(False), "learning rate", 2),
    "direction": (tx(optax.sgd(0.1)), tx(optax.sgd(-0.1)), "learning rate", 1),
    "sign": (tx(optax.sgd(0.1)), tx(optax.sign_sgd(0.1)), "static map", 1),
    "delay": (lambda: Momentum(0.1, 0.9), tx(optax.optimistic_gradient_descent(0.1)), "memory", 2),
    "decay of momentum in Adam": (tx(optax.adam(1e-3, b1=0.9)), tx(optax.adam(1e-3, b1=0.5)), "memory", 2),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_pairs_that_differ_in_one_thing_are_said_to_differ_in_it(name):
    make_first, make_second, mechanism, step = DIFFERENT[name]
    found = compare(make_first(), make_second(), num_steps=60, gradients=(1e-4, 1e2))
    assert not found.same and mechanism in found.mechanism
    assert found.first_step == step


def test_where_two_part_is_told_with_numbers(tmp_path):
    found = compare(Momentum(0.1, 0.9), Momentum(0.1, 0.8), num_steps=50, names=("mine", "yours"))
    assert "mine" in found.summary and "0.80" in found.summary and "step 2" in found.summary
    row = found.first_updates - found.second_updates
    assert row[0] == 0 and row[found.first_step - 1] != 0
    json.dumps(found.to_json(), allow_nan=False)
    again = Comparison.load(found.save(tmp_path / "comparison.npz"))
    np.testing.assert_array_equal(again.first_updates, found.first_updates)
    with pytest.raises(ValueError, match="increasing"):
        compare(Momentum(0.1, 0.9), Momentum(0.1, 0.8), gradients=(1.0, 0.1))


def test_whole_optimizers_are_compared_with_what_ties_them_together():
    one, same, other = (optax.adamw(1e-3, weight_decay=w) for w in (0.1, 0.1, 0.01))
    assert compare(one, same, num_steps=20).same
    found = compare(one, other, num_steps=20)
    assert not found.same and found.first_step is None and found.mechanism == "decay"
    assert "decay: the first has decoupled weight decay: 0.0001" in found.summary
