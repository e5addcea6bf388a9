"""Meta-gradients by evolution: unbiased, cut or not, and a way to train."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optoscope.optimizers import GRUOptimizer
from optoscope.running.problems import sample_problems
from optoscope.running.rollouts import Midway, rollout_batch
from optoscope.tasks import LinearRegression
from optoscope.training import MetaTrainConfig, meta_train
from optoscope.training.evolution import initial_pairs, make_evolution
from optoscope.training.meta_step import problem_objectives, untrained

TASK = LinearRegression(num_params=2)
CONFIG = MetaTrainConfig(
    num_units=2, num_steps=8, batch_size=4096, output_scale=0.3, estimator="evolution", perturbation=0.03, l2=0.0
)


def flat(tree):
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def estimates(config, optimizer, key, num_meta_steps):
    """Mean over meta-steps of what evolution says about weights that stay."""
    estimate = jax.jit(make_evolution(config, jax.local_devices()[:1]))
    pairs = initial_pairs(TASK, optimizer, config)
    found = []
    for step in range(num_meta_steps):
        objective, gradient, pairs = estimate(TASK, optimizer, key, jnp.asarray(step), pairs)
        found.append((float(objective), flat(gradient)))
    return np.mean([one for one, _ in found]), np.mean([one for _, one in found], axis=0)


@pytest.mark.parametrize("truncation", [None, 2])
def test_the_estimate_is_that_of_backpropagation(key, truncation):
    optimizer = untrained(CONFIG, key)
    problems, keys = sample_problems(TASK, jax.random.key(5), 4096)
    mean = lambda optimizer: problem_objectives(optimizer, TASK, CONFIG, problems, keys).mean()
    objective, gradient = jax.value_and_grad(mean)(optimizer)
    config = dataclasses.replace(CONFIG, truncation=truncation)
    found, estimate = estimates(config, optimizer, jax.random.key(1), 24)
    assert abs(found - float(objective)) < 0.02 * float(objective)
    exact = flat(gradient)
    cosine = estimate @ exact / np.linalg.norm(estimate) / np.linalg.norm(exact)
    assert cosine > 0.95
    assert 0.9 < np.linalg.norm(estimate) / np.linalg.norm(exact) < 1.15


def test_a_run_in_two_halves_is_the_run(key):
    optimizer = GRUOptimizer.create(3, key=key, output_scale=0.1)
    problems, keys = sample_problems(TASK, key, 3)
    whole = rollout_batch(TASK, problems, optimizer, num_steps=6, keys=keys)
    first = rollout_batch(TASK, problems, optimizer, num_steps=4, keys=keys)
    start = Midway(first.final_params, first.final_state, jnp.full(3, 4))
    second = rollout_batch(TASK, problems, optimizer, num_steps=2, keys=keys, start=start)
    np.testing.assert_array_equal(second.final_params, whole.final_params)
    np.testing.assert_array_equal(second.losses, whole.losses[:, 4:])


def test_it_trains_and_resumes_to_the_same_bits(key, tmp_path):
    config = dataclasses.replace(
        CONFIG, batch_size=32, num_meta_steps=40, truncation=4, learning_rate=0.1, perturbation=0.1,
        num_validation_problems=16, validate_every=20, num_snapshots=2,
    )  # fmt: skip
    once = meta_train(TASK, config=config, key=key)
    assert once.metrics["best_validation"] < 0.9 * once.curve["validations"][0]
    meta_train(TASK, config=config, key=key, directory=tmp_path, stop_at=37)
    again = meta_train(TASK, config=config, key=key, directory=tmp_path, resume=True)
    np.testing.assert_array_equal(flat(again.optimizer), flat(once.optimizer))


def test_a_pair_that_is_lost_says_nothing_and_begins_anew():
    config = dataclasses.replace(CONFIG, batch_size=8, truncation=4)
    optimizer = untrained(config, jax.random.key(0))
    pairs = initial_pairs(TASK, optimizer, config)
    estimate = jax.jit(make_evolution(config, jax.local_devices()[:1]))
    _, _, pairs = estimate(TASK, optimizer, jax.random.key(1), jnp.asarray(0), pairs)
    lost = dataclasses.replace(pairs, params=pairs.params.at[0].set(jnp.nan))
    objective, gradient, after = estimate(TASK, optimizer, jax.random.key(1), jnp.asarray(1), lost)
    assert np.isfinite(objective)
    assert np.isfinite(flat(gradient)).all()
    assert after.step[0] == config.num_steps
    _, _, after = estimate(TASK, optimizer, jax.random.key(1), jnp.asarray(2), after)
    assert np.isfinite(after.params[0]).all()


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="`truncation` must divide"):
        dataclasses.replace(CONFIG, truncation=3)
    with pytest.raises(ValueError, match="`segment_length` means nothing"):
        dataclasses.replace(CONFIG, segment_length=2)
    with pytest.raises(ValueError, match="`truncation` means nothing"):
        MetaTrainConfig(truncation=10)
