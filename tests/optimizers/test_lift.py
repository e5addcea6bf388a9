"""Running the rule of one component on trees, and on batches of trees."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.optimizers import Adam, lift
from optoscope.optimizers.lift import lift_over_problems

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.array(7.0)}


def test_states_are_in_the_order_of_ravel_pytree():
    transformation = lift(Adam(0.1, 0.9, 0.99))
    _, state = transformation.update(PARAMS, transformation.init(PARAMS))
    flat, _ = jax.flatten_util.ravel_pytree(PARAMS)
    np.testing.assert_allclose(state, np.column_stack([0.1 * flat, 0.01 * flat**2]), rtol=1e-5)


def test_it_runs_in_an_optax_chain():
    transformation = optax.chain(optax.clip_by_global_norm(1.0), lift(Adam(0.1, 0.9, 0.99)))
    updates, _ = transformation.update(PARAMS, transformation.init(PARAMS), PARAMS)
    assert jax.tree.structure(updates) == jax.tree.structure(PARAMS)


@pytest.mark.parametrize("kind", ["component-wise", "optax"])
def test_over_problems_is_the_vmap_of_the_single_transformation(kind):
    optimizer = Adam(0.1, 0.9, 0.99) if kind == "component-wise" else optax.lamb(0.1)
    single = lift(optimizer) if kind == "component-wise" else optimizer
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf + 1, -leaf, 3 * leaf]), PARAMS)
    together = lift_over_problems(optimizer)
    updates, state = together.update(batch, together.init(batch), batch)
    expected, expected_state = jax.vmap(single.update)(batch, jax.vmap(single.init)(batch), batch)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6)
    jax.tree.map(close, (updates, state), (expected, expected_state))
