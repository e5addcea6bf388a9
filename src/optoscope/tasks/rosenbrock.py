"""The Rosenbrock function from random starts."""

from typing import final

import jax
import jax.numpy as jnp

from optoscope._types import Array, Float, PRNGKeyArray
from optoscope.tasks._base import AbstractTask, Problem


class RosenbrockProblem(Problem):
    """A start of the Rosenbrock function."""

    initial_params: Float[Array, " component"]


@final
class Rosenbrock(AbstractTask):
    """`f(x, y) = (1 - x)^2 + 100 (y - x^2)^2`, started uniformly on (-2, 2) x (-1, 3).

    Rosenbrock (1960); Maheswaranathan et al. (2021), section 3.2, Fig. 1b. Gradients exceed 1000 in magnitude.
    Rare starts lie next to the minimum at (1, 1), where the loss relative to the initial one has a heavy tail.

    >>> import jax, jax.numpy as jnp
    >>> task = Rosenbrock()
    >>> float(task.loss(task.sample(jax.random.key(0)), jnp.ones(2), jax.random.key(1)))
    0.0
    """

    def sample(self, key: PRNGKeyArray) -> RosenbrockProblem:
        low, high = jnp.array([-2.0, -1.0]), jnp.array([2.0, 3.0])
        return RosenbrockProblem(initial_params=jax.random.uniform(key, (2,), minval=low, maxval=high))

    def loss(
        self, problem: RosenbrockProblem, params: Float[Array, " component"], key: PRNGKeyArray
    ) -> Float[Array, ""]:
        x, y = params[..., 0], params[..., 1]
        return (1 - x) ** 2 + 100 * (y - x * x) ** 2
