"""Removing what the state holds along chosen modes, in the full nonlinear dynamics."""

from typing import final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from optoscope._core.types import Array, ArrayLike
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics import Modes
from optoscope.interventions._base import AbstractAlongPath, Advance, check_state, entry, tick, with_clock
from optoscope.optimizers import AbstractOptimizer


@final
class RemoveDirections(AbstractAlongPath):
    """After every step the state's deviation from a reference loses its part in a subspace.

    `h' = F(h, g) - P (F(h, g) - p_(k+1))` with a projection `P`; the update of the step itself is the base's,
    `r(h, g)`. So what the present gradient does at once stays, and what would have been remembered of it along these
    directions is gone: heavy ball without its mode is gradient descent with heavy ball's learning rate.

    The reference decides what a deviation is: along the autonomous run the schedule stays as it is; from the fixed
    point the part of the schedule that lies in the subspace goes as well.

    Args:
        base: the optimizer.
        path: the reference states `p_0 ..` [step, state]; the last one holds after their end.
        removed: the projection `P` [state, state], not necessarily an orthogonal one; 0 removes nothing, and the
            optimizer is the base, up to rounding.

    Raises:
        ValueError: if a shape does not fit.
    """

    base: AbstractOptimizer
    path: Float[Array, "step state"] | Float[np.ndarray, "step state"]
    removed: Float[Array, "state state"] | Float[np.ndarray, "state state"]

    def __check_init__(self):
        check_state(self.base, "removed", self.removed)

    def initial_state(self) -> Float[Array, " state"]:
        start = self.base.initial_state()
        return with_clock(self._without(start, jnp.asarray(self.path, start.dtype)[0]))

    def _without(self, h, reference):
        return h - (h - reference) @ jnp.asarray(self.removed, h.dtype).T

    def _along(self, advance: Advance, h: Array, g: Array, clock: Array) -> tuple[Array, Array]:
        h, dx = advance(h, g)
        return self._without(h, entry(self.path, tick(clock, self.path))), dx


def projection(found: Modes, which: ArrayLike) -> Float[np.ndarray, "state state"]:
    """Return the real projection onto the invariant subspace of some modes, along all the others.

    `P = Re sum_j r_j l_j`, with right and left eigenvectors.

    Args:
        found: modes of a linearized optimizer.
        which: their indices; both of a conjugate pair.

    Raises:
        ValueError: if half of a pair is missing: the subspace would not be real.

    >>> from optoscope.dynamics import linearize, modes
    >>> from optoscope.optimizers import AggregatedMomentum
    >>> two = modes(linearize(AggregatedMomentum([1.0, 0.1], [0.9, 0.5]), [0.0, 0.0]))
    >>> projection(two, [0]).round(6).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    chosen = np.atleast_1d(np.asarray(which, int))
    decays = found.decays[chosen]
    if not np.isclose(np.sort_complex(decays), np.sort_complex(np.conj(decays))).all():
        raise ValueError(f"the modes {chosen.tolist()} hold half of a conjugate pair; name both of its modes.")
    return np.real(found.right[:, chosen] @ found.left[chosen])


@takes_rule
def remove_modes(optimizer: AbstractOptimizer, found: Modes, which: ArrayLike, *, path: ArrayLike) -> RemoveDirections:
    """Remove some modes of the linearization from an optimizer's full, nonlinear dynamics.

    Args:
        optimizer: the optimizer.
        found: its modes.
        which: the indices of those to remove; both of a conjugate pair.
        path: the states from which deviations count: the autonomous run or a fixed point, [step, state] or [state].

    Raises:
        ValueError: if half of a pair is missing, or a shape does not fit.
    """
    return RemoveDirections(optimizer, np.atleast_2d(np.asarray(path, float)), projection(found, which))


@takes_rule
def keep_modes(optimizer: AbstractOptimizer, found: Modes, which: ArrayLike, *, path: ArrayLike) -> RemoveDirections:
    """Remove all modes but some from an optimizer's full, nonlinear dynamics; arguments as of `remove_modes`."""
    others = np.eye(optimizer.num_states) - projection(found, which)
    return RemoveDirections(optimizer, np.atleast_2d(np.asarray(path, float)), others)
