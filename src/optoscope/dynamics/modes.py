"""The eigenmodes of a linearized optimizer, as momentum timescales and learning rates."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Complex, Float

from optoscope._provenance import provenance
from optoscope._results import Result
from optoscope._types import ArrayLike
from optoscope.dynamics.linearize import Linearization
from optoscope.optimizers import AggregatedMomentum


@dataclasses.dataclass(frozen=True)
class Modes(Result):
    """Eigenmodes of a linearized optimizer: momentum with one timescale per mode (App. C, eq. 6).

    Near the fixed point the response to a unit gradient at iteration 0 is
    `dx_k = -Re sum_j learning_rates_j * decays_j^k - direct * [k = 0]`. Modes are ordered by the magnitude of
    their learning rate, largest first; complex ones come in conjugate pairs.

    Attributes:
        decays: `beta_j`, the eigenvalues of `A`.
        learning_rates: `alpha_j`; they do not depend on how eigenvectors are scaled, and with `direct` sum to the
            effective learning rate.
        right: right eigenvectors, one per column.
        left: left eigenvectors, one per row: `left @ right = 1`.
        direct: the part of the learning rate that bypasses the state (0 where `dx` reads only the new state).
        condition: condition number of the eigenvector basis; above 1e8 single modes mean little (Jordan blocks).
        provenance: who made it.
    """

    decays: Complex[np.ndarray, " mode"]
    learning_rates: Complex[np.ndarray, " mode"]
    right: Complex[np.ndarray, "state mode"]
    left: Complex[np.ndarray, "mode state"]
    direct: float
    condition: float
    provenance: dict[str, Any]

    def impulse_response(self, num_steps: int) -> Float[np.ndarray, " step"]:
        """Return the updates `dx_0 ..` that follow one unit gradient at iteration 0."""
        powers = self.decays[:, None] ** np.arange(num_steps)
        response = -(self.learning_rates @ powers).real
        response[:1] -= self.direct
        return response

    def as_optimizer(self, which: ArrayLike | None = None) -> AggregatedMomentum:
        """Return the linear optimizer made of some modes (all of them if `which` is None).

        Args:
            which: indices of modes; include both of a conjugate pair.
        """
        chosen = np.arange(len(self.decays)) if which is None else np.atleast_1d(np.asarray(which))
        decays, rates = self.decays[chosen], self.learning_rates[chosen]
        if which is None and self.direct:
            decays, rates = np.append(decays, 0), np.append(rates, self.direct)
        if not decays.imag.any() and not rates.imag.any():
            decays, rates = decays.real, rates.real
        return AggregatedMomentum(learning_rates=rates, decays=decays)


def modes(linearization: Linearization) -> Modes:
    """Decompose a linearized optimizer into eigenmodes (NumPy, float64).

    With `dx = K h'` for a row vector `K` (true of every optimizer that reads out its new state), the learning rate
    of mode j is `alpha_j = -(K r_j)(l_j B)`. App. C leaves out the readout factor `K r_j`, without which `alpha_j`
    would depend on how eigenvectors are scaled. Where no such `K` exists (Nesterov), the same number comes from
    `-(C r_j)(l_j B) / beta_j`, and what passes the state by is `direct`.

    Args:
        linearization: from `linearize`.

    Returns:
        The modes, largest learning rate first.

    >>> from optoscope.optimizers import Momentum
    >>> from optoscope.dynamics import linearize
    >>> found = modes(linearize(Momentum(learning_rate=0.1, decay=0.9), [0.0]))
    >>> found.decays.real.tolist(), found.learning_rates.real.round(6).tolist()
    ([0.9], [0.1])
    """
    A, B, C, D = linearization.A, linearization.B, linearization.C, linearization.D
    decays, right = np.linalg.eig(A.astype(np.complex128))
    if not len(decays):
        empty = np.zeros(0, np.complex128)
        return Modes(empty, empty, right, right, direct=-D, condition=1.0, provenance=provenance())
    left = np.linalg.inv(right)
    driven = left @ B
    readout, *_ = np.linalg.lstsq(np.column_stack([A, B]).T, np.append(C, D), rcond=None)
    misfit = np.abs(np.append(readout @ A - C, readout @ B - D)).max()
    if misfit <= 1e-9 * max(np.abs(C).max(), abs(D), np.finfo(float).tiny):
        learning_rates, direct = -(readout @ right) * driven, 0.0
    else:
        reach = (C @ right) * driven
        small = np.abs(decays) < 1e-12
        learning_rates = -np.where(small, 0, reach) / np.where(small, 1, decays)
        direct = float(-D - learning_rates.sum().real)
    order = np.lexsort((-decays.imag, -np.abs(learning_rates).round(12)))
    return Modes(
        decays=decays[order],
        learning_rates=learning_rates[order],
        right=right[:, order],
        left=left[order],
        direct=direct,
        condition=float(np.linalg.cond(right)),
        provenance=provenance(),
    )
