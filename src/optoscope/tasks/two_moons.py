"""Classifying the two moons with a fully connected network."""

from typing import Annotated, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.allowed import Allowed, check_setting
from optoscope._core.provenance import provenance
from optoscope._core.types import Array, Float, Params, PRNGKeyArray
from optoscope.tasks._base import Problem
from optoscope.tasks._descriptions import LabeledPoints
from optoscope.tasks._network import AbstractNetworkTask, dense, dense_params

_Examples = Annotated[int, Allowed(2, 1_000_000, advice="the paper's dataset has 1024")]
_Widths = Annotated[
    tuple[int, ...], Allowed(1, 100_000, at_most=100, advice="the paper's network has three layers of 64 units")
]
_Penalty = Annotated[float, Allowed(0)]


class TwoMoonsProblem(Problem):
    """Initial weights of the network."""

    initial_params: Params


@final
class TwoMoons(AbstractNetworkTask):
    """Train a tanh network on the two-moons data (Maheswaranathan et al., 2021, section 3.2, Fig. 1c).

    The loss is the mean logistic loss over the whole dataset, `mean softplus(-y z)` with labels y = -1, 1 and logit z,
    plus `penalty` times the (unsquared) norm of all parameters. Only the initial weights vary between problems.

    Args:
        num_examples: size of the dataset; the paper's is 1024.
        widths: units of the hidden layers; the paper's network has 3 x 64, 8,577 parameters. Smaller ones make a
            cheaper task to start meta-training on.
        penalty: weight of the norm.

    >>> TwoMoons().cost
    8577
    """

    kind: ClassVar[str] = "two_moons"
    inputs: Float[Array, "example 2"]
    signs: Float[Array, " example"]
    num_examples: int = eqx.field(static=True)
    widths: tuple[int, ...] = eqx.field(static=True)
    penalty: float = eqx.field(static=True)

    def __init__(self, num_examples: _Examples = 1024, widths: _Widths = (64, 64, 64), penalty: _Penalty = 5e-3):
        self.num_examples = check_setting("num_examples", num_examples, _Examples)
        self.widths = check_setting("widths", widths, _Widths)
        self.penalty = check_setting("penalty", penalty, _Penalty)
        from sklearn.datasets import make_moons

        inputs, labels = make_moons(num_examples, noise=0.1, random_state=0)
        self.inputs = jnp.asarray(inputs, jnp.float32)
        self.signs = jnp.asarray(np.where(labels == 1, 1.0, -1.0), jnp.float32)

    def sample(self, key: PRNGKeyArray) -> TwoMoonsProblem:
        sizes = (2, *self.widths, 1)
        keys = jax.random.split(key, len(sizes) - 1)
        return TwoMoonsProblem(initial_params=[dense_params(*args) for args in zip(keys, sizes, sizes[1:])])

    def loss(self, problem: TwoMoonsProblem, params: Params, key: PRNGKeyArray) -> Float[Array, ""]:
        x = self.inputs.astype(params[0]["weights"].dtype)
        for layer in params[:-1]:
            x = jnp.tanh(dense(layer, x))
        logits = dense(params[-1], x)[:, 0]
        square = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))
        return jnp.mean(jax.nn.softplus(-self.signs * logits)) + self.penalty * jnp.sqrt(square)

    def describe(self, key: PRNGKeyArray) -> LabeledPoints:
        """Return the dataset, which all problems share."""
        return LabeledPoints(np.asarray(self.inputs), np.asarray(self.signs), provenance(task=self.name))
