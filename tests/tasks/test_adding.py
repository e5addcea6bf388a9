"""A new task is one file, here a class, and one line."""

from typing import ClassVar, final

import jax
import jax.numpy as jnp
import pytest

from optoscope import tasks
from optoscope.anatomy import Dossier
from optoscope.cli.main import main
from optoscope.figures import style
from optoscope.interventions.ablation import _shipped_baselines
from optoscope.optimizers import GradientDescent
from optoscope.tasks import AbstractTask, Problem
from optoscope.training.search_spaces import WHOLE_RUNS, search_stages


class SteepWellProblem(Problem):
    steepness: jax.Array


@final
class SteepWell(AbstractTask):
    """`f(x) = sum log cosh(steepness * x)`."""

    kind: ClassVar[str] = "steep_well"
    label: ClassVar[str] = "Steep's well"
    num_params: int = 3

    def sample(self, key):
        start_key, steepness_key = jax.random.split(key)
        start = jax.random.normal(start_key, (self.num_params,))
        return SteepWellProblem(initial_params=start, steepness=10.0 ** jax.random.uniform(steepness_key))

    def loss(self, problem, params, key):
        return jnp.sum(jnp.logaddexp(problem.steepness * params, -problem.steepness * params) - jnp.log(2.0))


@pytest.fixture
def added(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, SteepWell.kind, SteepWell)  # the one line


def test_a_task_that_is_added_is_known_everywhere(added, capsys):
    task = tasks.get("steep_well(num_params=2)")
    assert (task.name, task.cost, tasks.get("steep_well").name) == ("steep_well(num_params=2)", 2, "steep_well")
    assert tasks.is_at_hand(task.name) and not task.is_network and task.largest_curvature == float("inf")
    assert task.describe(jax.random.key(0)) is None
    assert tasks.label_of("steep_well") == style.in_sentence("steep_well") == "Steep's well"
    assert tasks.title_of("steep_well") == style.label_of("steep_well") == "Steep's well"
    assert search_stages(task.name) == WHOLE_RUNS and _shipped_baselines(task) == {}
    visits = Dossier(GradientDescent(0.01), task, key=jax.random.key(0), num_problems=2, num_steps=5).visits
    assert visits.provenance["settings"]["task"] == "steep_well(num_params=2)"
    rule = "optax:sgd(learning_rate=0.01)"
    assert main(["evaluate", "steep_well", rule, "--num-problems", "2", "--num-steps", "5"]) == 0
    assert "steep_well" in capsys.readouterr().out


def test_a_task_of_ones_own_needs_no_name():
    class Bowl(AbstractTask):
        def sample(self, key):
            return Problem(initial_params=jax.random.normal(key, (2,)))

        def loss(self, problem, params, key):
            return jnp.sum(params**2)

    assert (Bowl().name, Bowl().label, Bowl().cost) == ("Bowl", "Bowl", 2)


def test_every_task_knows_its_name_and_label():
    assert [tasks.get(name).name for name in ("linear_regression", "rosenbrock", "digits")] == [
        "linear_regression",
        "rosenbrock",
        "digits",
    ]
    assert [tasks.title_of(name) for name in tasks.TASKS] == [
        "Linear regression",
        "Rosenbrock",
        "Two moons",
        "MNIST",
        "Digits",
    ]
    assert tasks.get("linear_regression").largest_curvature == 1.0
