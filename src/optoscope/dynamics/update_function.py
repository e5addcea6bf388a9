"""What an optimizer does at one state: the update as a function of the gradient."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from optoscope._core.checks import check_number
from optoscope._core.chunks import PAIRS, in_chunks
from optoscope._core.compiled import compiled
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import ArrayLike
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics._kinks import has_kink
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.optimizers import AbstractOptimizer


@dataclasses.dataclass(frozen=True)
class UpdateFunction(Result):
    """The map from gradient to update at frozen states (Maheswaranathan et al., 2021, section 4.1).

    Attributes:
        gradients: the gradients that were tried.
        states: the states at which the optimizer was held.
        updates: `dx`, for each state and gradient.
        provenance: who made it.
    """

    gradients: Float[np.ndarray, " grid"]
    states: Float[np.ndarray, "point state"]
    updates: Float[np.ndarray, "point grid"]
    provenance: dict[str, Any]

    @property
    def slope_back(self) -> Float[np.ndarray, " point"]:
        """By how much the odd part of each update falls back as |g| grows; gradients must be symmetric around 0."""
        odd = (self.updates - self.updates[:, ::-1])[:, len(self.gradients) // 2 :] / 2
        return slope_back(odd)


@takes_rule
@in_float64
def update_function(optimizer: AbstractOptimizer, h: ArrayLike, gradients: ArrayLike) -> UpdateFunction:
    """Compute the update for each gradient at one or several frozen states.

    Args:
        optimizer: any component-wise optimizer.
        h: one state [state], or several [point, state].
        gradients: gradients to try [grid].

    Returns:
        Updates of shape [point, grid]; `point` has length 1 for a single state.

    Raises:
        ValueError: if a shape does not fit, or a gradient is not finite.

    >>> from optoscope.optimizers import Momentum
    >>> update_function(Momentum(0.1, 0.9), [1.0], [0.0, 1.0]).updates.round(3).tolist()
    [[-0.09, -0.19]]
    """
    states = as_states(optimizer, h)
    grid = np.atleast_1d(np.asarray(gradients, np.float64))
    if grid.ndim != 1:
        raise ValueError(f"`gradients` must be a vector, got shape {grid.shape}; flatten it first.")
    check_number("gradients", grid, hint="use finite numbers")
    updates = _updates(to_float64(optimizer), states, grid)
    return UpdateFunction(grid, states, np.asarray(updates), provenance())


def slope_back(odd: Float[np.ndarray, "point grid"]) -> Float[np.ndarray, " point"]:
    """Return how far the odd part of an update falls below its running maximum, as a share of its largest magnitude.

    Args:
        odd: `(dx(g) - dx(-g)) / 2` over increasing g > 0, of either sense.

    >>> slope_back(np.array([[-1.0, -2.0, -3.0], [1.0, 4.0, 2.0]])).tolist()
    [0.0, 0.5]
    """
    largest = np.abs(odd).max(-1, initial=0.0)
    sense = np.sign(np.take_along_axis(odd, np.abs(odd).argmax(-1)[..., None], -1))
    moved = odd * sense
    fall = (np.maximum.accumulate(moved, axis=-1) - moved).max(-1, initial=0.0)
    return fall / np.where(largest > 0, largest, 1.0)


@takes_rule
@in_float64
def effective_learning_rate(
    optimizer: AbstractOptimizer, h: ArrayLike, *, gradient: ArrayLike | float | int = 0.0
) -> Float[np.ndarray, " point"] | float:
    """Compute `-d(dx)/dg` at frozen states: the slope of the update function (section 4.1).

    Args:
        optimizer: any component-wise optimizer.
        h: one state [state], or several [point, state].
        gradient: where the slope is taken: a number, or one per point. The paper takes 0.

    Returns:
        A number for a single state, else an array [point].

    Raises:
        ValueError: if a shape does not fit, or the update has no slope at one of the states (Adam at 0, or a kink).

    >>> from optoscope.optimizers import Momentum
    >>> float(effective_learning_rate(Momentum(0.1, 0.9), [5.0]))
    0.1
    """
    states = as_states(optimizer, h)
    gradients = np.broadcast_to(np.asarray(gradient, np.float64), states.shape[:1])
    slopes = slopes_or_nan(to_float64(optimizer), states, gradients)
    broken = np.flatnonzero(~np.isfinite(slopes))
    if len(broken):
        raise ValueError(
            f"the update of {type(optimizer).__name__} has no slope at gradient {gradients[broken[0]]:g} in "
            f"{len(broken)} of {len(states)} states, the first of them number {broken[0]} (for instance the root of a "
            "mean square at 0, or a kink with another slope on each side). Take the slope at a nonzero gradient, or at "
            "states that a run has visited."
        )
    return float(slopes[0]) if np.ndim(h) == 1 else slopes


def as_states(optimizer: AbstractOptimizer, h: ArrayLike) -> Float[np.ndarray, "point state"]:
    """Return `h` as a float64 array [point, state] after checking that it fits the optimizer.

    Raises:
        ValueError: if it does not.
    """
    states = np.asarray(h, np.float64)
    if states.ndim not in (1, 2) or states.shape[-1] != optimizer.num_states:
        raise ValueError(
            f"a state of {type(optimizer).__name__} has {optimizer.num_states} variables, got an array of shape "
            f"{states.shape}; pass [{optimizer.num_states}] or [point, {optimizer.num_states}]."
        )
    return states[None] if states.ndim == 1 else states


def as_state(optimizer: AbstractOptimizer, h: ArrayLike) -> Float[np.ndarray, " state"]:
    """Return `h` as one float64 state after checking that it fits the optimizer.

    Raises:
        ValueError: if it does not, or holds several states.
    """
    states = as_states(optimizer, h)
    if len(states) != 1:
        raise ValueError(f"one state is needed here, got {len(states)}; pass one of them at a time.")
    return states[0]


def slopes_or_nan(
    optimizer: AbstractOptimizer,
    states: Float[np.ndarray, "point state"],
    gradients: Float[np.ndarray, " point"],
) -> Float[np.ndarray, " point"]:
    """Compute `-d(dx)/dg` of a float64 optimizer, inside `in_float64`; NaN where it does not exist."""
    slopes = np.array(in_chunks(lambda *pairs: one_sided_slopes(optimizer, *pairs), PAIRS, states, gradients))
    slopes[~np.isfinite(slopes) | has_kink(optimizer, states, gradients)] = np.nan
    return slopes


@compiled()
def _updates(optimizer, states, gradients):
    return jax.vmap(lambda h: jax.vmap(lambda g: optimizer.step(h, g)[1])(gradients))(states)


@compiled()
def one_sided_slopes(optimizer, states, gradients):
    """Compute `-d(dx)/dg` of pairs; at a kink it is the slope of one side, or something between."""
    slopes = -jax.vmap(jax.grad(lambda g, h: optimizer.step(h, g)[1]))(gradients, states)
    return jnp.where(jax.vmap(optimizer.has_derivative)(states, gradients), slopes, jnp.nan)
