"""Linear memories: from responses to impulses to a state-space system, and to words."""

import equinox as eqx
import numpy as np
import scipy
from jaxtyping import Complex, Float

#: Singular values below this share of the largest are noise; orders above the limit are no memory but a table.
_NOISE, _LARGEST_ORDER = 1e-7, 24
#: Largest order of a memory that changes with the step.
_LARGEST_CHANGING = 4
#: Length of the response from which a system is made.
_HANKEL = 160
#: Share of the largest weight (squares of rates) from which on a response shows.
_SHOWS = 1e-12
#: Relative error that a structure may leave of all responses.
MATCHES = 2e-3
#: Relative error that a constant system may leave of its response, and the ratio of singular values, some orders apart,
#: from which on what is left is rounding.
REALIZES, _FLAT, _APART = 5e-3, 0.05, 3


class LinearMemory(eqx.Module):
    """`z' = A_n z + B_n u`, `y = C_n z + D_n u`: constant, or one matrix for each step n.

    Attributes:
        A, B, C, D: [step or 1, ...].
    """

    A: Float[np.ndarray, "times order order"]
    B: Float[np.ndarray, "times order"]
    C: Float[np.ndarray, "times order"]
    D: Float[np.ndarray, " times"]

    @property
    def order(self) -> int:
        """Number of state variables."""
        return self.B.shape[1]

    def response(self, num_steps: int) -> Float[np.ndarray, " step"]:
        """What follows a unit impulse at step 0, where the system is constant."""
        found, z = [float(self.D[0])], self.B[0]
        for _ in range(num_steps - 1):
            found.append(float(self.C[0] @ z))
            z = self.A[0] @ z
        return np.array(found)


def no_memory() -> LinearMemory:
    """What passes everything on at once."""
    return LinearMemory(np.zeros((1, 0, 0)), np.zeros((1, 0)), np.zeros((1, 0)), np.ones(1))


def realize(response: np.ndarray) -> LinearMemory:
    """Make a constant system of an impulse response (Kung, 1978)."""
    direct, tail = response[0], response[1:]
    tail = tail[: 2 * _HANKEL]
    if not np.any(np.abs(tail) > 1e-12 * np.abs(response).max(initial=0.0)):
        return LinearMemory(np.zeros((1, 0, 0)), np.zeros((1, 0)), np.zeros((1, 0)), np.array([direct]))
    n = len(tail) // 2
    U, s, V = np.linalg.svd(scipy.linalg.hankel(tail[:n], tail[n - 1 : 2 * n - 1]))
    order = int(min(_LARGEST_ORDER, max(1, (s > _NOISE * s[0]).sum())))
    left = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])  # what the singular values from each one on make
    for smaller in range(1, order - _APART):
        if left[smaller] <= REALIZES * s[0] and s[smaller + _APART] > _FLAT * s[smaller]:
            order = smaller
            break
    root = np.sqrt(s[:order])
    observe, reach = U[:, :order] * root, root[:, None] * V[:order]
    A = np.linalg.lstsq(observe[:-1], observe[1:], rcond=None)[0]
    return LinearMemory(A[None], reach[:, 0][None], observe[0][None], np.array([direct]))


def realize_changing(kernel: np.ndarray) -> LinearMemory | None:
    """Make a system that changes with the step of its responses [read at, given at]; None if it needs many states."""
    T = len(kernel)
    size = np.linalg.norm(kernel)
    spaces, order = [], 0
    counts = lambda s: int((s > 1e-5 * size / np.sqrt(T)).sum())
    if counts(np.linalg.svd(kernel[T // 2 :, : T // 2], compute_uv=False)) > _LARGEST_CHANGING:
        return None
    for k in range(1, T):
        U, s, V = np.linalg.svd(kernel[k:, :k], full_matrices=False)
        rank = counts(s)
        order = max(order, rank)
        if rank > _LARGEST_CHANGING:
            return None
        root = np.sqrt(s[:rank])
        spaces.append((U[:, :rank] * root, root[:, None] * V[:rank]))
    A, B, C = np.zeros((T, order, order)), np.zeros((T, order)), np.zeros((T, order))
    for k in range(T - 1):
        observe, reach = spaces[k]  # of the state before step k + 1
        rank = observe.shape[1]
        B[k, :rank] = reach[:, -1]
        C[k + 1, :rank] = observe[0]
        if k + 1 < T - 1:
            after = spaces[k + 1][0]
            A[k + 1, : after.shape[1], :rank] = np.linalg.lstsq(after, observe[1:], rcond=None)[0]
    return LinearMemory(A, B, C, np.diag(kernel).copy())


def match(kernel: np.ndarray, response: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Relative error of `after(k) response(k - j) before(j)` as the responses."""
    T = len(kernel)
    lag = np.arange(T)[:, None] - np.arange(T)
    model = np.where(lag >= 0, response[np.maximum(lag, 0)], 0.0) * after[:, None] * before
    return float(np.linalg.norm(model - kernel) / max(np.linalg.norm(kernel), 1e-300))


def separate(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Split responses [read at, given at] into a schedule before, a constant response, and a schedule after.

    Returns:
        before, response as far as it shows (a rate that falls to 0 hides the rest), after, and the relative error that
        is left.
    """
    T = len(kernel)
    lag = 0
    while lag < T - 1 and not np.any(np.diag(kernel, -lag)):
        lag += 1
    rates = np.zeros(T)
    rates[lag:] = np.diag(kernel, -lag)
    if not rates.any():
        return np.ones(T), np.zeros(T), np.ones(T), 0.0 if not kernel.any() else 1.0
    rates = rates / rates[np.argmax(np.abs(rates))]
    ones = np.ones(T)
    if np.ptp(rates[lag:]) < 1e-9:
        rates = ones
    given = np.append(rates[lag:], np.full(lag, rates[-1]))
    best = None
    for before, after in ((ones, rates), (given, ones)):
        weights = [after[m:] * before[: T - m] for m in range(T)]
        totals = np.array([(some**2).sum() for some in weights])
        shown = int(np.flatnonzero(totals > _SHOWS * totals.max())[-1]) + 1
        response = np.zeros(T)
        for m in np.flatnonzero(totals[:shown] > _SHOWS * totals.max()).tolist():
            response[m] = (weights[m] * np.diag(kernel, -m)).sum() / totals[m]
        error = match(kernel, response, before, after)
        if best is None or error < 0.5 * best[3]:
            best = (before, response[:shown], after, error)
    return best


def decays_of(memory: LinearMemory) -> Complex[np.ndarray, " mode"]:
    """Eigenvalues of a constant system; repeated ones are as near to each other as rounding leaves them."""
    return np.linalg.eigvals(memory.A[0]).astype(complex) if memory.order else np.zeros(0, complex)
