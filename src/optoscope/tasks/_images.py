"""Classifying images with a small convolutional network: what MNIST and digits share."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from optoscope._types import Array, Float, Int, Params, PRNGKeyArray
from optoscope.tasks._base import Problem
from optoscope.tasks._network import AbstractNetworkTask, convolution_params, convolve, dense, dense_params


class ImageProblem(Problem):
    """Initial weights of the network."""

    initial_params: Params


class AbstractImageTask(AbstractNetworkTask):
    """Train a convolutional network with minibatches; each step, and each loss, draws its own."""

    images: eqx.AbstractVar[Int[Array, "example height width"]]
    labels: eqx.AbstractVar[Int[Array, " example"]]
    white: eqx.AbstractVar[float]
    channels: eqx.AbstractVar[tuple[int, ...]]
    kernel_size: eqx.AbstractVar[int]
    batch_size: eqx.AbstractVar[int]

    def layer_shapes(self) -> list[tuple[int, ...]]:
        """Return the shape of the input and of every layer's output, for one image."""
        height, width = self.images.shape[1:]
        shapes = [(height, width, 1)]
        for channel in self.channels:
            height, width = height - self.kernel_size + 1, width - self.kernel_size + 1
            shapes.append((height, width, channel))
        return [*shapes, (10,)]

    def sample(self, key: PRNGKeyArray) -> ImageProblem:
        *convolutions, last = self.layer_shapes()[:-1]
        keys = jax.random.split(key, len(self.channels) + 1)
        depths = (1, *self.channels)
        layers = [
            convolution_params(layer_key, self.kernel_size, num_in, num_out)
            for layer_key, num_in, num_out in zip(keys, depths, depths[1:])
        ]
        del convolutions
        return ImageProblem(initial_params=[*layers, dense_params(keys[-1], last[0] * last[1] * last[2], 10)])

    def loss(self, problem: Any, params: Params, key: PRNGKeyArray) -> Float[Array, ""]:
        chosen = jax.random.randint(key, (self.batch_size,), 0, len(self.images))
        x = self.images[chosen].astype(params[0]["weights"].dtype)[..., None] / self.white
        for layer in params[:-1]:
            x = jax.nn.relu(convolve(layer, x))
        logits = dense(params[-1], x.reshape(len(x), -1))
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), self.labels[chosen, None], axis=1))
