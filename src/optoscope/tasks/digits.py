"""Classifying the 8 x 8 digits that come with scikit-learn: MNIST's network with no download."""

from typing import Annotated, ClassVar, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from optoscope._core.allowed import Allowed, check_setting
from optoscope._core.types import Array, Int
from optoscope.tasks._images import AbstractImageTask

_BatchSize = Annotated[int, Allowed(1, 100_000, advice="MNIST's is 100")]
_Channels = Annotated[tuple[int, ...], Allowed(1, 1000, at_most=3)]


@final
class Digits(AbstractImageTask):
    """Train MNIST's kind of network on scikit-learn's 1797 digits of 8 x 8 pixels.

    A stand-in for MNIST where it cannot be had, not a task of the paper. The images are smaller, so the three 3 x 3
    convolutions leave 2 x 2 pixels; 8 channels each instead of 16 keep the dense layer's share: 1,578 parameters.

    Args:
        batch_size: images per step.
        channels: channels of the convolutions.

    >>> Digits().cost
    1578
    """

    kind: ClassVar[str] = "digits"
    images: Int[Array, "example height width"]
    labels: Int[Array, " example"]
    white: float = eqx.field(static=True)
    channels: tuple[int, ...] = eqx.field(static=True)
    kernel_size: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)

    def __init__(self, batch_size: _BatchSize = 100, channels: _Channels = (8, 8, 8)):
        self.batch_size = check_setting("batch_size", batch_size, _BatchSize)
        self.channels = check_setting("channels", channels, _Channels)
        self.white, self.kernel_size = 16.0, 3
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        self.images = jnp.asarray(np.asarray(images, np.uint8).reshape(-1, 8, 8))
        self.labels = jnp.asarray(np.asarray(labels, np.int32))
