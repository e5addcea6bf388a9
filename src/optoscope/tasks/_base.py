"""A task is a distribution of problems; a problem is what was drawn from it."""

import abc
from typing import Any

import equinox as eqx
import jax

from optoscope._types import Array, Float, Params, PRNGKeyArray


class Problem(eqx.Module):
    """One optimization problem: the initial parameters, and in subclasses whatever else was drawn.

    Problems are arrays: `jax.vmap(task.sample)(keys)` is a batch.
    """

    initial_params: Params


class AbstractTask(eqx.Module):
    """A distribution of optimization problems. A dataset is a field of the task, shared by all its problems."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> Problem:
        """Draw one problem."""

    @abc.abstractmethod
    def loss(self, problem: Any, params: Params, key: PRNGKeyArray) -> Float[Array, ""]:
        """Return the loss of `params` on a problem of this task; `key` draws the minibatch where there is one."""

    def value_and_gradient(self, problem: Any, params: Params, key: PRNGKeyArray) -> tuple[Float[Array, ""], Params]:
        """Return the loss and its gradient with respect to `params`. Heavy tasks say here how it is differentiated."""
        return jax.value_and_grad(lambda x: self.loss(problem, x, key))(params)
