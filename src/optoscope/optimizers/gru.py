"""The learned optimizer: a gated recurrent unit that reads one gradient and writes one update."""

import dataclasses
from typing import Literal, cast, final

import equinox as eqx
import jax
import jax.numpy as jnp

from optoscope._core.checks import check_choice, check_count, check_number
from optoscope._core.types import Array, Float, PRNGKeyArray, Scalar
from optoscope.optimizers._base import AbstractOptimizer
from optoscope.optimizers._blocks import step_in_blocks
from optoscope.optimizers._gru_cell import gru_cell, gru_cell_components

InputKind = Literal["gradient", "log_sign"]


@final
class GRUOptimizer(AbstractOptimizer):
    """A component-wise learned optimizer (Maheswaranathan et al., 2021, eqs. 1-2, App. D.2).

    The cell is the original one of Cho et al. (2014), whose reset gate multiplies the state before the matrix
    product. With `s` the cell's input made from the gradient, in update order:

        u  = sigmoid(A_u s + W_u h + b_u)
        r  = sigmoid(A_r s + W_r h + b_r)
        c  = tanh(A_c s + W_c (r * h) + b_c)
        h' = u * h + (1 - u) * c
        dx = output_scale * (w . h' + b)

    `s` is `input_scale * g`, or the pair `(log1p |input_scale * g|, sign g)` with `input_kind="log_sign"`.
    Gates are stored side by side in the order u, r, c. Scales and the kind of input are settings, not
    weights: they are not trained. With `bfloat16` many components at once are computed with products of that
    precision; it is meant for meta-training.

    Attributes:
        input_weights: `A`, shape [num_inputs, 3 * num_units].
        gate_weights: `W_u` and `W_r`, shape [num_units, 2 * num_units]; row vectors multiply from the left.
        candidate_weights: `W_c`, shape [num_units, num_units].
        biases: shape [3 * num_units].
        readout_weights: `w`, shape [num_units].
        readout_bias: `b`, a scalar (eq. 2 leaves it out).
        initial: the trained initial state `h0`, shape [num_units].

    >>> import jax
    >>> optimizer = GRUOptimizer.create(num_units=4, key=jax.random.key(0))
    >>> h, dx = optimizer.step(optimizer.initial_state(), 1.0)
    >>> float(dx)  # an untrained one does nothing
    0.0
    """

    input_weights: Float[Array, "num_inputs three_units"]
    gate_weights: Float[Array, "units two_units"]
    candidate_weights: Float[Array, "units units"]
    biases: Float[Array, " three_units"]
    readout_weights: Float[Array, " units"]
    readout_bias: Float[Array, ""]
    initial: Float[Array, " units"]
    input_scale: float = eqx.field(static=True, default=1.0)
    output_scale: float = eqx.field(static=True, default=1.0)
    input_kind: InputKind = eqx.field(static=True, default="gradient")
    bfloat16: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_number("input_scale", self.input_scale, low=0, open_low=True, hint="1 passes the gradient on")
        check_number("output_scale", self.output_scale, low=0, open_low=True, hint="1 passes the readout on")
        check_choice("input kind", self.input_kind, ("gradient", "log_sign"))

    @staticmethod
    def create(
        num_units: int,
        *,
        key: PRNGKeyArray,
        input_scale: float = 1.0,
        output_scale: float = 1.0,
        input_kind: InputKind = "gradient",
        bfloat16: bool = False,
    ) -> "GRUOptimizer":
        """Draw an untrained network: weights normal with standard deviation `1/sqrt(num_units)`, all else 0.

        Args:
            num_units: size of the state; 256 units make 198,657 meta-parameters.
            key: random key.
            input_scale: multiplies the gradient; choose it so that the gradients met are of order 1.
            output_scale: multiplies the update; choose it near a tuned baseline's typical update.
            input_kind: what the cell reads.
            bfloat16: whether products have this precision where many components are computed at once.

        Raises:
            ValueError: if a setting lies outside its range.
        """
        check_count("num_units", num_units, hint="32 trains in minutes")
        check_choice("input kind", input_kind, ("gradient", "log_sign"))
        num_inputs = 1 if input_kind == "gradient" else 2
        input_key, gate_key, candidate_key = jax.random.split(key, 3)
        std = num_units**-0.5
        return GRUOptimizer(
            input_weights=std * jax.random.normal(input_key, (num_inputs, 3 * num_units)),
            gate_weights=std * jax.random.normal(gate_key, (num_units, 2 * num_units)),
            candidate_weights=std * jax.random.normal(candidate_key, (num_units, num_units)),
            biases=jnp.zeros(3 * num_units),
            readout_weights=jnp.zeros(num_units),
            readout_bias=jnp.zeros(()),
            initial=jnp.zeros(num_units),
            input_scale=input_scale,
            output_scale=output_scale,
            input_kind=input_kind,
            bfloat16=bfloat16,
        )

    def embedded_in(self, other: "GRUOptimizer") -> "GRUOptimizer":
        """Return `other` with this network in its first units: the same updates, and room to learn.

        The other units keep what drives them but are read by nobody at first: neither by these units nor by the
        readout. Scales are those of `other`.

        Args:
            other: a network with at least as many units that reads the same kind of input.

        Raises:
            ValueError: if it has fewer units or another kind of input.
        """
        n, m = self.num_units, other.num_units
        if n > m or self.input_kind != other.input_kind:
            raise ValueError(
                f"a GRU-{n} that reads {self.input_kind!r} does not fit into a GRU-{m} that reads "
                f"{other.input_kind!r}; choose num_units of at least {n} and the same input_kind."
            )

        def placed(old, new, gates):  # the last axis holds `gates` blocks side by side
            blocks = new.reshape(*new.shape[:-1], gates, m)
            return blocks.at[..., :n].set(old.reshape(*old.shape[:-1], gates, n)).reshape(new.shape)

        def recurrent(old, new, gates):
            blocks = new.reshape(m, gates, m).at[n:, :, :n].set(0.0)
            return blocks.at[:n, :, :n].set(old.reshape(n, gates, n)).reshape(new.shape)

        return GRUOptimizer(
            input_weights=placed(self.input_weights, other.input_weights, 3),
            gate_weights=recurrent(self.gate_weights, other.gate_weights, 2),
            candidate_weights=recurrent(self.candidate_weights, other.candidate_weights, 1),
            biases=placed(self.biases, other.biases, 3),
            readout_weights=jnp.zeros(m).at[:n].set(self.readout_weights),
            readout_bias=jnp.asarray(self.readout_bias),
            initial=placed(self.initial, other.initial, 1),
            input_scale=other.input_scale,
            output_scale=other.output_scale,
            input_kind=other.input_kind,
            bfloat16=other.bfloat16,
        )

    @property
    def num_units(self) -> int:
        """Size of the state."""
        return self.biases.shape[-1] // 3

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.asarray(self.initial)

    @property
    def _cell_weights(self):
        return self.input_weights, self.gate_weights, self.candidate_weights, self.biases

    def _cell_input(self, g):
        scaled = self.input_scale * g
        if self.input_kind == "gradient":
            return scaled[..., None]
        return jnp.stack([jnp.log1p(jnp.abs(scaled)), jnp.sign(scaled)], axis=-1)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        s = self._cell_input(jnp.asarray(g, h.dtype))
        h = gru_cell(*self._cell_weights, h, s)
        return h, self.output_scale * (h @ self.readout_weights + self.readout_bias)

    def step_components(
        self, h: Float[Array, "component state"], g: Float[Array, " component"]
    ) -> tuple[Float[Array, "component state"], Float[Array, " component"]]:
        return step_in_blocks(GRUOptimizer._step_block, self, h, g)

    def _step_block(self, h: Array, g: Array) -> tuple[Array, Array]:
        s = self._cell_input(g)
        h = cast("Array", gru_cell_components(self.bfloat16, *self._cell_weights, h, s))
        return h, self.output_scale * (h @ self.readout_weights + self.readout_bias)


#: Names of the weights of a `GRUOptimizer`: its fields that are no settings.
WEIGHTS = tuple(field.name for field in dataclasses.fields(GRUOptimizer) if not field.metadata.get("static", False))
