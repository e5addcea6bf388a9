"""Experiments on one component in float64: a few compiled functions for any number of states and gradients."""

import equinox as eqx
import jax
import numpy as np

from optoscope._core.chunks import PAIRS, RUNS, in_chunks
from optoscope._core.compiled import compiled
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.update_function import one_sided_slopes
from optoscope.optimizers import AbstractOptimizer


class Probe:
    """A float64 copy of an optimizer with the experiments that can be made on it.

    States have shape [pair, state], gradients [pair]; whatever is not finite is returned as it is.
    """

    @in_float64
    def __init__(self, optimizer: AbstractOptimizer):
        self.optimizer = to_float64(optimizer)
        self.start = np.asarray(self.optimizer.initial_state(), np.float64)

    def drive(self, gradients: np.ndarray, start: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Run under several sequences of gradients [run, step]; returns states [run, step + 1, state] and updates."""
        rows = np.broadcast_to(self.start if start is None else start, (len(gradients), len(self.start)))
        states, updates = self._runs(rows, gradients)
        return np.concatenate([rows[:, None], states], axis=1), updates

    def updates(self, gradients: np.ndarray) -> np.ndarray:
        """Return the updates [run, step] under several sequences of gradients, from the initial state."""
        return self._runs(np.broadcast_to(self.start, (len(gradients), len(self.start))), gradients)[1]

    @in_float64
    def _runs(self, rows, gradients):
        drive = lambda start, sequences: _drive(self.optimizer, start, sequences)
        return in_chunks(drive, RUNS, np.asarray(rows, np.float64), np.asarray(gradients, np.float64))

    @in_float64
    def update(self, states: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        """Compute `dx` of pairs of a state and a gradient; leading axes are broadcast."""
        return self._pairs(_update, states, gradients)

    @in_float64
    def slope(self, states: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        """Compute `-d(dx)/dg`, the effective learning rate, of pairs of a state and a gradient."""
        return self._pairs(one_sided_slopes, states, gradients)

    def gain(self, states: np.ndarray, gradients: np.ndarray, center: np.ndarray | float = 0.0) -> np.ndarray:
        """Compute `-(dx(c + g) - dx(c - g)) / (2 g)`: the learning rate for a gradient of finite size around c."""
        ahead, behind = (self.update(states, center + sign * np.asarray(gradients)) for sign in (1, -1))
        return -(ahead - behind) / (2 * np.asarray(gradients))

    def centers(self, states: np.ndarray, largest: float) -> np.ndarray:
        """Find for each state [point, state] the gradient that makes the update 0; NaN where none does.

        A linear memory in front of a saturation is what this gradient cancels. The first change of sign on a grid from
        -`largest` to `largest`, equal in `asinh`, is a bracket in which scipy finds the root.
        """
        unit = largest * 1e-20
        grid = np.linspace(-1.0, 1.0, 25) * np.arcsinh(largest / unit)
        values = self.update(states[:, None], unit * np.sinh(grid))
        with np.errstate(invalid="ignore"):
            crossing = np.sign(values[:, 1:]) != np.sign(values[:, :1])
        found = np.where(self.update(states, np.zeros(len(states))) == 0, 0.0, np.nan)
        rows = np.flatnonzero(crossing.any(1) & np.isnan(found))
        if len(rows):
            from scipy.optimize import elementwise  # half a second that many rules do not need

            first = crossing[rows].argmax(1)
            value = lambda place, row: self.update(states[row.astype(int)], unit * np.sinh(place))
            bracket = (grid[first], grid[first + 1])
            found[rows] = unit * np.sinh(elementwise.find_root(value, bracket, args=(rows.astype(float),)).x)
        return found

    def _pairs(self, function, states, gradients):
        states, gradients = np.asarray(states, np.float64), np.asarray(gradients, np.float64)
        shape = np.broadcast_shapes(states.shape[:-1], gradients.shape)
        flat = np.broadcast_to(states, (*shape, states.shape[-1])).reshape(int(np.prod(shape)), states.shape[-1])
        call = lambda some, ones: function(self.optimizer, some, ones)
        return in_chunks(call, PAIRS, flat, np.broadcast_to(gradients, shape).ravel()).reshape(shape)


@compiled(eqx.filter_jit)
def _drive(optimizer, start, gradients):
    def run(h, sequence):
        def step(h, g):
            h, dx = optimizer.step(h, g)
            return h, (h, dx)

        return jax.lax.scan(step, h, sequence)[1]

    return jax.vmap(run)(start, gradients)


@compiled(eqx.filter_jit)
def _update(optimizer, states, gradients):
    return jax.vmap(lambda h, g: optimizer.step(h, g)[1])(states, gradients)
