"""A JAX run is recorded under jit, scan and vmap, and reads back from the same files."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.recordings import read_recording, recorded, recording, write_recording

PARAMS = {"dense": {"bias": jnp.zeros(3), "kernel": jnp.ones((4, 3))}}
TX = recorded(optax.adam(0.1), components=9, steps=8)


def loss(params, scale=1.0):
    return sum(jnp.sum((leaf - scale) ** 2) for leaf in jax.tree.leaves(params))


def run(scale, num_steps=12, tx=TX):
    def step(carry, _):
        params, state = carry
        value, gradients = jax.value_and_grad(loss)(params, scale)
        updates, state = tx.update(gradients, state, params, value=value)
        return (optax.apply_updates(params, updates), state), (value, updates)

    return jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), length=num_steps)


def test_the_last_steps_are_kept_under_scan_and_vmap_and_the_run_is_the_same():
    (params, states), (values, updates) = jax.jit(jax.vmap(run))(jnp.array([2.0, 3.0]))
    plain = jax.vmap(lambda scale: run(scale, tx=optax.with_extra_args_support(optax.adam(0.1))))(jnp.array([2.0, 3.0]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, plain[0][0])
    found = recording((optax.EmptyState(), states), run=1)
    assert found.steps.tolist() == list(range(4, 12)) and found.component_indices.shape == (9,)
    np.testing.assert_allclose(found.losses, values[1, 4:], rtol=1e-6)
    names = [one["name"] for one in found.parameters]
    assert names == ["dense.bias", "dense.kernel"] and found.state_names == ["mu", "nu"]
    whole = np.asarray(updates["dense"]["kernel"])[1].reshape(12, -1)
    mine = found.component_parameters == 1
    np.testing.assert_allclose(found.updates[:, mine], whole[4:, found.component_indices[mine]], rtol=1e-6)
    np.testing.assert_allclose(found.layer_update_norms[:, 1], np.linalg.norm(whole[4:], axis=1), rtol=1e-5)
    for wrong in (None, 2, -1):
        with pytest.raises(ValueError, match="`run` must be from 0 to 1"):
            recording(states, run=wrong)


def test_it_is_written_in_parts_and_read_as_one(tmp_path):
    tx = recorded(optax.inject_hyperparams(optax.adam)(0.1), components=9, steps=8, every=2)
    (_, state), _ = run(2.0, 12, tx)
    first = recording(state)
    write_recording(first, tmp_path)
    write_recording(first, tmp_path)  # steps that are there already are left
    found = read_recording(tmp_path)
    assert found.steps.tolist() == [0, 2, 4, 6, 8, 10] and len(found.windows()) == 1
    np.testing.assert_array_equal(found.updates, first.updates)
    np.testing.assert_array_equal(found.states, first.states)
    np.testing.assert_allclose(found.setting("learning_rate"), 0.1)
    assert found.save(tmp_path / "whole.npz").exists()


def test_what_is_no_recording_is_refused():
    for state, words in ((optax.adam(0.1).init(PARAMS), "found 0"), (TX.init(PARAMS), "has not taken a step yet")):
        with pytest.raises(ValueError, match=words):
            recording(state)
    with pytest.raises(ValueError, match="`components` must be"):
        recorded(optax.sgd(0.1), components=2)


def test_settings_are_those_with_which_a_step_was_taken():
    rates = optax.linear_schedule(0.1, 0.01, 10)
    tx = recorded(optax.inject_hyperparams(optax.sgd)(learning_rate=rates))
    x, state = jnp.ones(3), tx.init(jnp.ones(3))
    for _ in range(6):
        moves, state = tx.update(jnp.ones(3), state, x, value=1.0)
        x = x + moves
    found = recording(state)
    np.testing.assert_allclose(found.setting("learning_rate")[:, 0], -found.updates[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found.setting("learning_rate")[:, 0], [rates(n) for n in range(6)], rtol=1e-6)
