"""The most faithful formula: piece by piece, each time the one that leaves least of the updates unexplained."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.types import PRNGKeyArray
from optoscope.distillation.fit import Trajectories, draw_lanes, r_squared, replay
from optoscope.distillation.readable import (
    PIECES,
    Number,
    ReadableOptimizer,
    complete,
    from_free,
    numbers_of,
    round_number,
    to_free,
)
from optoscope.dynamics._precision import in_float64

#: A piece is added if it leaves at most this share of what is missed, on other problems than it was fitted to.
_LEAVES = 0.8
#: Share of the updates that may be missed by what is called exact.
_EXACT = 1e-7
#: Components to which numbers are fitted, starts of each fit, and its steps: to compare pieces, and for the one chosen.
_COMPONENTS, _STARTS, _TRIED, _CHOSEN = 48, 2, 12, 60
#: Directions in which derivatives are taken at once.
_AT_ONCE = 8


def find_faithful(
    seen: Trajectories, held_out: Trajectories, *, max_numbers: int, key: PRNGKeyArray
) -> list[ReadableOptimizer]:
    """Find formulas of growing size whose updates are those that were seen.

    Args:
        seen: gradients and updates to which numbers are fitted.
        held_out: those of other problems, which decide whether a piece stays.
        max_numbers: that a formula may have.
        key: draws starts.

    Returns:
        One formula for each piece that was added; the last is the most faithful.
    """
    fit = _Fit(seen)
    found = [fit.best(("momentum",), {}, key, _CHOSEN)]
    missed = 1 - r_squared(found[0], held_out)
    while missed > _EXACT:
        last = found[-1]
        known = {name: float(value) for name, value in last.numbers.items()}
        key, one = jax.random.split(key)
        options = [
            (*last.pieces, name)
            for name in PIECES
            if name not in last.pieces and not (name == "power" and "saturation" not in last.pieces)
        ]
        options = [pieces for pieces in options if len(numbers_of(pieces)) <= max_numbers]
        if not options:
            break
        tried = [fit.best(pieces, known, one, _TRIED) for pieces in options]
        best = tried[int(np.argmin([fit.missed(optimizer) for optimizer in tried]))]
        numbers = {name: float(value) for name, value in best.numbers.items()}
        best = fit.best(best.pieces, numbers, one, _CHOSEN)
        left = 1 - r_squared(best, held_out)
        if not left <= _LEAVES * missed:
            break
        found.append(best)
        missed = left
    return found


@dataclasses.dataclass
class _Fit:
    """Fits by least squares, all sizes with one compiled program."""

    seen: Trajectories

    def __post_init__(self):
        size = np.abs(self.seen.updates).max(0)
        rows = np.argsort(-size, kind="stable")
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _COMPONENTS)).astype(int))]
        self.gradients, self.updates = (a[:, rows].astype(float) for a in (self.seen.gradients, self.seen.updates))
        self.unit = float(np.sqrt((self.updates**2).sum()))
        self.names = [number.name for number in numbers_of(tuple(PIECES))]

    def missed(self, optimizer: ReadableOptimizer) -> float:
        """Share of the updates that a formula misses, infinite where it is not finite."""
        free = to_free(complete({name: float(value) for name, value in optimizer.numbers.items()}))
        value = float((self._errors(np.array([free[name] for name in self.names])) ** 2).sum())
        return value if np.isfinite(value) else np.inf

    def best(
        self, pieces: tuple[str, ...], known: dict[str, float], key: PRNGKeyArray, num_steps: int
    ) -> ReadableOptimizer:
        """Return the best of fits from several starts, with numbers as they are printed."""
        lanes = draw_lanes(pieces, known, self.seen, num_lanes=_STARTS, key=key)
        active = [self.names.index(number.name) for number in numbers_of(pieces)]
        found = []
        for lane in range(1 if len(known) == len(active) else _STARTS):
            start = np.array([float(lanes.free[name][lane]) for name in self.names])
            for name in set(known) & set(self.names):  # lanes are kept in fewer digits
                start[self.names.index(name)] = to_free(complete(known))[name]
            found.append(self._solve(start, active, num_steps))
        numbers: Any = from_free(dict(zip(self.names, min(found, key=lambda pair: pair[1])[0]))).numbers
        return ReadableOptimizer(pieces, {n.name: _printable(n, numbers[n.name]) for n in numbers_of(pieces)})

    def _solve(self, start: np.ndarray, active: list[int], num_steps: int) -> tuple[np.ndarray, float]:
        import scipy.optimize

        def whole(some):
            full = start.copy()
            full[active] = some
            return full

        try:
            found = scipy.optimize.least_squares(
                lambda some: np.nan_to_num(self._errors(whole(some)), nan=1e3, posinf=1e3, neginf=-1e3),
                start[active],
                jac=lambda some: np.nan_to_num(self._slopes(whole(some), active)),  # pyright: ignore[reportArgumentType]
                x_scale="jac",
                max_nfev=num_steps,
            )
        except (ValueError, np.linalg.LinAlgError):
            return start, np.inf
        return whole(found.x), float(2 * found.cost)

    @in_float64
    def _errors(self, free: np.ndarray) -> np.ndarray:
        return np.asarray(_errors(free, self.gradients, self.updates)) / self.unit

    @in_float64
    def _slopes(self, free: np.ndarray, active: list[int]) -> np.ndarray:
        tangents = np.eye(len(free))[active]
        tangents = np.pad(tangents, ((0, -len(active) % _AT_ONCE), (0, 0)))
        parts = [
            _slopes(free, tangents[i : i + _AT_ONCE], self.gradients, self.updates)
            for i in range(0, len(tangents), _AT_ONCE)
        ]
        return np.concatenate(parts)[: len(active)].T / self.unit


def _printable(number: Number, value: Any) -> float:
    """A number with as many digits as are printed, inside its range."""
    low, high = {"decay": (1e-9, 0.9999), "positive": (1e-30, 1e30), "real": (-1e30, 1e30)}[number.kind]
    return float(np.clip(np.nan_to_num(round_number(value)), low, high))


@jax.jit
def _errors(free, gradients, updates):
    names = [number.name for number in numbers_of(tuple(PIECES))]
    optimizer = from_free({name: jnp.asarray(free)[i] for i, name in enumerate(names)})
    return (replay(optimizer, jnp.asarray(gradients)) - updates).ravel()


@jax.jit
def _slopes(free, tangents, gradients, updates):
    along = lambda tangent: jax.jvp(lambda free: _errors(free, gradients, updates), (free,), (tangent,))[1]
    return jax.vmap(along)(tangents)
