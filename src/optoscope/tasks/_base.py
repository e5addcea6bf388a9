"""A task is a distribution of problems; a problem is what was drawn from it."""

import abc
import inspect
from typing import Any, ClassVar

import equinox as eqx
import jax

from optoscope._core.types import Array, Float, Keys, Params, PRNGKeyArray


class Problem(eqx.Module):
    """One optimization problem: the initial parameters, and in subclasses whatever else was drawn.

    Problems are arrays: `jax.vmap(task.sample)(keys)` is a batch.
    """

    initial_params: Params


class AbstractTask(eqx.Module):
    """A distribution of optimization problems. A dataset is a field of the task, shared by all its problems.

    A task knows itself: nobody else asks for its class or keeps a table of names.

    Attributes:
        kind: the name under which it is registered; its class's name if it has none.
        label: what it is called inside a sentence; made of `kind` if it has none.
        is_network: whether its parameters are a network's.
        largest_curvature: no eigenvalue of a problem's Hessian is larger, wherever it is taken.
    """

    kind: ClassVar[str] = ""
    label: ClassVar[str] = ""
    is_network: ClassVar[bool] = False
    largest_curvature: ClassVar[float] = float("inf")

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "kind" not in vars(cls):
            cls.kind = cls.__name__
        if "label" not in vars(cls):
            cls.label = cls.kind.replace("_", " ")

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> Problem:
        """Draw one problem."""

    @abc.abstractmethod
    def loss(self, problem: Any, params: Params, key: PRNGKeyArray) -> Float[Array, ""]:
        """Return the loss of `params` on a problem of this task; `key` draws the minibatch where there is one."""

    def value_and_gradient(self, problem: Any, params: Params, key: PRNGKeyArray) -> tuple[Float[Array, ""], Params]:
        """Return the loss and its gradient with respect to `params`. Heavy tasks say here how it is differentiated."""
        return jax.value_and_grad(lambda x: self.loss(problem, x, key))(params)

    @classmethod
    def is_at_hand(cls) -> bool:
        """Return whether it can be made without a download."""
        return True

    @property
    def name(self) -> str:
        """Its kind, with the settings that differ from the defaults: `linear_regression(num_params=3)`."""
        parameters = inspect.signature(type(self)).parameters.values()
        settings = {one.name: (getattr(self, one.name), one.default) for one in parameters if hasattr(self, one.name)}
        changed = [f"{name}={value!r}" for name, (value, default) in settings.items() if value != default]
        return f"{self.kind}({', '.join(changed)})" if changed else self.kind

    @property
    def cost(self) -> int:
        """What one step of one problem costs: the number of its parameters."""
        problem = jax.eval_shape(self.sample, jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(problem.initial_params))

    def describe(self, key: PRNGKeyArray) -> Any:
        """Return a result that shows what its problems look like; None where there is no such picture.

        Args:
            key: draws problems.
        """
        del key
        return None


@eqx.filter_jit  # numbers that are not arrays, such as sizes, are static
def sample_problems(task: AbstractTask, key: PRNGKeyArray, num_problems: int) -> tuple[Problem, Keys]:
    """Draw a batch of problems, and the keys that draw their minibatches.

    Returns:
        Problems with a leading problem axis, and as many keys.
    """
    problem_key, rollout_key = jax.random.split(key)
    problems = jax.vmap(task.sample)(jax.random.split(problem_key, num_problems))
    return problems, jax.random.split(rollout_key, num_problems)
