"""`optoscope explore`."""

import json

import jax
import jax.numpy as jnp
import optax

import optoscope


def write_run(directory):
    """Record 20 steps of momentum on a quadratic."""
    tx = optoscope.recorded(optax.sgd(0.1, momentum=0.9))
    x, loss = jnp.ones(3), lambda x: jnp.sum(jnp.array([5.0, 1.0, 0.2]) * x**2)
    state = tx.init(x)

    @jax.jit
    def step(x, state):
        value, gradients = jax.value_and_grad(loss)(x)
        updates, state = tx.update(gradients, state, x, value=value)
        return optax.apply_updates(x, updates), state

    for _ in range(20):
        x, state = step(x, state)
    return optoscope.write_recording(optoscope.recording(state), directory)


def test_it_writes_one_page(run, tmp_path):
    page = tmp_path / "page.html"
    called = run("explore", "optax:sgd(0.1, momentum=0.9)", "--out", str(page))
    assert called.code == 0, called.err
    assert page.read_text().lower().startswith("<!doctype html>")
    called = run("explore", "optax:sgd(0.1, momentum=0.9)", "--out", str(page))
    assert called.code == 2 and "pass --force" in called.err


def test_a_recording_is_shown_too(run, tmp_path):
    write_run(tmp_path / "run")
    page = tmp_path / "page.html"
    called = run("explore", "optax:sgd(0.1)", "--run", str(tmp_path / "run"), "--out", str(page))
    assert called.code == 0, called.err
    data = json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])
    assert len(data["run"]["steps"]) == len(data["run"]["losses"]) == 20
    assert data["run"]["findings"] and data["run"]["layers"]


def test_bad_calls(refused, tmp_path):
    assert "cannot find optax:nothing" in refused("explore", "optax:nothing()", "--out", str(tmp_path / "page.html"))
