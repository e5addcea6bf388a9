"""Optimizers as users bring them: not put together from parts, but with a truth that is known all the same."""

import dataclasses
from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from optoscope._core.types import Array, Float, Scalar
from optoscope.calibration.parts import Pipeline
from optoscope.calibration.truth import Truth
from optoscope.optimizers import AbstractOptimizer

#: Of a rule for which the explanation has no words, nothing is scored but whether it is said not to be explained.
BEYOND_WORDS = Truth(
    unscored=dict.fromkeys(("momentum", "clipping", "schedule", "adaptation"), "no word of the explanation fits it")
)


@dataclasses.dataclass(frozen=True)
class Brought:
    """An optimizer and what is so.

    Attributes:
        optimizer: made for gradients of about 1e-3 to 1.
        truth: about it, or a pipeline of the same mechanisms, whose truth follows from its parts.
    """

    optimizer: AbstractOptimizer
    truth: Truth | Pipeline


@final
class Written(AbstractOptimizer):
    """A rule that is written down as a function `(state, g) -> (new state, dx)`.

    Args:
        function: of a list of numbers and the gradient.
        start: the numbers before the first gradient.
        settings: numbers that the function is given after the gradient.
    """

    function: Callable[..., Any] = eqx.field(static=True)
    start: Float[np.ndarray, " state"]
    settings: Float[np.ndarray, " setting"]

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.asarray(self.start)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        new, dx = self.function(list(h), g, *jnp.asarray(self.settings, h.dtype))
        return jnp.stack([jnp.asarray(one, h.dtype) for one in new]), jnp.asarray(dx, h.dtype)
