"""Classifying handwritten digits: MNIST."""

from pathlib import Path
from typing import Annotated, ClassVar, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from optoscope._core.allowed import Allowed, check_setting
from optoscope._core.types import Array, Int
from optoscope.tasks._data import load_mnist, mnist_is_at_hand
from optoscope.tasks._images import AbstractImageTask

_Directory = str | Path | None
_BatchSize = Annotated[int, Allowed(1, 100_000, advice="the paper's is 100")]
_Channels = Annotated[tuple[int, ...], Allowed(1, 1000, at_most=13, advice="the paper's has three of 16")]


@final
class MNIST(AbstractImageTask):
    """Train a convolutional network on MNIST (Maheswaranathan et al., 2021, section 3.2, Fig. 1d).

    Three 3 x 3 convolutions with 16 channels, stride 1, no padding and ReLU, then a dense layer: 82,250 parameters.
    Cross-entropy on minibatches of 100, drawn afresh at every step from the training set, so gradients are noisy.

    Args:
        directory: where the four files are. If None: `$OPTOSCOPE_MNIST`, then the cache, then a download.
        batch_size: images per step; the paper's is 100.
        channels: channels of the convolutions; the paper's has three of 16. Fewer make a cheaper task to start on.

    Raises:
        DataError: if the files cannot be had; the message says what to type.
    """

    kind: ClassVar[str] = "mnist"
    label: ClassVar[str] = "MNIST"
    images: Int[Array, "example height width"]
    labels: Int[Array, " example"]
    white: float = eqx.field(static=True)
    channels: tuple[int, ...] = eqx.field(static=True)
    kernel_size: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)

    def __init__(
        self,
        directory: _Directory = None,
        *,
        batch_size: _BatchSize = 100,
        channels: _Channels = (16, 16, 16),
    ):
        check_setting("directory", directory, _Directory)
        self.batch_size = check_setting("batch_size", batch_size, _BatchSize)
        self.channels = check_setting("channels", channels, _Channels)
        self.white, self.kernel_size = 255.0, 3
        images, labels = load_mnist(directory)
        self.images, self.labels = jnp.asarray(images), jnp.asarray(labels.astype(np.int32))

    @classmethod
    def is_at_hand(cls) -> bool:
        """Return whether its files are where they are looked for."""
        return mnist_is_at_hand()
