"""The cell of Cho et al. (2014): as a formula, and for many components with a hand-derived reverse pass.

The second form computes the same numbers. It exists because meta-training spends nearly all its time here: the
three gates' activations are what is kept for the reverse pass (no matrix product is done twice), all batch axes are
gathered into one before any product, and the gradients of a gate's matrix, input weights and bias are one product.
"""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

#: Values under this name are kept, not recomputed, when a rollout is differentiated.
SAVED = "optimizer_activations"


def gru_cell(input_weights, gate_weights, candidate_weights, biases, h, s):
    """`h' = u * h + (1 - u) * c` for one component: state [units], input [num_inputs]."""
    units = h.shape[0]
    driven = s @ input_weights + biases
    gates = _sigmoid(driven[: 2 * units] + h @ gate_weights)
    u, r = gates[:units], gates[units:]
    c = jnp.tanh(driven[2 * units :] + (r * h) @ candidate_weights)
    return u * h + (1 - u) * c


def _sigmoid(x):
    return 0.5 + 0.5 * jnp.tanh(0.5 * x)  # no exponential and one division fewer than the textbook's


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def gru_cell_components(bfloat16, input_weights, gate_weights, candidate_weights, biases, h, s):
    """The same for many components: states [component, units], inputs [component, num_inputs].

    With `bfloat16` the factors of products and the activations that are kept have 8 bits of precision; states, sums
    and gradients stay as they are.
    """
    return _forward(bfloat16, input_weights, gate_weights, candidate_weights, biases, h, s)[0]


def _forward(bfloat16, input_weights, gate_weights, candidate_weights, biases, h, s):
    units, product, kept = h.shape[1], _product(bfloat16), _kept(bfloat16)
    # One or two inputs: broadcasting fuses with what follows, a matrix product would not.
    driven = sum(s[:, i, None] * input_weights[i] for i in range(s.shape[1])) + biases
    u = kept(_sigmoid(driven[:, :units] + product(h, gate_weights[:, :units])))
    r = kept(_sigmoid(driven[:, units : 2 * units] + product(h, gate_weights[:, units:])))
    c = kept(jnp.tanh(driven[:, 2 * units :] + product(r * h, candidate_weights)))
    return c + u * (h - c), (input_weights, gate_weights, candidate_weights, h, s, u, r, c)


def _reverse(bfloat16, residuals, h_bar):
    input_weights, gate_weights, candidate_weights, h, s, u, r, c = residuals
    units, product = h.shape[1], _product(bfloat16)
    c_bar = h_bar * (1 - u) * (1 - c * c)  # before the tanh
    reset_h_bar = product(c_bar, candidate_weights.T)
    gates_bar = jnp.concatenate([h_bar * (h - c) * u * (1 - u), reset_h_bar * h * r * (1 - r)], axis=1)
    # Rows: the state's, the inputs', and one of ones. The barrier makes the transposes real: the CPU's products of
    # two plain matrices are faster by more than that costs.
    ones = jnp.ones((1, len(h)), h.dtype)
    gates_rows, candidate_rows = jax.lax.optimization_barrier(
        (jnp.concatenate([h.T, s.T, ones]), jnp.concatenate([(r * h).T, s.T, ones]))
    )
    gates_grad, candidate_grad = product(gates_rows, gates_bar), product(candidate_rows, c_bar)
    driven_grad = jnp.concatenate([gates_grad[units:], candidate_grad[units:]], axis=1)
    return (
        driven_grad[:-1],
        gates_grad[:units],
        candidate_grad[:units],
        driven_grad[-1],
        h_bar * u + reset_h_bar * r + product(gates_bar, gate_weights.T),
        gates_bar @ input_weights[:, : 2 * units].T + c_bar @ input_weights[:, 2 * units :].T,
    )


def _product(bfloat16):
    if not bfloat16:
        return jnp.matmul
    return lambda a, b: jnp.matmul(
        a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.result_type(a)
    )


def _kept(bfloat16):
    """Name an activation as worth keeping, in the precision in which it is kept."""
    if not bfloat16:
        return lambda a: checkpoint_name(a, SAVED)
    return lambda a: checkpoint_name(a.astype(jnp.bfloat16), SAVED).astype(a.dtype)


gru_cell_components.defvjp(_forward, _reverse)
