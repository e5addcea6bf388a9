"""An explanation that runs: a few parts in a row, each with its numbers."""

from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from optoscope._core.types import Array, Float, Scalar
from optoscope.mechanisms.explanation.law import GainLaw
from optoscope.mechanisms.explanation.memory import LinearMemory
from optoscope.mechanisms.explanation.shapes import StaticMap
from optoscope.optimizers import AbstractOptimizer


@final
class ExplainedOptimizer(AbstractOptimizer):
    """`dx = -after_n * outer(memory(before_n * t_n inner(g / t_n)) / N) - drift_n`.

    Each part may be missing. The gain's law sees what the inner map makes of gradients. The gain stands behind the
    memory (Adam) or before it (RMSProp with momentum). Schedules are curves over the steps that were looked at; their
    last value is kept.

    Attributes:
        inner: static map before the memory.
        law: of the gain; None without one.
        gain_first: whether the gain stands before the memory.
        memory: linear.
        outer: static map behind it.
        before, after, drift: one number per step.
        thresholds: `t_n`, by which the scale of the inner map moves.
    """

    inner: StaticMap
    law: GainLaw | None
    gain_first: bool = eqx.field(static=True)
    memory: LinearMemory
    outer: StaticMap
    before: Float[np.ndarray, " step"]
    after: Float[np.ndarray, " step"]
    drift: Float[np.ndarray, " step"]
    thresholds: Float[np.ndarray, " step"]

    def initial_state(self) -> Float[Array, " state"]:
        start = [jnp.asarray(number, float) for number in (0.0, *self._means())]
        return jnp.concatenate([jnp.stack(start), jnp.zeros(self.memory.order)])

    def _means(self) -> tuple[Any, ...]:
        return () if self.law is None else self.law.begin()

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        index = jnp.clip(jnp.round(h[0]), 0, len(self.after) - 1).astype(int)
        first = 1 + len(self._means())
        means, z, dx = self.advance(index, tuple(h[1:first]), h[first:], jnp.asarray(g, h.dtype), jnp)
        new = jnp.concatenate([jnp.stack([h[0] + 1, *means]).astype(h.dtype), z.astype(h.dtype)])
        return new, dx.astype(h.dtype)

    def advance(self, index: Any, means: tuple[Any, ...], z: Any, g: Any, xp: Any) -> tuple[Any, Any, Any]:
        """One step at a place in the curves: the one definition, with NumPy (many runs) or jax.numpy."""
        t = _at(self.thresholds, index, xp)
        u = t * self.inner(g / t, xp)
        size = 1.0
        if self.law is not None:
            means, size = self.law.advance(means, u, index, xp)
            size = xp.maximum(size, 1e-300)
        if self.law is not None and self.gain_first:
            u = u / size
        u = _at(self.before, index, xp) * u
        m = self.memory
        A, B, C, D = (_at(part, index if len(part) > 1 else 0, xp) for part in (m.A, m.B, m.C, m.D))
        y = z @ C + D * u
        z = z @ A.T + u[..., None] * B
        if self.law is not None and not self.gain_first:
            y = y / size
        return means, z, -_at(self.after, index, xp) * self.outer(y, xp) - _at(self.drift, index, xp)

    def run(self, gradients: Float[np.ndarray, "run step"]) -> Float[np.ndarray, "run step"]:
        """Return the updates of many runs, with NumPy."""
        runs, steps = gradients.shape
        means = tuple(np.full(runs, number) for number in self._means())
        z = np.zeros((runs, self.memory.order))
        found = np.zeros((runs, steps))
        with np.errstate(all="ignore"):
            for n in range(steps):
                index = min(n, len(self.after) - 1)
                means, z, found[:, n] = self.advance(index, means, z, gradients[:, n], np)
        return found


def _at(table, index, xp):
    return table[index] if xp is np or isinstance(index, int) else xp.asarray(table)[index]
