"""One meta-step: sample problems, unroll, estimate the gradient, clip, update."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from optoscope._core.types import Array, Bool, Device, Float, Int, Keys, PRNGKeyArray, PyTree
from optoscope.optimizers import GRUOptimizer
from optoscope.running.problems import meta_objective, sample_problems
from optoscope.running.rollouts import rollout_batch
from optoscope.running.share_out import AXIS, everywhere, replicate, share_out
from optoscope.tasks import AbstractTask, Problem
from optoscope.training.config import MetaTrainConfig
from optoscope.training.evolution import Pairs, initial_pairs, make_evolution
from optoscope.training.memory import compiled_bytes


class MetaState(eqx.Module):
    """All that a meta-training run carries from step to step; `pairs` is None with backpropagation."""

    optimizer: GRUOptimizer
    average: GRUOptimizer
    adam: optax.OptState
    step: Int[Array, ""]
    running_objective: Float[Array, ""]
    num_skipped: Int[Array, ""]
    num_rollbacks: Int[Array, ""]
    pairs: Pairs | None


def meta_optimizer(config: MetaTrainConfig) -> optax.GradientTransformation:
    """Adam with element-wise clipping of the meta-gradient and a learning-rate schedule (App. D.2)."""
    if config.schedule == "exponential":
        schedule = optax.exponential_decay(config.learning_rate, config.decay_steps, config.decay_rate, staircase=True)
        if config.warmup_steps:
            warmup = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
            schedule = optax.join_schedules([warmup, schedule], [config.warmup_steps])
    else:
        schedule = optax.warmup_cosine_decay_schedule(
            config.learning_rate / max(config.warmup_steps, 1),
            config.learning_rate,
            config.warmup_steps,
            max(config.num_meta_steps, config.warmup_steps + 1),
            config.learning_rate * config.decay_rate,
        )
    adam = optax.adam(schedule, b1=config.b1, b2=config.b2, eps=config.eps)
    return optax.chain(optax.clip(config.clip), adam)


def untrained(config: MetaTrainConfig, key: PRNGKeyArray) -> GRUOptimizer:
    """Draw the network that a configuration describes, as it is before meta-training."""
    return GRUOptimizer.create(
        config.num_units,
        key=key,
        input_scale=config.input_scale,
        output_scale=config.output_scale,
        input_kind=config.input_kind,
        bfloat16=config.bfloat16,
    )


def initial_meta_state(optimizer: GRUOptimizer, config: MetaTrainConfig, task: AbstractTask) -> MetaState:
    """Return the state before the first meta-step."""
    optimizer = jax.tree.map(jnp.array, optimizer)
    average = jax.tree.map(jnp.array, optimizer)  # a copy: the meta-step gives every buffer away
    adam = meta_optimizer(config).init(_untyped(optimizer))
    return MetaState(
        optimizer=optimizer,
        average=average,
        adam=adam,
        step=jnp.zeros((), jnp.int32),
        running_objective=jnp.ones(()),  # an untrained optimizer does nothing: its objective is 1
        num_skipped=jnp.zeros((), jnp.int32),
        num_rollbacks=jnp.zeros((), jnp.int32),
        pairs=initial_pairs(task, optimizer, config) if config.estimator == "evolution" else None,
    )


def problem_objectives(
    optimizer: GRUOptimizer, task: AbstractTask, config: MetaTrainConfig, problems: Problem, keys: Keys
) -> Float[Array, " problem"]:
    """Meta-objective of each problem of a batch, bounded by `config.objective_cap`."""
    run = rollout_batch(
        task, problems, optimizer, num_steps=config.num_steps, keys=keys, segment_length=config.segment_length
    )
    return jnp.minimum(meta_objective(run.losses), config.objective_cap)


def batch_objective(
    optimizer: GRUOptimizer, task: AbstractTask, config: MetaTrainConfig, problems: Problem, keys: Keys
) -> Float[Array, ""]:
    """Mean over the problems of a batch of their meta-objectives."""
    return jnp.mean(problem_objectives(optimizer, task, config, problems, keys))


def make_objective_and_gradient(
    config: MetaTrainConfig, devices: list[Device]
) -> Callable[[AbstractTask, GRUOptimizer, PRNGKeyArray], tuple[Float[Array, ""], GRUOptimizer]]:
    """Return the function from a task, weights and a key to a batch's meta-objective and its gradient.

    The problems of a batch are shared out over `devices`, and on each worked off in parts. The
    gradient includes the penalty on the weights, the objective does not.
    """
    share = config.batch_size // len(devices)
    num_parts = share // (config.part_size or share)

    def objective_and_gradient(task, optimizer, key):
        def on_one(shared):
            task, optimizer, key = shared
            batch = sample_problems(task, jax.random.fold_in(key, jax.lax.axis_index(AXIS)), share)
            parts = jax.tree.map(lambda a: a.reshape(num_parts, -1, *a.shape[1:]), batch)

            def regularized(optimizer, problems, keys):
                objective = batch_objective(optimizer, task, config, problems, keys)
                return objective + config.l2 * _norm(optimizer), objective

            def of_part(part):
                gradient, objective = jax.grad(regularized, has_aux=True)(optimizer, *part)
                shrink = jnp.minimum(1.0, config.part_clip / optax.tree.norm(gradient))
                return jax.tree.map(lambda leaf: shrink * leaf, gradient), objective

            gradient, objective = jax.tree.map(lambda a: jnp.mean(a, axis=0), jax.lax.map(of_part, parts))
            return jax.lax.pmean((objective, gradient), AXIS)

        return share_out(on_one, (task, optimizer, key), devices=devices, whole=True)

    return objective_and_gradient


def make_estimator(config: MetaTrainConfig, devices: list[Device]) -> Callable[..., tuple]:
    """Return the function from a task, weights, a run's key, the meta-step and pairs to objective, gradient and pairs.

    Both ways include the penalty on the weights in the gradient, and not in the objective.
    """
    if config.estimator == "backpropagation":
        exact = make_objective_and_gradient(config, devices)
        return lambda task, optimizer, key, step, pairs: (*exact(task, optimizer, jax.random.fold_in(key, step)), pairs)
    evolution = make_evolution(config, devices)

    def estimate(task, optimizer, key, step, pairs):
        objective, gradient, pairs = evolution(task, optimizer, key, step, pairs)
        penalty = jax.grad(lambda optimizer: config.l2 * _norm(optimizer))(optimizer)
        return objective, jax.tree.map(jnp.add, gradient, penalty), pairs

    return estimate


class MetaStep(NamedTuple):
    """A compiled meta-step, and how much memory it allocates over all devices."""

    run: Callable[[MetaState, PRNGKeyArray], tuple[MetaState, Float[Array, ""]]]
    num_bytes: int


def make_meta_step(task: AbstractTask, config: MetaTrainConfig, devices: list[Device]) -> MetaStep:
    """Compile one meta-step.

    Args:
        task: where problems come from.
        config: settings; `batch_size` must be a multiple of the number of devices.
        devices: one or more devices of one kind.

    Returns:
        `run` goes from the state and the run's key, both replicated over the devices (see `replicate`), to the new
        state and the batch's meta-objective; the old state is given up. A step whose objective or gradient is not
        finite, or whose objective jumps (`config.spike_factor`), is counted but not applied; the weights go back to
        their average, which without averaging is where they are.
    """
    meta = meta_optimizer(config)
    estimate = make_estimator(config, devices)
    data, structure = eqx.partition(task, eqx.is_array)
    data = replicate(data, devices)  # an argument, not a constant, of the compiled program

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=everywhere(devices))
    def meta_step(state: MetaState, key: PRNGKeyArray, data: AbstractTask):
        task = eqx.combine(data, structure)
        objective, gradient, pairs = estimate(task, state.optimizer, key, state.step, state.pairs)
        finite = jnp.isfinite(objective) & _all_finite(gradient)
        spike = finite & (objective > config.spike_factor * state.running_objective)
        applied = finite & ~spike
        updates, adam = meta.update(_untyped(gradient), state.adam)
        optimizer = jax.tree.map(jnp.add, state.optimizer, updates)
        step = state.step + 1
        decay = _growing_decay(config.weight_average, step)
        average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, optimizer)
        decay = _growing_decay(0.98, step)
        running = decay * state.running_objective + (1 - decay) * objective
        old = (state.average, state.average, state.adam, state.running_objective)  # without averaging, the weights
        new = (optimizer, average, adam, running)
        optimizer, average, adam, running = jax.tree.map(lambda a, b: jnp.where(applied, b, a), old, new)
        num_skipped, num_rollbacks = state.num_skipped + ~finite, state.num_rollbacks + spike
        return MetaState(optimizer, average, adam, step, running, num_skipped, num_rollbacks, pairs), objective

    example = initial_meta_state(untrained(config, jax.random.key(0)), config, task), jax.random.key(0)
    compiled = meta_step.lower(*replicate(example, devices), data).compile()
    return MetaStep(lambda state, key: compiled(state, key, data), compiled_bytes(compiled, len(devices)))


def _growing_decay(decay: float, step: Int[Array, ""]) -> Float[Array, ""]:
    """The decay of a moving average that forgets where it started: a warm start is not an untrained optimizer."""
    return jnp.minimum(decay, step / (step + 10.0))


def _untyped(tree: PyTree) -> PyTree:
    """The same tree; optax's annotations know no modules."""
    return tree


def _all_finite(tree: PyTree) -> Bool[Array, ""]:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _norm(optimizer: GRUOptimizer) -> Float[Array, ""]:
    # Unsquared, as in the authors' code; the gradient at 0 is taken as 0.
    square = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(optimizer))
    return jnp.sqrt(jnp.maximum(square, 1e-30))
