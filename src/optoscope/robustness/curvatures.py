"""The curvatures that runs on a task meet: eigenvalues of the Hessian along them."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, Int

from optoscope._core.checks import check_count
from optoscope._core.compiled import compiled
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts.as_optimizer import AnyOptimizer, as_optimizer
from optoscope.running.problems import Purpose, sample_problems
from optoscope.running.rollouts import Save, rollout_batch
from optoscope.tasks import AbstractTask, name_of

#: Hessians of at most so many parameters are computed whole.
_LARGEST_DENSE = 64


@dataclasses.dataclass(frozen=True)
class Curvatures(Result):
    """Eigenvalues of the Hessian along test runs of an optimizer.

    Attributes:
        task: the task's name.
        steps: iterations at which the Hessian was taken; the last is the end of the runs.
        eigenvalues: in increasing order; all of them for small problems, else the few largest. NaN where a run has
            diverged.
        bound: the largest curvature that the task can have by construction; infinite where there is none.
        provenance: who made it.
    """

    task: str
    steps: Int[np.ndarray, " point"]
    eigenvalues: Float[np.ndarray, "problem point eigenvalue"]
    bound: float
    provenance: dict[str, Any]

    @property
    def largest(self) -> Float[np.ndarray, "problem point"]:
        """The largest curvature at each point."""
        return self.eigenvalues[..., -1]

    def span(self) -> tuple[float, float]:
        """Return the smallest and largest positive curvature met."""
        positive = self.eigenvalues[self.eigenvalues > 0]
        return (float(positive.min()), float(positive.max())) if len(positive) else (np.nan, np.nan)


def task_curvatures(
    task: AbstractTask,
    optimizer: AnyOptimizer,
    *,
    key: PRNGKeyArray,
    num_problems: int = 64,
    num_steps: int = 200,
    num_points: int = 8,
    num_eigenvalues: int = 4,
) -> Curvatures:
    """Compute eigenvalues of the Hessian along test runs.

    Whole Hessians up to 64 parameters; of larger problems the few largest eigenvalues, by Lanczos iteration on
    Hessian-vector products, each the directional derivative of the gradient. Where the loss draws minibatches, the
    Hessian is that of one of them.

    Args:
        task: gives the test problems.
        optimizer: whose runs are followed.
        key: draws problems and minibatches.
        num_problems, num_steps: size of the runs.
        num_points: intervals between the points at which the Hessian is taken.
        num_eigenvalues: how many of the largest are kept of large problems.

    Returns:
        The eigenvalues at evenly spaced points from the start to the end of the runs.

    Raises:
        ValueError: if `num_steps` is not a multiple of `num_points`.
    """
    check_count("num_points", num_points)
    if num_steps % num_points:
        raise ValueError(f"`num_steps` must be a multiple of `num_points` = {num_points}, got {num_steps}.")
    problems, keys = sample_problems(task, Purpose.TEST.key(key), num_problems)
    every = num_steps // num_points
    run = _run(task, problems, keys, as_optimizer(optimizer), Save(params=True, every=every), num_steps)
    points = jax.tree.map(lambda saved, end: jnp.concatenate([saved, end[:, None]], 1), run.params, run.final_params)
    flat = jax.vmap(jax.vmap(lambda params: ravel_pytree(params)[0]))(points)
    if flat.shape[-1] <= _LARGEST_DENSE:
        hessians = np.array(_dense(task, problems, points, keys))
        hessians[~np.isfinite(hessians).all((2, 3))] = np.nan
        eigenvalues = np.full(hessians.shape[:3], np.nan)
        whole = np.isfinite(hessians).all((2, 3))
        eigenvalues[whole] = np.linalg.eigvalsh(hessians[whole].astype(np.float64))
    else:
        eigenvalues = np.array(
            [
                [_lanczos(task, _row(problems, i), np.asarray(x), keys[i], num_eigenvalues) for x in flat[i]]
                for i in range(num_problems)
            ]
        )
    return Curvatures(
        task=name_of(task),
        steps=np.arange(num_points + 1) * every,
        eigenvalues=eigenvalues,
        bound=task.largest_curvature,
        provenance=provenance(num_problems=num_problems, num_steps=num_steps),
    )


@compiled(eqx.filter_jit)
def _run(task, problems, keys, optimizer, save, num_steps):
    return rollout_batch(task, problems, optimizer, num_steps=num_steps, keys=keys, save=save)


@eqx.filter_jit
def _dense(task, problems, points, keys):
    def hessian(problem, params, key):
        flat, unravel = ravel_pytree(params)
        return jax.hessian(lambda x: task.loss(problem, unravel(x), key))(flat)

    return jax.vmap(jax.vmap(hessian, in_axes=(None, 0, None)))(problems, points, keys)


def _row(problems, i):
    return jax.tree.map(lambda array: array[i], problems)


def _lanczos(task, problem, x, key, num_eigenvalues):
    from scipy.sparse.linalg import LinearOperator, eigsh

    if not np.isfinite(x).all():
        return np.full(num_eigenvalues, np.nan)

    def product(vector):
        return np.asarray(_hessian_product(task, problem, x, vector.astype(x.dtype).ravel(), key), np.float64)

    operator = LinearOperator((x.size, x.size), matvec=product, dtype=np.float64)  # pyright: ignore
    start = np.random.default_rng(0).standard_normal(x.size)
    found = eigsh(operator, num_eigenvalues, which="LA", v0=start, tol=1e-3, return_eigenvectors=False)  # pyright: ignore
    return np.sort(found)


@eqx.filter_jit
def _hessian_product(task, problem, x, vector, key):
    _, unravel = ravel_pytree(problem.initial_params)

    def gradient(x):
        return ravel_pytree(jax.grad(lambda params: task.loss(problem, params, key))(unravel(x)))[0]

    return jax.jvp(gradient, (x,), (vector,))[1]
