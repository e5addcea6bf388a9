"""What tasks that train a neural network share: layers, and a gradient that can be differentiated in little time."""

from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from optoscope._core.types import Array, Float, Params, PRNGKeyArray
from optoscope.tasks._base import AbstractTask

#: Gradients under this name are kept when a rollout is differentiated: none is computed twice.
SAVED_GRADIENTS = "task_gradients"


class AbstractNetworkTask(AbstractTask):
    """A task whose parameters are a network's.

    The gradient's own derivative is a Hessian-vector product. The Hessian is symmetric, so it is computed forward over
    reverse (Pearlmutter, 1994) instead of reverse over reverse. On the CPU, problems are worked off one after another:
    a batch of matrix products with different matrices is slower there than single ones.
    """

    is_network: ClassVar[bool] = True

    def value_and_gradient(self, problem: Any, params: Params, key: PRNGKeyArray) -> tuple[Float[Array, ""], Params]:
        return _value_and_gradient(params, self, problem, key)

    def direct_value_and_gradient(
        self, problem: Any, params: Params, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Params]:
        """Compute the loss and its gradient of one problem, differentiable in forward mode.

        A class overrides it only to compute the same numbers faster.
        """
        return jax.value_and_grad(lambda x: self.loss(problem, x, key))(params)


@eqx.filter_custom_vjp
def _value_and_gradient(params, task, problem, key):
    return _one_by_one(_direct)(params, task, problem, key)


@_value_and_gradient.def_fwd
def _forward(perturbed, params, task, problem, key):
    del perturbed
    loss, gradient = checkpoint_name(_one_by_one(_direct)(params, task, problem, key), SAVED_GRADIENTS)
    return (loss, gradient), gradient


@_value_and_gradient.def_bwd
def _reverse(gradient, cotangents, perturbed, params, task, problem, key):
    del perturbed
    loss_bar, gradient_bar = cotangents  # None where nothing depends on it
    product = jax.tree.map(jnp.zeros_like, gradient)
    if jax.tree.leaves(gradient_bar):
        gradient_bar = jax.tree.map(lambda g, bar: jnp.zeros_like(g) if bar is None else bar, gradient, gradient_bar)
        product = _one_by_one(_hessian_product)(params, task, problem, key, gradient_bar)
    if loss_bar is None:
        return product
    return jax.tree.map(lambda g, hv: loss_bar * g + hv, gradient, product)


def _direct(params, task, problem, key):
    return task.direct_value_and_gradient(problem, params, key)


def _hessian_product(params, task, problem, key, vector):
    gradient = lambda x: task.direct_value_and_gradient(problem, x, key)[1]
    return jax.jvp(gradient, (params,), (vector,))[1]


def _one_by_one(function):
    """Turn `jax.vmap` of a function into a loop on the CPU."""
    if jax.default_backend() != "cpu":
        return function

    def looped(*arguments):
        arrays, rest = eqx.partition(arguments, eqx.is_array)
        call = jax.custom_batching.sequential_vmap(lambda arrays: function(*eqx.combine(arrays, rest)))
        return call(arrays)

    return looped


def dense_params(key: PRNGKeyArray, num_in: int, num_out: int) -> dict[str, Float[Array, "..."]]:
    """Draw a dense layer: Glorot-normal weights, biases with standard deviation 0.01 (as in the authors' code)."""
    return _layer(key, (num_in, num_out), num_in, num_out)


def convolution_params(key: PRNGKeyArray, size: int, num_in: int, num_out: int) -> dict[str, Float[Array, "..."]]:
    """Draw a convolution with square kernels; the same distributions as for a dense layer."""
    return _layer(key, (size, size, num_in, num_out), size * size * num_in, size * size * num_out)


def _layer(key, shape, fan_in, fan_out):
    weight_key, bias_key = jax.random.split(key)
    return {
        "weights": (2.0 / (fan_in + fan_out)) ** 0.5 * jax.random.normal(weight_key, shape),
        "biases": 0.01 * jax.random.normal(bias_key, shape[-1:]),
    }


def dense(layer: dict[str, Float[Array, "..."]], x: Float[Array, "... inputs"]) -> Float[Array, "... outputs"]:
    """Apply a dense layer."""
    return x @ layer["weights"] + layer["biases"]


def convolve(
    layer: dict[str, Float[Array, "..."]],
    x: Float[Array, "channel example height width"],
    *,
    method: Literal["by_platform", "patches", "direct"] = "by_platform",
) -> Float[Array, "outputs example rows columns"]:
    """Convolve with stride 1 and no padding; channels come first, so that all else is one long axis of a product.

    On the CPU as a matrix times patches: inside loops and under `vmap` XLA's own convolution is 10 times slower there.
    """
    weights, biases = layer["weights"], layer["biases"][:, None, None, None]
    if method == "direct" or (method == "by_platform" and jax.default_backend() != "cpu"):
        dimensions = ("CNHW", "HWIO", "CNHW")
        return jax.lax.conv_general_dilated(x, weights, (1, 1), "VALID", dimension_numbers=dimensions) + biases
    size = weights.shape[0]
    rows, columns = x.shape[2] - size + 1, x.shape[3] - size + 1
    patches = [x[:, :, i : i + rows, j : j + columns] for i in range(size) for j in range(size)]
    flat = jnp.concatenate(patches).reshape(size * size * len(x), -1)
    return (weights.reshape(len(flat), -1).T @ flat).reshape(-1, x.shape[1], rows, columns) + biases
