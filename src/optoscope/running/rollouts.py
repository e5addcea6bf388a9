"""The one inner loop: run an optimizer on a problem.

Meta-training, tuning, evaluation and analysis all go through `rollout`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from optoscope._core.checks import check_count
from optoscope._core.types import Array, Float, Int, Keys, Params, PRNGKeyArray, PyTree
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_optimizer
from optoscope.optimizers._gru_cell import SAVED
from optoscope.optimizers.lift import lift_over_problems
from optoscope.tasks import AbstractTask, Problem
from optoscope.tasks._network import SAVED_GRADIENTS


class Save(eqx.Module):
    """What a rollout keeps, besides all its losses and its end.

    Args:
        params, states, gradients, updates: whether to keep each of these.
        every: keep them at iterations 0, `every`, 2 `every`, ...
        components: keep only these components of each problem (indices in the order of
            `jax.flatten_util.ravel_pytree`), as vectors; all of them, in the parameters' own structure, if None.
            States then need a component-wise optimizer.
    """

    params: bool = eqx.field(static=True, default=False)
    states: bool = eqx.field(static=True, default=False)
    gradients: bool = eqx.field(static=True, default=False)
    updates: bool = eqx.field(static=True, default=False)
    every: int = eqx.field(static=True, default=1)
    components: Int[Array, " picked"] | None = None

    def __check_init__(self):
        check_count("every", self.every, hint="1 keeps every iteration")

    def _pick(self, **values):
        chosen = {name: value for name, value in values.items() if getattr(self, name)}
        if self.components is None:
            return chosen
        flat = {
            name: value if name == "states" else jax.vmap(lambda tree: ravel_pytree(tree)[0])(value)
            for name, value in chosen.items()
        }
        return {name: value[:, self.components] for name, value in flat.items()}


class Midway(eqx.Module):
    """Where runs of a batch of problems go on.

    Attributes:
        params: parameters of each problem.
        state: the optimizer's state of each problem.
        step: iterations that are done of each problem.
    """

    params: Params
    state: PyTree
    step: Int[Array, " problem"]


class Rollout(eqx.Module):
    """One run of an optimizer on a problem, or on a batch of them with a leading problem axis everywhere.

    Reading what was not saved raises.

    Attributes:
        losses: `f_0 .. f_T`, one more than there are steps.
        final_params: parameters after the last step.
        final_state: optimizer state after the last step.
        params, states, gradients, updates: `x_k`, `h_k`, `g_k = grad f(x_k)` and `dx_k` at the saved iterations,
            stacked along a leading step axis.
    """

    losses: Float[Array, "*problem step"]
    final_params: Params
    final_state: PyTree
    _saved: dict[str, PyTree]

    def _get(self, name):
        if name not in self._saved:
            raise AttributeError(f"this rollout did not save `{name}`; run it with save=Save({name}=True).")
        return self._saved[name]

    @property
    def params(self) -> Params:
        """Parameters `x_k` at the saved iterations."""
        return self._get("params")

    @property
    def states(self) -> PyTree:
        """Optimizer states `h_k`, before the gradient of iteration k is seen."""
        return self._get("states")

    @property
    def gradients(self) -> Params:
        """Gradients `g_k` at `x_k`."""
        return self._get("gradients")

    @property
    def updates(self) -> Params:
        """Updates `dx_k = x_(k+1) - x_k`."""
        return self._get("updates")


def rollout(
    task: AbstractTask,
    problem: Problem,
    optimizer: AnyOptimizer,
    *,
    num_steps: int,
    key: PRNGKeyArray,
    save: Save = Save(),  # noqa: B008 (frozen)
    segment_length: int | None = None,
) -> Rollout:
    """Run an optimizer on one problem for `num_steps` updates.

    The same as `rollout_batch` with a batch of one problem.

    Args:
        task: gives the loss.
        problem: one problem of the task.
        optimizer: a component-wise rule, or any optax transformation.
        num_steps: number of updates T.
        key: draws the minibatches.
        save: what to keep along the way.
        segment_length: steps per rematerialized segment; a divisor of `num_steps`.

    Returns:
        The losses `f_0 .. f_T`, the end, and what `save` asks for.

    Raises:
        ValueError: if `num_steps` is not a multiple of `save.every` or of `segment_length`.
        TypeError: if `optimizer` is neither kind.
    """
    batch = rollout_batch(
        task,
        jax.tree.map(lambda array: jnp.asarray(array)[None], problem),
        optimizer,
        num_steps=num_steps,
        keys=key[None],
        save=save,
        segment_length=segment_length,
    )
    return jax.tree.map(lambda array: array[0], batch)


def rollout_batch(
    task: AbstractTask,
    problems: Problem,
    optimizer: AnyOptimizer,
    *,
    num_steps: int,
    keys: Keys,
    save: Save = Save(),  # noqa: B008 (frozen)
    segment_length: int | None = None,
    start: Midway | None = None,
) -> Rollout:
    """Run an optimizer on a batch of problems for `num_steps` updates: the one inner loop of the library.

    It is a pure function: `jax.vmap` it over an optimizer's fields, and `jax.grad` through it. In reverse mode each
    step keeps its state and what the optimizer names as worth keeping; with `segment_length` only the states
    between segments, and the gradients of heavy tasks, are kept and the rest is computed again, so that memory grows
    with `segment_length + num_steps / segment_length` instead of `num_steps`.

    Args:
        task: gives the loss.
        problems: a batch, as `jax.vmap(task.sample)(keys)` makes it.
        optimizer: a component-wise rule, or any optax transformation.
        num_steps: number of updates T.
        keys: one per problem; they draw the minibatches.
        save: what to keep along the way.
        segment_length: steps per rematerialized segment; a divisor of `num_steps`.
        start: where an earlier run ended, to go on with the same problems and keys; their beginning if None.

    Returns:
        A `Rollout` whose arrays have a leading problem axis.

    Raises:
        ValueError: if `num_steps` is not a multiple of `save.every` or of `segment_length`.
        TypeError: if `optimizer` is neither kind.
    """
    num_steps = check_count("num_steps", num_steps, hint="the paper uses 200")
    length = _segment_length(num_steps, save, segment_length)
    transformation = lift_over_problems(as_optimizer(optimizer))
    step_keys, final_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    value_and_gradient = jax.vmap(task.value_and_gradient)
    if start is None:
        params = problems.initial_params
        start = Midway(params, transformation.init(params), jnp.zeros(len(keys), jnp.int32))
    first_steps = start.step

    def step(carry, k):
        params, state = carry
        losses, gradients = value_and_gradient(
            problems, params, jax.vmap(jax.random.fold_in)(step_keys, first_steps + k)
        )
        updates, new_state = transformation.update(gradients, state, params)
        new_params = jax.tree.map(jnp.add, params, updates)
        saved = save._pick(params=params, states=state, gradients=gradients, updates=updates)
        return (new_params, new_state), (losses, saved)

    # What is kept for the reverse pass: the carry, and what optimizer and task name as worth keeping.
    policy = jax.checkpoint_policies.save_only_these_names(SAVED, SAVED_GRADIENTS)
    step = jax.checkpoint(step, policy=policy, prevent_cse=False)

    def segment(carry, first):
        carry, (losses, saved) = jax.lax.scan(step, carry, first + jnp.arange(length))
        return carry, (losses, jax.tree.map(lambda array: array[0], saved))

    if segment_length is not None:
        # Gradients are small beside the states and dear to compute: they are kept for all steps.
        policy = jax.checkpoint_policies.save_only_these_names(SAVED_GRADIENTS)
        segment = jax.checkpoint(segment, policy=policy, prevent_cse=False)
    starts = jnp.arange(0, num_steps, length)
    (params, state), (losses, saved) = jax.lax.scan(segment, (start.params, start.state), starts)
    losses = jnp.moveaxis(losses.reshape(num_steps, -1), 0, 1)
    final_losses, _ = value_and_gradient(problems, params, final_keys)
    saved = jax.tree.map(lambda array: jnp.moveaxis(array, 0, 1), saved)
    return Rollout(jnp.concatenate([losses, final_losses[:, None]], axis=1), params, state, saved)


def _segment_length(num_steps: int, save: Save, segment_length: int | None) -> int:
    keeps_arrays = save.params or save.states or save.gradients or save.updates
    if keeps_arrays and segment_length is not None:
        raise ValueError("`segment_length` is for meta-training, which saves losses only; leave one of the two out.")
    name, length = ("save.every", save.every) if keeps_arrays else ("segment_length", segment_length)
    if length is None:
        return num_steps
    check_count(name, length)
    if num_steps % length:
        below = num_steps - num_steps % length
        raise ValueError(
            f"`num_steps` must be a multiple of `{name}` = {length}, got {num_steps}; use {below + length} steps."
        )
    return length
