"""Classifying images with a small convolutional network: what MNIST and digits share."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.provenance import provenance
from optoscope._core.types import Array, Float, Int, Params, PRNGKeyArray
from optoscope.tasks._base import Problem
from optoscope.tasks._descriptions import Architecture
from optoscope.tasks._network import AbstractNetworkTask, convolution_params, convolve, dense, dense_params

_CACHED_BYTES = 4_000_000


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

    def describe(self, key: PRNGKeyArray) -> Architecture:
        """Return the network's layers, which all problems share."""
        *shapes, (num_classes,) = self.layer_shapes()
        made = provenance(task=self.name)
        return Architecture(np.array(shapes), num_classes, self.kernel_size, self.cost, made)

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
        return self._share_of_loss(params, self._minibatch(key))

    def direct_value_and_gradient(
        self, problem: Any, params: Params, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Params]:
        """Work the minibatch off in blocks whose patches stay in the cache of a CPU, in half the time."""
        block = self._block_size()
        blocks = jax.tree.map(lambda a: a.reshape(-1, block, *a.shape[1:]), self._minibatch(key))

        def add(total, examples):
            return jax.tree.map(jnp.add, total, jax.value_and_grad(self._share_of_loss)(params, examples)), None

        nothing = (jnp.zeros((), params[0]["weights"].dtype), jax.tree.map(jnp.zeros_like, params))
        return jax.lax.scan(add, nothing, blocks)[0]

    def _minibatch(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        chosen = jax.random.randint(key, (self.batch_size,), 0, len(self.images))
        return self.images[chosen], self.labels[chosen]

    def _share_of_loss(self, params: Params, examples: tuple[Array, Array]) -> Float[Array, ""]:
        """Sum of the examples' cross-entropies, over the size of a minibatch."""
        images, labels = examples
        x = images.astype(params[0]["weights"].dtype)[None] / self.white
        for layer in params[:-1]:
            x = jax.nn.relu(convolve(layer, x))
        logits = dense(params[-1], jnp.moveaxis(x, 0, -1).reshape(len(images), -1))
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        return -jnp.sum(chosen) / self.batch_size

    def _block_size(self) -> int:
        """The most examples that divide a minibatch and whose patches fit into a cache."""
        if jax.default_backend() != "cpu":
            return self.batch_size
        *layers, _ = self.layer_shapes()
        taps = self.kernel_size**2
        largest = 4 * max(
            rows * columns * taps * depth for (_, _, depth), (rows, columns, _) in itertools.pairwise(layers)
        )
        fitting = max(1, _CACHED_BYTES // largest)
        return max(n for n in range(1, self.batch_size + 1) if self.batch_size % n == 0 and n <= fitting)
