"""Linear memories: from responses to impulses to a state-space system, and to words."""

import equinox as eqx
import numpy as np
import scipy
from jaxtyping import Complex, Float

#: Singular values below this share of the largest are noise; orders above the limit are no memory but a table.
_NOISE, _LARGEST_ORDER = 1e-7, 24
#: Times the error of a response that a system of smaller order may leave.
_AS_NEAR = 3.0
#: Largest order of a memory that changes with the step.
_LARGEST_CHANGING = 4
#: Length of the response from which a system is made.
_HANKEL = 160
#: Share of the largest weight (squares of rates) from which on a response shows.
_SHOWS = 1e-12
#: Relative error that a structure may leave of all responses.
MATCHES = 2e-3
#: Relative difference of weights that are the same.
_ALIKE = 1e-3
#: Rounds of least squares for schedules on both sides, and the change (logarithm) of a late one that has settled.
_TURNS, _SETTLES = 40, 0.02
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


def realize(response: np.ndarray, noise: float = 0.0) -> LinearMemory:
    """Make a constant system of an impulse response (Kung, 1978).

    Args:
        response: from the step of the impulse on.
        noise: relative error of it: a system of the smallest order is made that comes as near, or the usual one.
    """
    direct, tail = response[0], response[1:]
    tail = tail[: 2 * _HANKEL]
    if not np.any(np.abs(tail) > 1e-12 * np.abs(response).max(initial=0.0)):
        return LinearMemory(np.zeros((1, 0, 0)), np.zeros((1, 0)), np.zeros((1, 0)), np.array([direct]))
    if len(tail) == 1:
        return LinearMemory(np.zeros((1, 1, 1)), np.ones((1, 1)), tail[None], np.array([direct]))
    n = len(tail) // 2
    # What grows is made steady first: its beginning would be lost beside its end.
    first, last = np.abs(tail[[0, -1]])
    growth = max(1.0, float((last / first) ** (1 / (len(tail) - 1)))) if first else 1.0
    tail = tail * growth ** -np.arange(len(tail))
    U, s, V = np.linalg.svd(scipy.linalg.hankel(tail[:n], tail[n - 1 : 2 * n - 1]))
    order = int(min(_LARGEST_ORDER, max(1, (s > _NOISE * s[0]).sum())))
    left = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])  # what the singular values from each one on make
    for smaller in range(1, order - _APART):
        if left[smaller] <= REALIZES * s[0] and s[smaller + _APART] > _FLAT * s[smaller]:
            order = smaller
            break
    for smaller in range(1, order):
        found = _of_order(smaller, U, s, V, direct, growth)
        if np.linalg.norm(found.response(len(response)) - response) <= _AS_NEAR * noise * np.linalg.norm(response):
            return found
    return _of_order(order, U, s, V, direct, growth)


def _of_order(order: int, U: np.ndarray, s: np.ndarray, V: np.ndarray, direct: float, growth: float) -> LinearMemory:
    root = np.sqrt(s[:order])
    observe, reach = U[:, :order] * root, root[:, None] * V[:order]
    A = growth * np.linalg.lstsq(observe[:-1], observe[1:], rcond=None)[0]
    return LinearMemory(A[None], reach[:, 0][None], observe[0][None], np.array([direct]))


def realize_changing(kernel: np.ndarray) -> LinearMemory | None:
    """Make a system that changes with the step of its responses [read at, given at]; None if it needs many states."""
    T = len(kernel)
    size = np.linalg.norm(kernel)
    spaces, order = [], 0
    counts = lambda s: int((s > 1e-5 * size / np.sqrt(T)).sum())
    if not np.isfinite(size) or counts(np.linalg.svd(kernel[T // 2 :, : T // 2], compute_uv=False)) > _LARGEST_CHANGING:
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

    A schedule on one side is tried first. With schedules on both sides the decay of a memory of one mode is anything:
    it is that of late steps, where one schedule has settled; but a decay that has a schedule itself is left alone.

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
    if not rates.any() or not np.isfinite(kernel).all():
        return np.ones(T), np.zeros(T), np.ones(T), 0.0 if not kernel.any() else 1.0
    rates = rates / rates[np.argmax(np.abs(rates))]
    ones = np.ones(T)
    if np.ptp(rates[lag:]) < 1e-9:
        rates = ones
    given = np.append(rates[lag:], np.full(lag, rates[-1]))
    best = None
    for before, after in ((ones, rates), (given, ones)):
        response, shown = _between(kernel, before, after)
        error = match(kernel, response, before, after)
        if best is None or error < 0.5 * best[3]:
            best = (before, response[:shown], after, error)
    if best[3] <= MATCHES or decay_course(kernel)[1]:
        return best
    both = _on_both_sides(kernel, best[0], best[2])
    return best if both is None or both[3] > MATCHES else both


def _between(kernel: np.ndarray, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, int]:
    """The constant response between two schedules, by least squares, and how much of it shows."""
    T = len(kernel)
    given = np.arange(T)
    read = given[:, None] + given  # [lag, given at]
    weights = np.where(read < T, after[np.minimum(read, T - 1)] * before, 0.0)
    totals = (weights**2).sum(1)
    shows = totals > _SHOWS * totals.max()
    sums = (weights * kernel[np.minimum(read, T - 1), given]).sum(1)
    response = np.where(shows, sums / np.where(shows, totals, 1.0), 0.0)
    return response, int(np.flatnonzero(shows).max(initial=-1)) + 1


def _on_both_sides(
    kernel: np.ndarray, before: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
    """A schedule before and one after, by least squares in turns; None if one of them does not settle."""
    T = len(kernel)
    steps = np.arange(T)
    lag = steps[:, None] - steps
    with np.errstate(all="ignore"):
        for _ in range(_TURNS):
            response, _ = _between(kernel, before, after)
            constant = np.where(lag >= 0, response[np.maximum(lag, 0)], 0.0)
            model = constant * before
            after = (kernel * model).sum(1) / (model**2).sum(1)
            model = constant * after[:, None]
            before = (kernel * model).sum(0) / (model**2).sum(0)
        if not (np.isfinite(after).all() and np.isfinite(before).all() and after.all() and before.all()):
            return None
        for which, sign in ((after, -1), (before, 1)):
            times = np.exp(sign * np.median(np.diff(np.log(np.abs(which)))[T // 2 :]))
            late = which[3 * T // 4 :] * times ** (-sign * steps[3 * T // 4 :])
            if np.ptp(np.log(np.abs(late))) < _SETTLES:
                break
        else:
            return None
        after, before = after * times**steps, before * times**-steps
        after, before = after * before[-1], before / before[-1]
        response, shown = _between(kernel, before, after)
        return before, response[:shown], after, match(kernel, response, before, after)


def decay_course(kernel: np.ndarray) -> tuple[np.ndarray, bool]:
    """Decay of one mode at each step from the first on, from how earlier gradients count for less.

    Beside it, whether it is a decay that changes: the present gradient always counts the same (heavy ball), or what is
    kept and the weight of the present gradient add up to the same (a mean). Else schedules on both sides of a constant
    memory do the same.
    """
    T = len(kernel)
    direct = np.diag(kernel)
    steps = np.arange(1, T)
    with np.errstate(all="ignore"):
        plain = kernel[steps, steps - 1] / direct[1:]
        later = np.append(np.nan, kernel[steps[1:], steps[1:] - 2] / kernel[steps[1:] - 1, steps[1:] - 2])
        schedule = later * direct[:-1] / direct[1:]
        weights = direct[2:] / (1 - later[1:])
        is_mean = np.all(np.abs(weights / weights[0] - 1) < _ALIKE)
        is_constant = np.ptp(direct) <= _ALIKE * np.abs(direct).max()
    is_one = np.nanmax(np.abs(np.where(np.isfinite(schedule), schedule - plain, 0.0))) < 1e-6
    course = np.append(later[1], later[1:]) if is_mean or not is_one else plain
    return np.where(np.isfinite(course), course, 0.0), bool(is_mean or (is_one and is_constant))


def decays_of(memory: LinearMemory) -> Complex[np.ndarray, " mode"]:
    """Eigenvalues of a constant system; repeated ones are as near to each other as rounding leaves them."""
    return np.linalg.eigvals(memory.A[0]).astype(complex) if memory.order else np.zeros(0, complex)
