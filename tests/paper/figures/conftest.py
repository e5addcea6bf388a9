"""One tiny study for all tests of figures: networks with random weights, and a few samples of each rule."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optoscope import tasks
from optoscope.anatomy import Dossier
from optoscope.artifacts import TrainedOptimizer, TunedOptimizer
from optoscope.optimizers import GRUOptimizer
from optoscope.optimizers import get as get_optimizer
from optoscope.paper.study import Study
from optoscope.training import MetaTrainConfig
from optoscope.training.search_spaces import search_space


def _trained(task: str) -> TrainedOptimizer:
    config = MetaTrainConfig(num_units=4, output_scale=0.02)
    network = GRUOptimizer.create(4, key=jax.random.key(3), output_scale=0.02)
    network = dataclasses.replace(
        network, readout_weights=-jnp.abs(network.input_weights[0, -4:]), initial=jnp.full(4, 0.3)
    )
    snapshots = jax.tree.map(lambda leaf: jnp.stack([scale * leaf for scale in (0.5, 0.6, 0.7, 0.8, 1.0)]), network)
    return TrainedOptimizer(
        optimizer=network,
        task=task,
        preset="none",
        seed=0,
        config=dataclasses.asdict(config),
        metrics={"best_validation": 1.0, "seconds": 0.0},
        curve={"steps": np.arange(2.0)},
        snapshot_steps=np.array([0, 1, 3, 6, 10]),
        snapshots=snapshots,
        provenance={"versions": {}},
    )


def _tuned(task: str, rule: str) -> TunedOptimizer:
    """Random settings with random scores, some of them infinite."""
    space = search_space(task, rule)
    rng = np.random.default_rng(0)
    samples = np.column_stack([bounds.from_unit(rng.uniform(size=40)) for bounds in space.values()])
    samples[0] = [bounds.from_unit(np.array([0.3]))[0] for bounds in space.values()]
    scores = rng.uniform(0.1, 3.0, size=40)
    scores[:2], scores[-5:] = 0.05, np.inf
    return TunedOptimizer(
        optimizer=get_optimizer(rule)(**dict(zip(space, samples[0].tolist()))),
        task=task,
        rule=rule,
        seed=0,
        names=list(space),
        scales=[bounds.scale for bounds in space.values()],
        ranges=[[bounds.low, bounds.high] for bounds in space.values()],
        samples=samples,
        scores=scores,
        stages_reached=np.repeat([1, 0], [2, 38]),
        winner=0,
        widened=[],
        settings={},
        provenance={"versions": {}},
    )


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    directory = tmp_path_factory.mktemp("zoo")
    for task in ("linear_regression", "rosenbrock"):
        _trained(task).save(directory / task)
        for rule in ("momentum", "rmsprop", "adam"):
            _tuned(task, rule).save(directory / task / rule)
    _trained("linear_regression").save(directory / "momentum_like")
    return directory


@pytest.fixture(scope="session")
def study(zoo):
    names = ["linear_regression", "rosenbrock"]
    return Study(names, key=jax.random.key(0), num_problems=4, source=zoo)


@pytest.fixture(scope="session")
def network():
    """The same network on a small two-moons task, whose parameters fall into groups."""
    return Dossier(
        _trained("two_moons").optimizer,
        tasks.get("two_moons(num_examples=16, widths=(3, 3, 3))"),
        key=jax.random.key(0),
        num_problems=4,
        num_steps=12,
    )
