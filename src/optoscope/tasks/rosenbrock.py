"""The Rosenbrock function from random starts."""

from typing import ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.provenance import provenance
from optoscope._core.types import Array, Float, PRNGKeyArray
from optoscope.tasks._base import AbstractTask, Problem, sample_problems
from optoscope.tasks._descriptions import LossSurface

#: Problems whose starts are shown.
_NUM_DESCRIBED = 4096


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

    kind: ClassVar[str] = "rosenbrock"
    label: ClassVar[str] = "Rosenbrock"

    def sample(self, key: PRNGKeyArray) -> RosenbrockProblem:
        low, high = jnp.array([-2.0, -1.0]), jnp.array([2.0, 3.0])
        return RosenbrockProblem(initial_params=jax.random.uniform(key, (2,), minval=low, maxval=high))

    def loss(
        self, problem: RosenbrockProblem, params: Float[Array, " component"], key: PRNGKeyArray
    ) -> Float[Array, ""]:
        x, y = params[..., 0], params[..., 1]
        return (1 - x) ** 2 + 100 * (y - x * x) ** 2

    def describe(self, key: PRNGKeyArray) -> LossSurface:
        """Return the loss over a plane, and where many runs start."""
        problems, keys = sample_problems(self, key, _NUM_DESCRIBED)
        x, y = np.linspace(-2.5, 2.5, 201), np.linspace(-1.5, 3.5, 201)
        plane = jnp.stack(jnp.meshgrid(x, y), axis=-1)
        first = jax.tree.map(lambda leaf: leaf[0], problems)
        losses = np.asarray(jax.vmap(jax.vmap(lambda at: self.loss(first, at, keys[0])))(plane), np.float64)
        starts = np.asarray(problems.initial_params, np.float64)
        return LossSurface(x, y, losses, starts, provenance(task=self.name, num_problems=_NUM_DESCRIBED))
