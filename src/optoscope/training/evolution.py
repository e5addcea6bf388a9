"""Meta-gradients without backpropagation: persistent evolution strategies (Vicol, Metz and Sohl-Dickstein, 2021).

Every problem is run twice, with weights perturbed one way and the other. What the two runs differ by in loss, times the
perturbation, estimates the gradient. Runs are cut into truncations, between which the weights change; each run goes on
with the state that it has, and remembers the sum of all its perturbations, which takes away the bias of truncation.
Nothing of the unroll is kept in memory, and a chaotic unroll gives a smoothed gradient where backpropagation gives an
exploding one.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from optoscope._core.types import Array, Device, Float, Int, Params, PRNGKeyArray, PyTree
from optoscope.optimizers import GRUOptimizer
from optoscope.optimizers.lift import lift_over_problems
from optoscope.running.problems import SMALLEST_INITIAL_LOSS, sample_problems
from optoscope.running.rollouts import Midway, rollout_batch
from optoscope.running.share_out import share_out
from optoscope.tasks import AbstractTask
from optoscope.training.config import MetaTrainConfig


class Pairs(eqx.Module):
    """Pairs of runs on the way, each of the same problem under opposite perturbations.

    Attributes:
        step: iterations that are done of each pair.
        num_unrolls: how many problems each pair has finished; its next problem is drawn by this number.
        initial_loss: of each pair's problem; NaN before it has begun.
        params: parameters of both runs.
        states: states of the optimizer of both runs.
        perturbation: sum of the perturbations of the weights along the unroll, of the first run of each pair.
    """

    step: Int[Array, "*pair"]
    num_unrolls: Int[Array, "*pair"]
    initial_loss: Float[Array, "*pair"]
    params: Params
    states: PyTree
    perturbation: GRUOptimizer


def initial_pairs(task: AbstractTask, optimizer: GRUOptimizer, config: MetaTrainConfig) -> Pairs:
    """Return pairs that have not begun, spread evenly over the length of an unroll."""
    problem = jax.eval_shape(task.sample, jax.random.key(0))
    params = jax.tree.map(
        lambda leaf: jnp.zeros((config.batch_size, 2, *leaf.shape), leaf.dtype), problem.initial_params
    )
    length = config.truncation or config.num_steps
    return Pairs(
        step=length * (jnp.arange(config.batch_size, dtype=jnp.int32) % (config.num_steps // length)),
        num_unrolls=jnp.zeros(config.batch_size, jnp.int32),
        initial_loss=jnp.full(config.batch_size, jnp.nan),
        params=params,
        states=jax.vmap(lift_over_problems(optimizer).init)(params),
        perturbation=jax.tree.map(lambda leaf: jnp.zeros((config.batch_size, *leaf.shape), leaf.dtype), optimizer),
    )


def make_evolution(
    config: MetaTrainConfig, devices: list[Device]
) -> Callable[..., tuple[Float[Array, ""], GRUOptimizer, Pairs]]:
    """Return the function from a task, weights, a run's key, the meta-step and pairs to an estimate, and the pairs on.

    The estimate is of the meta-objective and of its gradient, for weights smoothed by normal noise of the standard
    deviation `config.perturbation` (Vicol et al., 2021, eq. 9 and Algorithm 2, with the pairs' positions staggered).
    """
    total = config.num_steps
    length = config.truncation or total

    def of_pairs(shared, numbers, pairs):
        task, optimizer, key, meta_step = shared

        def of_pair(number, pair):
            is_new = (pair.step >= total) | jnp.isnan(pair.initial_loss)
            num_unrolls = pair.num_unrolls + (pair.step >= total)
            done = jnp.where(pair.step >= total, 0, pair.step)
            own = jax.random.fold_in(key, number)
            problems, keys = sample_problems(task, jax.random.fold_in(own, num_unrolls), 1)
            begin = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), problems.initial_params)
            params = _where(is_new, begin, pair.params)
            states = _where(is_new, lift_over_problems(optimizer).init(begin), pair.states)
            noise = _normal(jax.random.fold_in(jax.random.fold_in(key, meta_step), number), optimizer)
            noise = jax.tree.map(lambda leaf: config.perturbation * leaf, noise)

            def run(sign, params, state):
                weights = jax.tree.map(lambda leaf, by: leaf + sign * by, optimizer, noise)
                one = lambda tree: jax.tree.map(lambda leaf: leaf[None], tree)
                start = Midway(one(params), one(state), done[None])
                found = rollout_batch(task, problems, weights, num_steps=length, keys=keys, start=start)
                return found.losses[0], found.final_params, found.final_state

            losses, params, states = jax.vmap(run)(jnp.array([1.0, -1.0]), params, states)
            initial_loss = jnp.where(is_new, losses[0, 0], pair.initial_loss)
            weight = jnp.ones(length + 1).at[-1].set(done + length >= total)  # the last loss of a run counts, too
            scores = losses @ weight / (total + 1) / jnp.maximum(initial_loss, SMALLEST_INITIAL_LOSS)
            scores = jnp.minimum(scores, config.objective_cap * length / total)
            perturbation = jax.tree.map(lambda old, by: jnp.where(is_new, 0.0, old) + by, pair.perturbation, noise)
            is_lost = ~jnp.isfinite(scores).all()
            half = jnp.where(is_lost, 0.0, (scores[0] - scores[1]) / 2) * total / length / config.perturbation**2
            gradient = jax.tree.map(lambda leaf: half * leaf, perturbation)
            squeezed = lambda tree: jax.tree.map(lambda leaf: leaf[:, 0], tree)
            step = jnp.where(is_lost, total, done + length).astype(jnp.int32)
            new = Pairs(step, num_unrolls, initial_loss, squeezed(params), squeezed(states), perturbation)
            return scores.mean() * total / length, gradient, new

        return jax.vmap(of_pair)(numbers, pairs)

    def estimate(task, optimizer, key, meta_step, pairs):
        numbers = jnp.arange(config.batch_size)
        shared = (task, optimizer, key, meta_step)
        objectives, gradients, pairs = share_out(of_pairs, shared, numbers, pairs, devices=devices)
        # A pair that is lost says nothing, unless all are.
        objective = jnp.nanmean(jnp.where(jnp.isfinite(objectives), objectives, jnp.nan))
        return objective, jax.tree.map(lambda leaf: leaf.mean(axis=0), gradients), pairs

    return estimate


def _where(condition: Array, a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def _normal(key: PRNGKeyArray, like: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten([jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves)])
