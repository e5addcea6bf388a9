"""Small mechanisms of which planted optimizers are put together, each known in closed form.

A part turns the signal that it is given into another one. Its settings are arrays, its kind among them: optimizers
made of the same kinds of parts share compiled code.
"""

import abc
from typing import final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from optoscope._core.checks import check_choice, check_number
from optoscope._core.types import Array, Complex, Float, Int, Scalar
from optoscope.optimizers import AbstractOptimizer

_CLIPS: tuple[str, ...] = ("hard", "soft", "algebraic")
_GAINS: tuple[str, ...] = ("rmsprop", "adam", "adam corrected", "adagrad", "maximum")


class AbstractPart(eqx.Module):
    """A signal processor with a state: `(z', s') = step(z, s, g)`."""

    @abc.abstractmethod
    def initial_state(self) -> Float[Array, " state"]:
        """Return the state before the first signal."""

    @abc.abstractmethod
    def step(self, z: Float[Array, " state"], s: Scalar, g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        """Process one signal.

        Args:
            z: state before the step.
            s: the signal from the part before; the first part is given the gradient.
            g: the gradient itself.

        Returns:
            The new state and the signal for the part after.
        """

    @property
    def num_states(self) -> int:
        """Number of state variables."""
        return self.initial_state().shape[0]


@final
class Clip(AbstractPart):
    """Saturation without a state, odd and monotonic, of slope 1 at 0 and magnitude at most `threshold`.

    `hard`: `max(-t, min(s, t))`; `soft`: `t tanh(s/t)`; `algebraic`: `s / sqrt(1 + (s/t)^2)`. A threshold far below
    all gradients makes a sign of them.

    Args:
        kind: which of them.
        threshold: `t`, in units of the signal.

    Raises:
        ValueError: for an unknown kind or a threshold that is not positive.
    """

    kind: Int[np.ndarray, ""]
    threshold: Float[np.ndarray, ""]

    def __init__(self, kind: str, threshold: float):
        check_choice("kind of clipping", kind, _CLIPS)
        check_number("threshold", threshold, low=0, open_low=True, hint="try 1")
        self.kind = np.asarray(_CLIPS.index(kind), np.int32)
        self.threshold = np.asarray(threshold, np.float64)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(0)

    def step(self, z: Float[Array, " state"], s: Scalar, g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        t = jnp.asarray(self.threshold, z.dtype)
        ratio = s / t
        shapes = (jnp.clip(ratio, -1, 1), jnp.tanh(ratio), ratio / jnp.sqrt(1 + ratio**2))
        return z, t * _chosen(self.kind, shapes)


@final
class Memory(AbstractPart):
    """Linear modes: `v_j' = decays_j v_j + s`, passed on is `direct s + Re sum_j weights_j v_j'`.

    Complex modes are two state variables. A mode of weight 0 is a state that nothing reads.

    Args:
        decays: timescales, of magnitude below 1.
        weights: one per timescale.
        direct: what bypasses the modes (Nesterov's `1`).

    Raises:
        ValueError: if the two differ in length, or a magnitude is not below 1.
    """

    decays: Complex[np.ndarray, " mode"]
    weights: Complex[np.ndarray, " mode"]
    direct: Float[np.ndarray, ""]

    def __init__(self, decays, weights, direct: float = 0.0):
        self.decays = np.atleast_1d(np.asarray(decays, np.complex128))
        self.weights = np.atleast_1d(np.asarray(weights, np.complex128))
        if self.decays.shape != self.weights.shape:
            raise ValueError(f"give one weight per decay, got {self.decays.shape[0]} and {self.weights.shape[0]}.")
        check_number("decays", self.decays, low=-1, high=1, hint="magnitudes from 1 on grow for ever")
        self.direct = np.asarray(direct, np.float64)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(2 * self.decays.shape[0])

    def step(self, z: Float[Array, " state"], s: Scalar, g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        real, imag = jnp.split(z, 2)
        decays, weights = jnp.asarray(self.decays), jnp.asarray(self.weights)
        decay_re, decay_im = decays.real.astype(z.dtype), decays.imag.astype(z.dtype)
        real, imag = decay_re * real - decay_im * imag + s, decay_re * imag + decay_im * real
        out = jnp.sum(weights.real.astype(z.dtype) * real - weights.imag.astype(z.dtype) * imag)
        return jnp.concatenate([real, imag]), jnp.asarray(self.direct, z.dtype) * s + out


@final
class Clock(AbstractPart):
    """A schedule that counts: `n' = n + 1`, passed on is `factors[n] s`; the last factor is kept for ever.

    Args:
        factors: one per step.
    """

    factors: Float[np.ndarray, " step"]

    def __init__(self, factors):
        self.factors = np.asarray(factors, np.float64)
        check_number("factors", self.factors, hint="use finite numbers")

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(1)

    def step(self, z: Float[Array, " state"], s: Scalar, g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        factors = jnp.asarray(self.factors, z.dtype)
        index = jnp.clip(jnp.round(z[0]), 0, factors.shape[0] - 1).astype(int)
        return z + 1, factors[index] * s


@final
class Drift(AbstractPart):
    """A schedule that does not count: modes `d_j' = rates_j d_j` from 1, passed on is `(1 + Re sum_j depths_j d_j) s`.

    The factor of a step is read before the modes move. Rates below 1 in magnitude make warm-ups and decays that come
    to rest at the factor 1; a complex rate of magnitude 1 makes a cycle.

    Args:
        rates: of magnitude at most 1.
        depths: one per rate.
    """

    rates: Complex[np.ndarray, " mode"]
    depths: Complex[np.ndarray, " mode"]

    def __init__(self, rates, depths):
        self.rates = np.atleast_1d(np.asarray(rates, np.complex128))
        self.depths = np.atleast_1d(np.asarray(depths, np.complex128))
        check_number("rates", self.rates, low=-1, high=1 + 1e-12, hint="magnitudes above 1 grow for ever")

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.concatenate([jnp.ones(self.rates.shape[0]), jnp.zeros(self.rates.shape[0])])

    def step(self, z: Float[Array, " state"], s: Scalar, g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        real, imag = jnp.split(z, 2)
        rates, depths = jnp.asarray(self.rates), jnp.asarray(self.depths)
        rate_re, rate_im = rates.real.astype(z.dtype), rates.imag.astype(z.dtype)
        factor = 1 + jnp.sum(depths.real.astype(z.dtype) * real - depths.imag.astype(z.dtype) * imag)
        moved = jnp.concatenate([rate_re * real - rate_im * imag, rate_re * imag + rate_im * real])
        return moved, factor * s


@final
class Gain(AbstractPart):
    """A gain driven by squared gradients; `m` is their mean or sum, `n` counts.

    `rmsprop`: `s / sqrt(m' + eps)`; `adam`: `s / (sqrt(m') + eps)`, `adam corrected` the same with
    `m' / (1 - decay^n')`; both with `m' = decay m + (1 - decay) g^2`. `adagrad`: `s / (sqrt(m') + eps)` with
    `m' = m + g^2`. `maximum`: `s / (m' + eps)` with `m' = max(decay m, |g|)`, as Adamax has it. The root has no
    derivative at `m' = 0`; there the gain is that of `eps` alone.

    Args:
        kind: which of them.
        decay: timescale of the mean, in [0, 1).
        eps: positive.
        start: `m` before the first gradient.

    Raises:
        ValueError: for an unknown kind or a number out of range.
    """

    kind: Int[np.ndarray, ""]
    decay: Float[np.ndarray, ""]
    eps: Float[np.ndarray, ""]
    start: Float[np.ndarray, ""]

    def __init__(self, kind: str, decay: float = 0.0, eps: float = 1e-5, start: float = 0.0):
        check_choice("kind of gain", kind, _GAINS)
        check_number("decay", decay, low=0, high=1, hint="0.99 is customary")
        check_number("eps", eps, low=0, open_low=True, hint="try 1e-5")
        self.kind = np.asarray(_GAINS.index(kind), np.int32)
        self.decay, self.eps, self.start = (np.asarray(v, np.float64) for v in (decay, eps, start))

    @property
    def counts(self) -> bool:
        """Whether it corrects its mean by the number of steps, which makes a schedule."""
        return _GAINS[int(self.kind)] == "adam corrected"

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.stack([jnp.asarray(self.start, jnp.result_type(float)), jnp.zeros(())])

    def step(self, z: Float[Array, " state"], s: Scalar, g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        decay, eps = jnp.asarray(self.decay, z.dtype), jnp.asarray(self.eps, z.dtype)
        m, n = z[0], z[1] + 1
        mean = decay * m + (1 - decay) * g**2
        m = _chosen(self.kind, (mean, mean, mean, m + g**2, jnp.maximum(decay * m, jnp.abs(g))))
        corrected = jnp.where(self.kind == _GAINS.index("adam corrected"), m / (1 - decay**n), m)
        inside = jnp.sqrt(jnp.maximum(m, 0) + eps)
        positive = corrected > 0
        outside = jnp.where(positive, jnp.sqrt(jnp.where(positive, corrected, 1.0)), 0.0) + eps
        counts = self.kind == _GAINS.index("adam corrected")
        return jnp.stack([m, jnp.where(counts, n, z[1])]), s / _chosen(
            self.kind, (inside, outside, outside, outside, m + eps)
        )


@final
class OddGain(AbstractPart):
    """A gain `1 - depth c'^2` that falls with an odd, saturating state `c' = decay c + (1 - decay) tanh(g / scale)`.

    The curve of its fixed points over constant gradients is the odd S-curve `tanh(g / scale)`.

    Args:
        decay: timescale, in [0, 1).
        scale: gradient at which the state saturates.
        depth: share of the gain that is lost at the ends, in [0, 1).
    """

    decay: Float[np.ndarray, ""]
    scale: Float[np.ndarray, ""]
    depth: Float[np.ndarray, ""]

    def __init__(self, decay: float, scale: float, depth: float):
        check_number("decay", decay, low=0, high=1, hint="try 0.9")
        check_number("scale", scale, low=0, open_low=True, hint="try 1")
        check_number("depth", depth, low=0, high=1, hint="try 0.9")
        self.decay, self.scale, self.depth = (np.asarray(v, np.float64) for v in (decay, scale, depth))

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(1)

    def step(self, z: Float[Array, " state"], s: Scalar, g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        decay, depth = jnp.asarray(self.decay, z.dtype), jnp.asarray(self.depth, z.dtype)
        z = decay * z + (1 - decay) * jnp.tanh(g / jnp.asarray(self.scale, z.dtype))
        return z, (1 - depth * z[0] ** 2) * s


@final
class RecurrentCell(AbstractPart):
    """A saturating recurrent cell: `c' = tanh(decay c + s / scale)`, passed on is `scale c'` (Elman, 1990).

    Near 0 it is a memory with this decay; its fixed points over constant gradients make an odd S-curve along which
    the slope of its update function falls; at rest it clips softly at `scale`.

    Args:
        decay: timescale near 0, in [0, 1).
        scale: size at which it saturates.
    """

    decay: Float[np.ndarray, ""]
    scale: Float[np.ndarray, ""]

    def __init__(self, decay: float, scale: float):
        check_number("decay", decay, low=0, high=1, hint="try 0.9")
        check_number("scale", scale, low=0, open_low=True, hint="try 1")
        self.decay, self.scale = np.asarray(decay, np.float64), np.asarray(scale, np.float64)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(1)

    def step(self, z: Float[Array, " state"], s: Scalar, g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        scale = jnp.asarray(self.scale, z.dtype)
        z = jnp.tanh(jnp.asarray(self.decay, z.dtype) * z + s / scale)
        return z, scale * z[0]


@final
class Beside(AbstractPart):
    """An optimizer that runs along on the gradient, and that nobody reads: the signal passes unchanged.

    Args:
        optimizer: any one, such as a random network.
    """

    optimizer: AbstractOptimizer

    def initial_state(self) -> Float[Array, " state"]:
        return self.optimizer.initial_state()

    def step(self, z: Float[Array, " state"], s: Scalar, g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        return self.optimizer.step(z, g)[0], s


@final
class Pipeline(AbstractOptimizer):
    """Parts in a row: `dx = -learning_rate * (last part of ... of first part of g)`.

    With `clip_first` the first part also makes the gradient that all later parts see, as gradient clipping does.

    Args:
        parts: in the order in which the signal passes them.
        learning_rate: of any sign.
        clip_first: whether later parts see the first part's signal as their gradient.
    """

    parts: tuple[AbstractPart, ...]
    learning_rate: Float[np.ndarray, ""]
    clip_first: bool = eqx.field(static=True, default=False)

    def __init__(self, parts: tuple[AbstractPart, ...], learning_rate: float, *, clip_first: bool = False):
        self.parts, self.clip_first = tuple(parts), clip_first
        self.learning_rate = np.asarray(learning_rate, np.float64)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.concatenate([jnp.zeros(0), *(part.initial_state() for part in self.parts)])

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        s, states, start = jnp.asarray(g, h.dtype), [h[:0]], 0
        gradient = s
        for i, part in enumerate(self.parts):
            size = part.num_states
            z, s = part.step(h[start : start + size], s, gradient)
            states.append(z)
            start += size
            if i == 0 and self.clip_first:
                gradient = s
        return jnp.concatenate(states), -jnp.asarray(self.learning_rate, h.dtype) * s


def _chosen(kind, options):
    """Option number `kind`; the others' values and derivatives must be finite."""
    return jnp.stack(options)[kind]
