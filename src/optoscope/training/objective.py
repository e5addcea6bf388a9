"""The score of an optimizer on a problem, for meta-training, tuning and evaluation alike."""

import jax
import jax.numpy as jnp

from optoscope._types import Array, Float, PRNGKeyArray
from optoscope.tasks import AbstractTask, Problem

#: Initial losses below this are taken as this: a start at the minimum has no relative loss.
SMALLEST_INITIAL_LOSS = 1e-12


def meta_objective(losses: Float[Array, "*problem step"]) -> Float[Array, "*problem"]:
    """Mean loss along a run relative to the initial one: `mean(f_0 .. f_T) / f_0`.

    The mean over iterations is Maheswaranathan et al. (2021), App. D.2; the division by `f_0` is in their code and
    explains the axis of their Fig. 17. Not finite where the run is not.

    >>> float(meta_objective(jnp.array([4.0, 2.0, 0.0])))
    0.5
    """
    return jnp.mean(losses, axis=-1) / jnp.maximum(losses[..., 0], SMALLEST_INITIAL_LOSS)


def sample_problems(task: AbstractTask, key: PRNGKeyArray, num_problems: int) -> tuple[Problem, PRNGKeyArray]:
    """Draw a batch of problems, and the keys that draw their minibatches.

    Returns:
        Problems with a leading problem axis, and as many keys.
    """
    problem_key, rollout_key = jax.random.split(key)
    problems = jax.vmap(task.sample)(jax.random.split(problem_key, num_problems))
    return problems, jax.random.split(rollout_key, num_problems)
