"""Every public function that looks at an optimizer takes whatever a person has."""

import inspect

import jax
import numpy as np
import optax
import pytest

import optoscope
from optoscope import dynamics, tasks
from optoscope.optimizers import AbstractOptimizer, Momentum

GIVEN = {
    "spec": "optoscope.optimizers:Momentum(0.1, 0.9)",
    "optax": optax.sgd(0.1, momentum=0.9),
    "function": lambda: Momentum(0.1, 0.9),
}
CALLS = {
    "autonomous_trajectory": lambda o: dynamics.autonomous_trajectory(o, num_steps=5).states,
    "continue_fixed_points": lambda o: dynamics.continue_fixed_points(o, gradients=(-1.0, 1.0), start=[0.0]).states[-1],
    "effective_learning_rate": lambda o: dynamics.effective_learning_rate(o, [0.0]),
    "find_fixed_points": lambda o: dynamics.find_fixed_points(o, gradient=1.0, seeds=[[0.0]]).states,
    "find_rest": lambda o: dynamics.find_rest(o).state,
    "linearize": lambda o: dynamics.linearize(o, [0.0]).A,
    "stability_map": lambda o: dynamics.stability_map(o, [1.0, 50.0]).edges,
    "update_function": lambda o: dynamics.update_function(o, [0.5], [-1.0, 0.0, 1.0]).updates,
    "rollout": lambda o: (
        optoscope.rollout(
            ROSENBROCK, ROSENBROCK.sample(jax.random.key(0)), o, num_steps=3, key=jax.random.key(1)
        ).losses
    ),
}
ROSENBROCK = tasks.get("rosenbrock")


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("call", CALLS)
def test_it_takes_anything_and_gives_the_same(call, given):
    np.testing.assert_allclose(CALLS[call](GIVEN[given]), CALLS[call](Momentum(0.1, 0.9)), rtol=1e-5, atol=1e-9)


def test_every_public_function_of_dynamics_says_what_an_optimizer_is():
    functions = [f for name, f in vars(dynamics).items() if inspect.isfunction(f) and not name.startswith("_")]
    first = {f: next(iter(inspect.signature(f).parameters.values())) for f in functions}
    takes = [f for f, parameter in first.items() if parameter.annotation is AbstractOptimizer]
    assert len(takes) >= 9
    for function in takes:
        with pytest.raises(TypeError, match="an optimizer is a shipped name"):
            function(3)
