"""What tasks' problems and hand-designed rules look like: the pictures beside the results."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from optoscope._provenance import provenance
from optoscope._results import Result
from optoscope._types import PRNGKeyArray
from optoscope.dynamics import UpdateFunction, update_function
from optoscope.optimizers import GradientDescent, Momentum, RMSProp, from_optax
from optoscope.tasks import (
    AbstractTask,
    LinearRegression,
    LinearRegressionProblem,
    Rosenbrock,
    TwoMoons,
    name_of,
)
from optoscope.tasks._images import AbstractImageTask
from optoscope.tasks._network import num_params_of
from optoscope.training.objective import Purpose, sample_problems


@dataclasses.dataclass(frozen=True)
class ConditionNumbers(Result):
    """Condition numbers of random problems (bottom of Fig. 1a).

    Attributes:
        values: largest over smallest eigenvalue of each problem's Hessian.
        provenance: who made it.
    """

    values: Float[np.ndarray, " problem"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LossSurface(Result):
    """The loss over a plane, and where runs start (bottom of Fig. 1b).

    Attributes:
        x, y: the coordinates.
        losses: loss at each.
        starts: starts of random problems.
        provenance: who made it.
    """

    x: Float[np.ndarray, " x"]
    y: Float[np.ndarray, " y"]
    losses: Float[np.ndarray, "y x"]
    starts: Float[np.ndarray, "problem two"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LabeledPoints(Result):
    """A dataset in the plane (bottom of Fig. 1c).

    Attributes:
        points: coordinates.
        labels: -1 or 1.
        provenance: who made it.
    """

    points: Float[np.ndarray, "example 2"]
    labels: Float[np.ndarray, " example"]
    provenance: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Architecture(Result):
    """The layers of a convolutional network (bottom of Fig. 1d).

    Attributes:
        shapes: height, width and channels of the input and of what each convolution puts out.
        num_classes: outputs of the dense layer.
        kernel_size: of every convolution.
        num_params: parameters in all.
        provenance: who made it.
    """

    shapes: Int[np.ndarray, "layer 3"]
    num_classes: int
    kernel_size: int
    num_params: int
    provenance: dict[str, Any]


#: What a task's problems look like.
Information = ConditionNumbers | LossSurface | LabeledPoints | Architecture


@dataclasses.dataclass(frozen=True)
class KnownUpdates:
    """Update functions of hand-designed rules at several of their states (Fig. 2).

    Attributes:
        gradient_descent, gradient_clipping: one curve, for they have no state.
        momentum: one curve per velocity.
        rmsprop: one curve per accumulated squared gradient.
    """

    gradient_descent: UpdateFunction
    gradient_clipping: UpdateFunction
    momentum: UpdateFunction
    rmsprop: UpdateFunction


def describe_problems(task: AbstractTask, *, key: PRNGKeyArray, num_problems: int = 4096) -> Information | None:
    """Return what a task's problems look like; None for a task that has no such picture."""
    made_by = provenance(task=name_of(task), num_problems=num_problems)
    if isinstance(task, TwoMoons):
        return LabeledPoints(np.asarray(task.inputs), np.asarray(task.signs), made_by)
    if isinstance(task, AbstractImageTask):
        *shapes, (num_classes,) = task.layer_shapes()
        num_params = num_params_of(jax.eval_shape(task.sample, key).initial_params)
        return Architecture(np.array(shapes), num_classes, task.kernel_size, num_params, made_by)
    problems, keys = sample_problems(task, Purpose.TEST.key(key), num_problems)
    if isinstance(task, LinearRegression):
        assert isinstance(problems, LinearRegressionProblem)
        roots = np.linalg.svd(np.asarray(problems.matrix, np.float64), compute_uv=False)
        return ConditionNumbers((roots[:, 0] / roots[:, -1]) ** 2, made_by)
    if isinstance(task, Rosenbrock):
        x, y = np.linspace(-2.5, 2.5, 201), np.linspace(-1.5, 3.5, 201)
        plane = jnp.stack(jnp.meshgrid(x, y), axis=-1)
        first = jax.tree.map(lambda leaf: leaf[0], problems)
        losses = np.asarray(jax.vmap(jax.vmap(lambda at: task.loss(first, at, keys[0])))(plane), np.float64)
        starts = np.asarray(problems.initial_params, np.float64)
        return LossSurface(x, y, losses, starts, made_by)
    return None


def known_updates() -> KnownUpdates:
    """Compute the update functions of hand-designed rules, with the learning rate of the paper's Fig. 2.

    >>> known_updates().momentum.updates.shape
    (5, 121)
    """
    gradients = np.linspace(-1.5, 1.5, 121)
    clipping = from_optax(optax.chain(optax.clip(0.75), optax.sgd(0.01)))
    velocities = np.linspace(-1.0, 1.0, 5)[:, None]
    squares = np.array([0.05, 0.2, 0.5, 1.0, 2.0])[:, None]
    return KnownUpdates(
        gradient_descent=update_function(GradientDescent(0.01), np.zeros(0), gradients),
        gradient_clipping=update_function(clipping, np.asarray(clipping.initial_state()), gradients),
        momentum=update_function(Momentum(0.01, 0.9), velocities, gradients),
        rmsprop=update_function(RMSProp(0.01, 0.9), squares, gradients),
    )
