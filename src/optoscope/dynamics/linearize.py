"""An optimizer near one of its states as a linear system."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from optoscope._core.checks import check_number
from optoscope._core.compiled import compiled
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import ArrayLike
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics._kinks import has_kink
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.update_function import as_state
from optoscope.optimizers import AbstractOptimizer


@dataclasses.dataclass(frozen=True)
class Linearization(Result):
    """First-order expansion of an optimizer at `(h*, g*)`.

    `h' = F* + A (h - h*) + B (g - g*)` and `dx = dx* + C (h - h*) + D (g - g*)`
    (Maheswaranathan et al., 2021, eq. 3 and App. C; at a fixed point `F* = h*`).

    Attributes:
        A: `dF/dh`.
        B: `dF/dg`.
        C: `d(dx)/dh`.
        D: `d(dx)/dg`, a number; minus the effective learning rate if `g* = 0`.
        state: `h*`.
        gradient: `g*`.
        next_state: `F* = F(h*, g*)`.
        update: `dx*`.
        residual: `|F* - h*|`: how far `h*` is from a fixed point.
        provenance: who made it.
    """

    A: Float[np.ndarray, "state state"]
    B: Float[np.ndarray, " state"]
    C: Float[np.ndarray, " state"]
    D: float
    state: Float[np.ndarray, " state"]
    gradient: float
    next_state: Float[np.ndarray, " state"]
    update: float
    residual: float
    provenance: dict[str, Any]

    def impulse_response(self, num_steps: int) -> Float[np.ndarray, " step"]:
        """Return the updates `dx_0 ..` that follow one unit gradient.

        >>> from optoscope.optimizers import Momentum
        >>> linearize(Momentum(learning_rate=1.0, decay=0.5), [0.0]).impulse_response(3).tolist()
        [-1.0, -0.5, -0.25]
        """
        response, h = np.empty(num_steps), self.B
        response[:1] = self.D
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(1, num_steps):
                response[k] = self.C @ h
                h = self.A @ h
        return response


@takes_rule
@in_float64
def linearize(optimizer: AbstractOptimizer, h: ArrayLike, g: float = 0.0) -> Linearization:
    """Linearize an optimizer at a state and a gradient, in float64.

    Args:
        optimizer: any component-wise optimizer.
        h: the state [state]; usually a fixed point.
        g: the gradient.

    Returns:
        The four derivatives and how far `h` is from a fixed point.

    Raises:
        ValueError: if the state does not fit, or the optimizer has no derivative there: Adam at 0, or a rule with a
            kink or a jump there (a gradient that counts on one side only, a sign at 0).

    >>> from optoscope.optimizers import Momentum
    >>> linearization = linearize(Momentum(learning_rate=0.1, decay=0.9), [0.0])
    >>> linearization.A.tolist(), round(linearization.D, 3)
    ([[0.9]], -0.1)
    """
    state = as_state(optimizer, h)
    gradient = float(g)
    check_number("g", gradient, hint="use a finite number")
    optimizer = to_float64(optimizer)
    (next_state, update), ((A, B), (C, D)) = jax.tree.map(np.asarray, _expand(optimizer, state, gradient))
    broken = [name for name, part in zip("ABCD", (A, B, C, D)) if not np.all(np.isfinite(part))]
    if broken:
        raise ValueError(
            f"{type(optimizer).__name__} has no linearization at this state with gradient {gradient:g}: "
            f"{', '.join(broken)} is not finite (for instance the root of a mean square at 0). "
            "Linearize at a nonzero gradient, or at a state that a run has visited."
        )
    if has_kink(optimizer, state[None], np.array([gradient]))[0]:
        raise ValueError(
            f"{type(optimizer).__name__} has no linearization at this state with gradient {gradient:g}: its updates "
            "have a kink there, with one slope for gradients above and another for those below. Linearize at a "
            "gradient on either side."
        )
    return Linearization(
        A=A,
        B=B,
        C=C,
        D=float(D),
        state=state,
        gradient=gradient,
        next_state=next_state,
        update=float(update),
        residual=float(np.linalg.norm(next_state - state)),
        provenance=provenance(),
    )


@compiled()
def _expand(optimizer, state, gradient):
    def step(h, g):
        value = optimizer.step(h, g)
        return value, value

    (states, updates), value = jax.jacfwd(step, argnums=(0, 1), has_aux=True)(state, gradient)
    exists = optimizer.has_derivative(state, gradient)
    return value, (states, tuple(jnp.where(exists, part, jnp.nan) for part in updates))
