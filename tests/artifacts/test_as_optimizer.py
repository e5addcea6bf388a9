"""The one way in: whatever a person has becomes an optimizer, for every public function."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optoscope
from optoscope import as_optimizer, as_rule
from optoscope.artifacts import load, shipped
from optoscope.artifacts.as_optimizer import _try_step, name_of_optimizer
from optoscope.artifacts.spec import parse_spec
from optoscope.optimizers import AbstractOptimizer, Momentum, TorchOptimizer
from optoscope.tasks import LinearRegression

torch = pytest.importorskip("torch")


def first_updates(optimizer, gradients=(1.0, -2.0)):
    h, found = optimizer.initial_state(), []
    for g in gradients:
        h, dx = optimizer.step(h, g)
        found.append(float(dx))
    return found


def sgd(params):
    return torch.optim.SGD(params, lr=0.1, momentum=0.9)


MOMENTA = {
    "own rule": lambda: Momentum(0.1, 0.9),
    "spec": lambda: "optoscope.optimizers:Momentum(0.1, decay=0.9)",
    "optax": lambda: optax.sgd(0.1, momentum=0.9),
    "spec of optax": lambda: "optax:sgd(0.1, momentum=0.9)",
    "function of nothing": lambda: lambda: optax.sgd(0.1, momentum=0.9),
    "torch optimizer": lambda: sgd([torch.zeros(2)]),
    "torch factory": lambda: sgd,
    "spec of torch": lambda: "torch.optim:SGD(lr=0.1, momentum=0.9)",
}


@pytest.mark.parametrize("name", MOMENTA)
def test_all_ways_lead_to_the_same_rule(name):
    rule = as_rule(MOMENTA[name]())
    assert isinstance(rule, AbstractOptimizer)
    np.testing.assert_allclose(first_updates(rule), [-0.1, 0.11], rtol=1e-6)


def test_names_paths_and_artifacts():
    by_name = as_optimizer("rosenbrock/momentum")
    for other in (shipped()["rosenbrock/momentum"], str(shipped()["rosenbrock/momentum"]), load("rosenbrock/momentum")):
        assert as_optimizer(other).decay == by_name.decay
    assert as_optimizer("rosenbrock").num_units == 32


def test_what_is_an_optimizer_stays_as_it_is():
    rule, transformation = Momentum(0.1, 0.9), optax.adam(0.1)
    assert as_optimizer(rule) is rule and as_rule(rule) is rule
    assert as_optimizer(transformation) is transformation


def test_a_class_of_torch_has_its_defaults():
    rule = as_rule(torch.optim.Adam)
    assert isinstance(rule, TorchOptimizer)
    np.testing.assert_allclose(first_updates(rule, (1.0,)), [-1e-3], rtol=1e-6)


def test_groups_with_different_settings_are_several_optimizers():
    two = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.1}, {"params": [torch.zeros(1)], "lr": 0.2}])
    with pytest.raises(ValueError, match="has 2 groups of parameters with different settings"):
        as_optimizer(two)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "an optimizer is a shipped name .* got int"),
        (None, "got NoneType"),
        (Momentum, r"Momentum was given without its settings; pass what it returns: Momentum\(...\)"),
        (optax.adam, r"adam was given without its settings; pass what it returns: adam\(...\)"),
        (lambda: 3, "the function gave a int"),
        (lambda params: 3, "but this makes a int"),
    ],
)
def test_what_is_none_of_these(given, message):
    with pytest.raises(TypeError, match=message):
        as_optimizer(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [("", "`optimizer` is empty"), ("a\x00", "holds the character"), ("rosenbrok", "Did you mean")],
)
def test_texts_that_name_nothing(given, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        as_optimizer(given)


def test_names_for_people():
    assert name_of_optimizer("rosenbrock") == "rosenbrock"
    assert name_of_optimizer(torch.optim.Adam) == name_of_optimizer(torch.optim.Adam([torch.zeros(1)])) == "Adam"
    assert name_of_optimizer(optax.sgd(0.1)) is None


def test_public_functions_take_whatever_there_is(key):
    task, small = LinearRegression(), {"num_problems": 4, "num_steps": 20, "key": key}
    assert optoscope.diagnose("optax:sgd(0.1)", gradients=(0.1, 1.0), num_steps=20).optimizer == "optax:sgd(0.1)"
    assert optoscope.diagnose(torch.optim.SGD, gradients=(0.1, 1.0), num_steps=20).optimizer == "SGD"
    found = optoscope.evaluate(task, {"spec": "optax:sgd(0.1)", "name": "linear_regression/adam"}, **small)
    assert found.names == ["spec", "name"]
    by_name = optoscope.study_stability("linear_regression/momentum", name="momentum", key=key)
    assert np.isfinite(by_name.measured.edges).all()
    ablation = optoscope.ablate("optax:sgd(0.1, momentum=0.9)", task, mechanisms=("schedule",), num_controls=0, **small)
    assert "intact" in ablation.kinds
    matrix = optoscope.generalize(
        {"spec": "optax:sgd(0.1)"}, ["linear_regression"], key=key, scales=(1.0,), horizons=(10,),
        num_problems={"linear_regression": 2},
    )  # fmt: skip
    assert matrix.optimizers == ["spec"]


def test_the_network_before_meta_training_comes_with_a_name():
    dossier = optoscope.Dossier("linear_regression", gradients=(0.1, 1.0), num_steps=20)
    before = optoscope.load("linear_regression").untrained
    for found, kept in zip(jax.tree.leaves(dossier.untrained), jax.tree.leaves(before), strict=True):
        np.testing.assert_array_equal(found, kept)
    assert jax.tree.leaves(as_optimizer("linear_regression"))


class Loose(AbstractOptimizer):
    """A rule that checks nothing of its own."""

    rate: typing.Any

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        return h, -self.rate * g


@pytest.mark.parametrize("rate", [[0.1], np.array([0.1, 0.2]), None])
def test_a_rule_that_makes_no_step_of_one_component_is_refused_before_any_work(rate):
    with pytest.raises(ValueError, match=r"(?s)loose\(\) cannot make a step: .*; check its settings"):
        _try_step(parse_spec("somewhere:loose()"), Loose(rate))
