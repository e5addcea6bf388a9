"""The eigenmodes of a linearized optimizer, as momentum timescales and learning rates."""

import dataclasses
import itertools
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import ArrayLike
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
        condition: condition number of the eigenvector basis; above 1e6 or so only sums of modes mean something.
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

    def units(self) -> list[Int[np.ndarray, " _"]]:
        """Return the modes one by one as arrays of indices, conjugate pairs together."""
        return conjugate_units(self.decays)

    def responses(self, num_steps: int) -> Float[np.ndarray, "unit step"]:
        """Return the part of each of `units()` in the updates that follow one unit gradient at iteration 0."""
        powers = self.decays[:, None] ** np.arange(num_steps)
        parts = -(self.learning_rates[:, None] * powers).real
        return np.array([parts[unit].sum(0) for unit in self.units()]).reshape(-1, num_steps)

    def leading(self, share: float = 0.9) -> Int[np.ndarray, " chosen"]:
        """Choose few modes that carry the memory, conjugate pairs together.

        The memory is what follows a unit gradient after the update in which it is seen. One by one the mode (or pair)
        is taken that brings the chosen ones nearest to the whole of it, until they miss at most `1 - share` of it
        (relative root mean square). Many modes mean a memory in which large terms cancel, not many timescales that
        matter by themselves.

        Args:
            share: how much of the memory they make up, below 1.

        Returns:
            Indices of modes, none if there is no memory.

        Raises:
            ValueError: if a mode does not decay.

        >>> from optoscope.optimizers import AggregatedMomentum
        >>> from optoscope.dynamics import linearize
        >>> modes(linearize(AggregatedMomentum([0.01, 1.0], [0.5, 0.9]), [0.0, 0.0])).leading().tolist()
        [0]
        """
        slowest = float(np.abs(self.decays).max(initial=0.0))
        if slowest >= 1:
            raise ValueError(f"a mode with |decay| {slowest:.6g} does not decay; its memory has no end.")
        memories = self.responses(int(np.clip(np.ceil(10 / max(1e-3, 1 - slowest)), 10, 10_000)))[:, 1:]
        chosen, _ = fewest(memories, memories.sum(0), 1 - share)
        units = self.units()
        return np.sort(np.concatenate([np.zeros(0, int), *(units[i] for i in chosen)]))

    def best(self, number: int, *, num_steps: int = 200) -> tuple[Int[np.ndarray, " chosen"], float]:
        """Return the few modes that explain most of the squared impulse response, and the share that they explain.

        Args:
            number: at most so many; a conjugate pair counts as one mode, which oscillates.
            num_steps: length of the response.
        """
        response, parts, units = self.impulse_response(num_steps), self.responses(num_steps), self.units()
        size, best, chosen = max(float((response**2).sum()), np.finfo(float).tiny), -np.inf, ()
        for picked in itertools.chain(*(itertools.combinations(range(len(units)), n + 1) for n in range(number))):
            share = 1 - float(((response - parts[list(picked)].sum(0)) ** 2).sum()) / size
            if share > best + 1e-12:
                best, chosen = share, picked
        return np.concatenate([np.zeros(0, int), *(units[i] for i in chosen)]), best

    def num_of_size(self, share: float) -> int:
        """Return how many modes have a learning rate of at least a share of the largest."""
        sizes = np.abs(self.learning_rates)
        return int((sizes >= share * sizes.max(initial=0.0)).sum())

    def as_optimizer(self, which: ArrayLike | int | None = None) -> AggregatedMomentum:
        """Return the linear optimizer made of some modes (all of them if `which` is None).

        Args:
            which: indices of modes; include both of a conjugate pair.
        """
        chosen = np.arange(len(self.decays)) if which is None else np.atleast_1d(np.asarray(which))
        decays, rates = self.decays[chosen], self.learning_rates[chosen]
        if which is None and self.direct:
            decays, rates = np.append(decays, 0), np.append(rates, self.direct)
        if np.isreal(decays).all() and np.isreal(rates).all() and (np.real(decays) >= 0).all():
            decays, rates = np.real(decays), np.real(rates)
        return AggregatedMomentum(learning_rates=rates, decays=decays)


def conjugate_units(decays: Complex[np.ndarray, " mode"]) -> list[Int[np.ndarray, " _"]]:
    """Return decays one by one as arrays of indices, each with its conjugate, the nearest one that is left."""
    lower, units = list(np.flatnonzero(np.imag(decays) < 0)), []
    for i in np.flatnonzero(np.imag(decays) >= 0):
        unit = [i]
        if np.imag(decays[i]) > 0 and lower:
            unit.append(min(lower, key=lambda j: abs(decays[j] - np.conj(decays[i]))))
            lower.remove(unit[-1])
        units.append(np.array(unit))
    return units


def fewest(
    parts: Float[np.ndarray, "unit step"], target: Float[np.ndarray, " step"], miss: float
) -> tuple[list[int], Float[np.ndarray, " step"]]:
    """Choose few parts of a response whose sum comes near to it.

    One by one the part is taken that brings the sum of the chosen ones nearest, until they miss at most the share
    `miss` of the target (root of the sum of squares), or there are no more.

    Returns:
        The chosen parts in that order, and what they leave of the target.
    """
    left, remaining, chosen = target.copy(), list(range(len(parts))), list[int]()
    enough = miss * np.linalg.norm(target)
    while remaining and np.linalg.norm(left) > enough:
        nearest = min(remaining, key=lambda i: float(np.linalg.norm(left - parts[i])))
        remaining.remove(nearest)
        chosen.append(nearest)
        left = left - parts[nearest]
    return chosen, left


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

    Raises:
        ValueError: if modes do not make up the system (a Jordan block, or a gradient passed on after a delay).

    >>> from optoscope.optimizers import Momentum
    >>> from optoscope.dynamics import linearize
    >>> found = modes(linearize(Momentum(learning_rate=0.1, decay=0.9), [0.0]))
    >>> found.decays.real.tolist(), found.learning_rates.real.round(6).tolist()
    ([0.9], [0.1])
    """
    A, B, C, D = linearization.A, linearization.B, linearization.C, linearization.D
    if not len(A):
        none = np.zeros(0, np.complex128)
        return Modes(none, none, none.reshape(0, 0), none.reshape(0, 0), -D, 1.0, provenance())
    decays, right = (part.astype(np.complex128) for part in np.linalg.eig(A))
    try:
        left = np.linalg.inv(right)
    except np.linalg.LinAlgError:
        left = np.full_like(right, np.nan)
    driven = left @ B
    readout, *_ = np.linalg.lstsq(np.column_stack([A, B]).T, np.append(C, D), rcond=None)
    misfit = np.abs(np.append(readout @ A - C, readout @ B - D)).max()
    if misfit <= 1e-9 * np.abs(np.append(C, D)).max():
        learning_rates, direct = -(readout @ right) * driven, 0.0
    else:
        zero = np.abs(decays) <= 1e-12 * np.abs(decays).max()
        learning_rates = -np.where(zero, 0, (C @ right) * driven) / np.where(zero, 1, decays)
        direct = float(-D - learning_rates.sum().real)
    order = _order(decays, learning_rates)
    found = Modes(
        decays=decays[order],
        learning_rates=learning_rates[order],
        right=right[:, order],
        left=left[order],
        direct=direct,
        condition=float(np.linalg.cond(right)),
        provenance=provenance(),
    )
    _check(found, linearization)
    return found


def _order(decays, learning_rates):
    """Largest learning rate first, each conjugate pair together (NumPy gives them side by side, upper one first)."""
    leaders = np.flatnonzero(decays.imag >= 0)
    leaders = leaders[np.argsort(-np.abs(learning_rates[leaders]), kind="stable")]
    return np.concatenate([[i, i + 1] if decays[i].imag > 0 else [i] for i in leaders])


def _check(found, linearization):
    """Refuse modes that do not add up to the linear system: it has Jordan blocks, or delays."""
    A = linearization.A
    response = linearization.impulse_response(len(A) + 1)  # by Cayley and Hamilton, these determine all later values
    with np.errstate(all="ignore"):
        missed = np.abs(found.impulse_response(len(response)) - response).max()
        changed = np.abs((found.right * found.decays) @ found.left - A).max()
    if not (missed <= 1e-6 * np.abs(response).max() and changed <= 1e-6 * np.abs(A).max()):
        raise ValueError(
            f"this linearization is not a sum of {len(A)} modes `alpha * beta^k`: they miss its response to a gradient "
            f"by {missed:.1e} (condition number of the eigenvectors: {found.condition:.1e}). It has repeated "
            "eigenvalues that share an eigenvector, or passes a gradient on after a delay. Use its `A`, `B`, `C`, `D` "
            "themselves."
        )
