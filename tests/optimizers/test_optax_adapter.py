"""`from_optax`: the round trip to the last bit, the clock, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope import dynamics
from optoscope.optimizers import Momentum, from_optax, lift
from optoscope.running.rollouts import rollout
from optoscope.tasks import LinearRegression

SCHEDULE = optax.warmup_cosine_decay_schedule(0.0, 0.1, 3, 12)


@functools.cache
def adam(clock="run"):
    return from_optax(optax.adam(0.1), clock=clock)


COMPONENT_WISE = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, momentum=0.9),
    "nesterov": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "rmsprop": optax.rmsprop(0.01, centered=True, momentum=0.5),
    "adam": optax.adam(0.01),
    "adamw without decay": optax.adamw(0.01, weight_decay=0.0),
    "lion": optax.lion(0.01, weight_decay=0.0),
    "adagrad": optax.adagrad(0.1),
    "adabelief": optax.adabelief(0.01),
    "nadam": optax.nadam(0.01),
    "scheduled": optax.adam(SCHEDULE),
    "injected": optax.inject_hyperparams(optax.rmsprop)(learning_rate=SCHEDULE),
    "clipped element by element": optax.chain(optax.clip(0.5), optax.adam(0.01)),
    "zeroed where not a number": optax.chain(optax.zero_nans(), optax.sgd(0.1)),
    "every third step": optax.apply_every(3),
}


@pytest.mark.parametrize("name", COMPONENT_WISE)
def test_the_round_trip_is_the_transformation_to_the_last_bit(name):
    original, returned = COMPONENT_WISE[name], lift(from_optax(COMPONENT_WISE[name]))
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.standard_normal((3, 5)), jnp.float32), "b": [jnp.ones(7), jnp.asarray(2.0)]}
    states = [original.init(params), returned.init(params)]
    for k in range(10):
        scale = 10.0 ** (k % 5 - 2)
        gradients = jax.tree.map(lambda x, s=scale: jnp.asarray(s * rng.standard_normal(x.shape), x.dtype), params)
        updates, states[0] = original.update(gradients, states[0], params)
        returned_updates, states[1] = returned.update(gradients, states[1], params)
        jax.tree.map(np.testing.assert_array_equal, updates, returned_updates)
        params = optax.apply_updates(params, updates)


@pytest.mark.parametrize("name", ["adam", "scheduled"])
def test_compiled_the_round_trip_differs_by_rounding_only(name, key):
    task = LinearRegression()
    problem = jax.jit(task.sample)(key)
    losses = [
        jax.jit(lambda p, tx=tx: rollout(task, p, tx, num_steps=20, key=key).losses)(problem)
        for tx in (COMPONENT_WISE[name], from_optax(COMPONENT_WISE[name]))
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_the_state_is_the_components_own_variables_and_then_the_clock():
    optimizer = from_optax(optax.adam(0.1, b1=0.5, b2=0.75))
    h = optimizer.initial_state()
    assert h.tolist() == [0.0, 0.0, 0.0]
    h, _ = optimizer.step(h, 2.0)
    assert h.tolist() == [1.0, 1.0, 1.0]
    h, _ = optimizer.step(h, 0.0)
    assert h.tolist() == [0.5, 0.75, 2.0]
    assert (optimizer.clock, optimizer.clock_steps, optimizer.has_running_clock) == ("run", None, True)


def test_a_frozen_clock_is_not_part_of_the_state():
    optimizer = from_optax(optax.adam(0.1, b1=0.5, b2=0.75, eps=0.0), clock="frozen", clock_steps=2)
    assert (optimizer.num_states, optimizer.clock, optimizer.clock_steps) == (2, "frozen", 2)
    # The third step: count goes from 2 to 3, now and for ever.
    for _ in range(2):
        _, dx = optimizer.step(optimizer.initial_state(), 2.0)
        expected = -0.1 * (0.5 * 2 / (1 - 0.5**3)) / np.sqrt(0.25 * 4 / (1 - 0.75**3))
        assert float(dx) == pytest.approx(expected, rel=1e-5)


def test_a_clock_frozen_by_default_has_forgotten_the_bias_correction():
    optimizer = adam("frozen")
    _, dx = optimizer.step(jnp.array([0.0, 1.0]), 1.0)
    assert optimizer.clock_steps == 100_000
    assert float(dx) == pytest.approx(-0.1 * 0.1 / 1.0, rel=1e-6)


def test_components_with_different_clocks_keep_them():
    optimizer = adam()
    h, g = jnp.array([[0.1, 0.1, 1.0], [0.1, 0.1, 50.0]]), jnp.ones(2)
    expected_h, expected_dx = jax.jit(jax.vmap(optimizer.step))(h, g)
    for step in (optimizer.step_components, jax.jit(optimizer.step_components)):
        new_h, dx = step(h, g)
        np.testing.assert_allclose(new_h, expected_h, rtol=1e-6)
        np.testing.assert_allclose(dx, expected_dx, rtol=1e-6)
        assert new_h[:, 2].tolist() == [2.0, 51.0]


def test_the_state_may_be_empty_and_so_may_the_parameters():
    assert from_optax(optax.sgd(0.1)).num_states == 0
    transformation = lift(adam())
    nothing = jnp.zeros(0)
    updates, state = transformation.update(nothing, transformation.init(nothing))
    assert (updates.shape, state.shape) == ((0,), (0, 3))


def test_dynamics_sees_momentum_inside_optax():
    optimizer = from_optax(optax.sgd(0.1, momentum=0.9))
    points = dynamics.find_fixed_points(optimizer, gradient=[0.0, 1.0], seeds=[[0.0], [3.0]])
    assert np.all(points.converged)
    np.testing.assert_allclose(points.states, [[0.0], [10.0]], atol=1e-9)
    modes = dynamics.modes(dynamics.linearize(optimizer, [0.0], 0.0))
    np.testing.assert_allclose(modes.decays, [0.9], rtol=1e-7)
    np.testing.assert_allclose(modes.learning_rates, [0.1], rtol=1e-7)


def test_a_running_clock_has_no_fixed_point_and_a_frozen_one_has():
    seeds = {"run": [[0.5, 0.5, 3.0]], "frozen": [[0.5, 0.5]]}
    for clock, seed in seeds.items():
        optimizer = adam(clock)
        points = dynamics.find_fixed_points(optimizer, gradient=[1.0], seeds=seed)
        assert bool(np.all(points.converged)) is (clock == "frozen")
    np.testing.assert_allclose(points.states, [[1.0, 1.0]], rtol=1e-9)


LEAKING = {
    "global norm": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
    "a global norm hardly ever reached": optax.chain(optax.clip_by_global_norm(1e4), optax.sgd(0.1)),
    "block norm": optax.clip_by_block_rms(1.0),
    "normalized": optax.chain(optax.normalize_by_update_norm(), optax.sgd(0.1)),
    "centered": optax.centralize(),
    "novograd": optax.novograd(0.01),
    "stops as a whole": optax.apply_if_finite(optax.sgd(0.1), 3),
}


@pytest.mark.parametrize("name", LEAKING)
def test_what_mixes_components_is_refused_with_the_leak(name):
    with pytest.raises(ValueError, match=r"together with others differs .* relative leak of (\d|inf).*`rollout` runs"):
        from_optax(LEAKING[name])


READING = {
    "adamw": optax.adamw(0.01, weight_decay=1e-10),
    "lion": optax.lion(0.01),
    "lamb": optax.lamb(0.01),
    "lars": optax.lars(0.01),
    "adaptive clipping": optax.adaptive_grad_clip(0.1),
    "projection": optax.chain(optax.sgd(0.1), optax.keep_params_nonnegative()),
    "schedule-free": optax.contrib.schedule_free_sgd(0.1),
}


@pytest.mark.parametrize("name", READING)
def test_what_reads_the_parameters_is_refused_with_the_leak(name):
    with pytest.raises(ValueError, match=r"reads the parameters.* relative leak of \d"):
        from_optax(READING[name])


def _mean_gradient_clock():
    """Its shared variable depends on the gradients, its updates do not."""
    init = lambda params: jnp.zeros(())
    return optax.GradientTransformation(init, lambda g, s, params=None: (g, s + optax.tree.sum(g)))


def _silent_noise():
    """Draws from a key of its own, without keeping one in its state."""

    def update(gradients, count, params=None):
        noise = lambda g: g + 1e-6 * jax.random.normal(jax.random.fold_in(jax.random.key(0), count), g.shape)
        return jax.tree.map(noise, gradients), count + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


@pytest.mark.parametrize(
    "transformation,message",
    [
        (optax.adafactor(0.01), r"for a matrix of shape \(4096, 4096\) it keeps 8,194 state variables"),
        (optax.noisy_sgd(0.1, key=0), "draws random numbers"),
        (_silent_noise(), "relative leak of"),
        (_mean_gradient_clock(), "a variable that all components share depends on their gradients"),
        (optax.lbfgs(), r"a part of shape \(10, 3\), which is not one row for each"),
        (optax.contrib.muon(0.01), "made differently for scalars, vectors and matrices"),
        (optax.polyak_sgd(), "needs more than gradients.*'value'"),
        (optax.masked(optax.sgd(0.1), {"a": True}), "its `init` fails on plain arrays"),
    ],
)
def test_what_is_not_a_rule_of_one_component_is_refused_with_the_reason(transformation, message):
    with pytest.raises(ValueError, match=message):
        from_optax(transformation)


def test_traced_settings_are_refused():
    with pytest.raises(ValueError, match="probes a transformation with numbers"):
        jax.vmap(lambda rate: from_optax(optax.sgd(rate)).initial_state())(jnp.ones(3))


@pytest.mark.parametrize("wrong", [Momentum(0.1, 0.9), optax.MultiSteps(optax.sgd(0.1), 2), 0.1])
def test_what_is_not_a_transformation_is_refused(wrong):
    with pytest.raises(TypeError):
        from_optax(wrong)


def test_bad_clocks_are_refused():
    with pytest.raises(ValueError, match="`clock_steps` must be a whole number of at least 0, got -1"):
        from_optax(optax.sgd(0.1), clock="frozen", clock_steps=-1)


def test_counts_are_refused_in_half_precision_and_other_states_are_not():
    x = jnp.ones(2, jnp.bfloat16)
    momentum, counting = lift(from_optax(optax.sgd(0.1, momentum=0.9))), lift(adam())
    assert momentum.update(x, momentum.init(x))[0].dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="counts in whole numbers, which bfloat16 does not hold"):
        counting.update(x, counting.init(x))


def test_float64_parameters_are_stepped_in_float64():
    with jax.enable_x64(True):
        optimizer = adam()
        h, dx = optimizer.step(optimizer.initial_state(), 1 / 3)
        assert h.dtype == dx.dtype == jnp.float64
        assert float(dx) == pytest.approx(-0.1, rel=1e-6)
