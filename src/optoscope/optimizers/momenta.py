"""Heavy ball, Nesterov's accelerated gradient, and momentum with several timescales."""

from typing import final

import jax.numpy as jnp
import numpy as np

from optoscope._core.checks import check_number
from optoscope._core.types import AnyArray, Array, Complex, Float, Scalar
from optoscope.optimizers._base import AbstractOptimizer

_DECAY_HINT = "0 gives plain gradient descent, 0.9 is customary"


class _OneMomentum(AbstractOptimizer):
    """A decaying sum of gradients, and a learning rate."""

    learning_rate: Scalar
    decay: Scalar

    def __check_init__(self):
        check_number("learning_rate", self.learning_rate, low=0, open_low=True, hint="try 0.1")
        check_number("decay", self.decay, low=0, high=1, hint=_DECAY_HINT)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(1)


@final
class Momentum(_OneMomentum):
    """Heavy ball: `v' = decay * v + g`, `dx = -learning_rate * v'` (Polyak, 1964).

    Args:
        learning_rate: positive.
        decay: momentum timescale, in [0, 1).

    Raises:
        ValueError: if an argument lies outside its range.

    >>> import jax.numpy as jnp
    >>> h, dx = Momentum(learning_rate=0.1, decay=0.9).step(jnp.ones(1), 1.0)
    >>> round(float(dx), 3)
    -0.19
    """

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        h = self.decay * h + g
        return h, -self.learning_rate * h[0]


@final
class NesterovMomentum(_OneMomentum):
    """Nesterov momentum: `v' = decay * v + g`, `dx = -learning_rate * (g + decay * v')` (Sutskever et al., 2013).

    Args:
        learning_rate: positive.
        decay: momentum timescale, in [0, 1).

    Raises:
        ValueError: if an argument lies outside its range.

    >>> import jax.numpy as jnp
    >>> h, dx = NesterovMomentum(learning_rate=1.0, decay=0.5).step(jnp.zeros(1), 1.0)
    >>> float(dx)
    -1.5
    """

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        h = self.decay * h + g
        return h, -self.learning_rate * (g + self.decay * h[0])


@final
class AggregatedMomentum(AbstractOptimizer):
    """Momentum with several timescales: `v_j' = decays_j * v_j + g`, `dx = -Re sum_j learning_rates_j * v_j'`.

    Lucas et al. (2018), with a learning rate for each timescale, as a linearized optimizer has them
    (Maheswaranathan et al., 2021, App. C, eq. 6). Complex decays are allowed, because a linearized network has
    them; they come in conjugate pairs, or alone with the real part taken. Real and imaginary parts of `v` are then
    separate state variables.

    Args:
        learning_rates: one per timescale; of any sign.
        decays: one per timescale; magnitudes in [0, 1).

    Raises:
        ValueError: if the two differ in shape, are not vectors, or a decay's magnitude is not below 1.

    >>> optimizer = AggregatedMomentum(learning_rates=[0.1, 0.2], decays=[0.0, 0.9])
    >>> h, dx = optimizer.step(optimizer.initial_state(), 1.0)
    >>> round(float(dx), 3)
    -0.3
    """

    learning_rates: Float[AnyArray, " mode"] | Complex[AnyArray, " mode"]
    decays: Float[AnyArray, " mode"] | Complex[AnyArray, " mode"]

    def __init__(self, learning_rates, decays):
        self.learning_rates = np.asarray(learning_rates) if isinstance(learning_rates, list) else learning_rates
        self.decays = np.asarray(decays) if isinstance(decays, list) else decays

    def __check_init__(self):
        if np.ndim(self.decays) != 1 or np.shape(self.learning_rates) != np.shape(self.decays):
            raise ValueError(
                "`learning_rates` and `decays` must be vectors of one length, got shapes "
                f"{np.shape(self.learning_rates)} and {np.shape(self.decays)}; give one of each per timescale."
            )
        check_number("learning_rates", self.learning_rates, hint="use finite numbers")
        check_number("decays", self.decays, low=-1, high=1, open_low=True, hint="magnitudes from 1 on grow for ever")

    @property
    def _is_complex(self) -> bool:
        return jnp.iscomplexobj(self.decays) or jnp.iscomplexobj(self.learning_rates)

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(np.shape(self.decays)[0] * (2 if self._is_complex else 1))

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        learning_rates, decays = jnp.asarray(self.learning_rates), jnp.asarray(self.decays)
        if not self._is_complex:
            h = decays.astype(h.dtype) * h + g
            return h, -jnp.sum(learning_rates.astype(h.dtype) * h)
        real, imag = jnp.split(h, 2)
        decay_re, decay_im = decays.real.astype(h.dtype), decays.imag.astype(h.dtype)
        real, imag = decay_re * real - decay_im * imag + g, decay_re * imag + decay_im * real
        rate_re, rate_im = learning_rates.real.astype(h.dtype), learning_rates.imag.astype(h.dtype)
        return jnp.concatenate([real, imag]), -jnp.sum(rate_re * real - rate_im * imag)
