"""What every registered optimizer and task promises. A new one gets all of it by its registry line and an example."""

import contextlib
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from optoscope import lift, optimizers, tasks
from optoscope.optimizers import (
    OPTIMIZERS,
    Adam,
    AggregatedMomentum,
    GradientDescent,
    GRUOptimizer,
    Momentum,
    NesterovMomentum,
    RMSProp,
    from_optax,
)
from optoscope.tasks import TASKS, LinearRegression, Rosenbrock
from optoscope.tasks._data import VARIABLE

needs_mnist = pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"MNIST: ${VARIABLE} is not set")


def _gru(scale):
    rng = np.random.default_rng(2)
    shapes = [(2, 9), (3, 6), (3, 3), (9,), (3,), (), (3,)]
    weights = [jnp.asarray(scale * rng.standard_normal(shape)) for shape in shapes]
    return GRUOptimizer(*weights, input_scale=0.5, output_scale=2.0, input_kind="log_sign")


#: Two settings of each optimizer, chosen by a number in (0, 1].
EXAMPLES = {
    "gradient_descent": lambda s: GradientDescent(0.1 * s),
    "momentum": lambda s: Momentum(0.1 * s, 0.9 * s),
    "nesterov_momentum": lambda s: NesterovMomentum(0.1 * s, 0.9 * s),
    "aggregated_momentum": lambda s: AggregatedMomentum([0.1 * s, 0.2j], [0.5 * s, 0.3 + 0.4j]),
    "rmsprop": lambda s: RMSProp(0.01 * s, 0.9 * s),
    "adam": lambda s: Adam(0.01 * s, 0.9 * s, 0.99 * s),
    "gru": _gru,
}
#: Not in the registry, but bound by the same contract.
ADAPTED = {"optax_frozen": from_optax(optax.adam(0.01), clock="frozen"), "optax_running": from_optax(optax.nadam(0.01))}
NAMES = [*OPTIMIZERS, *ADAPTED]
PRECISIONS = ("float32", "float64")
NUM_COMPONENTS = 4


def make(name, scale=1.0):
    return ADAPTED[name] if name in ADAPTED else EXAMPLES[name](scale)


@pytest.fixture(params=PRECISIONS)
def dtype(request):
    with jax.enable_x64(True) if request.param == "float64" else contextlib.nullcontext():
        yield request.param


def inputs(optimizer, seed=0):
    """Random gradients, and the states after one of them, so that Adam and RMSProp are away from their singularity."""
    first, second = jnp.asarray(np.random.default_rng(seed).standard_normal((2, NUM_COMPONENTS)))
    h = jnp.tile(optimizer.initial_state(), (NUM_COMPONENTS, 1))
    return jax.jit(lambda h, g: jax.vmap(optimizer.step)(h, g)[0])(h, first), second


def test_every_registered_optimizer_and_task_has_an_example():
    assert set(EXAMPLES) == set(OPTIMIZERS)
    assert all(isinstance(make(name), OPTIMIZERS[name]) for name in EXAMPLES)
    assert set(TASK_SIZES) == set(TASKS)


@pytest.mark.parametrize("name", NAMES)
def test_step_keeps_shape_and_dtype(name, dtype):
    optimizer = make(name)
    h = optimizer.initial_state()
    assert (h.shape, h.dtype) == ((optimizer.num_states,), dtype)
    for g in (0.5, jnp.asarray(-1.5)):
        new_h, dx = optimizer.step(h, g)
        assert (new_h.shape, new_h.dtype) == (h.shape, dtype)
        assert (jnp.shape(dx), jnp.result_type(dx)) == ((), dtype)


@pytest.mark.parametrize("name", NAMES)
def test_other_settings_and_values_do_not_retrace(name):
    traces = []

    @jax.jit
    def step(optimizer, h, g):
        traces.append(name)
        return optimizer.step_components(h, g)

    for seed, optimizer in enumerate((make(name), make(name, 0.5))):
        step(optimizer, *inputs(optimizer, seed))
    assert len(traces) == 1


@pytest.mark.parametrize("name", NAMES)
def test_vmap_is_a_loop_and_jit_is_eager(name, dtype):
    optimizer = make(name)
    h, g = inputs(optimizer)
    loop = [optimizer.step(h_i, g_i) for h_i, g_i in zip(h, g)]
    loop = tuple(jnp.stack([jnp.asarray(result[i]) for result in loop]) for i in range(2))
    assert_close(jax.vmap(optimizer.step)(h, g), loop, dtype)
    assert_close(jax.jit(lambda o, h, g: o.step_components(h, g))(optimizer, h, g), loop, dtype)


@pytest.mark.parametrize("name", NAMES)
def test_step_components_is_the_vmap_of_step_in_values_and_gradients(name, dtype):
    optimizer = make(name)
    h, g = inputs(optimizer)
    weights = np.random.default_rng(7).standard_normal((NUM_COMPONENTS, optimizer.num_states + 1)).astype(dtype)
    leaves, structure = jax.tree.flatten(optimizer)
    floats = [i for i, leaf in enumerate(leaves) if not jnp.issubdtype(jnp.result_type(leaf), jnp.integer)]

    def total(step, values, h, g):
        changed = [values[floats.index(i)] if i in floats else leaf for i, leaf in enumerate(leaves)]
        new_h, dx = step(jax.tree.unflatten(structure, changed))(h, g)
        return jnp.sum(weights * jnp.column_stack([new_h, dx])), (new_h, dx)

    values = [jnp.asarray(leaves[i]) for i in floats]
    derive = jax.jit(jax.value_and_grad(total, argnums=(1, 2, 3), has_aux=True), static_argnums=0)
    together = derive(lambda o: o.step_components, values, h, g)
    apart = derive(lambda o: jax.vmap(o.step), values, h, g)
    assert_close(together, apart, dtype, factor=20)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5, derandomize=True, deadline=None)
@given(gradients=hnp.arrays(np.float32, 6, elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)))
def test_lift_runs_the_rule_on_every_component_of_a_nested_pytree(name, gradients):
    updates, state, dx, rows = LIFTED[name](gradients)
    assert jax.tree.structure(updates) == jax.tree.structure(nested(gradients))
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(updates)])
    np.testing.assert_allclose(flat, dx, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(state, rows, rtol=1e-5, atol=1e-12)


def nested(vector):
    return {"a": vector[:4].reshape(2, 2), "b": [vector[4], vector[5:]]}


def lifted(optimizer):
    @jax.jit
    def run(gradients):
        tree, transformation = nested(gradients), lift(optimizer)
        start = transformation.init(tree)
        updates, state = transformation.update(tree, start, tree)
        rows, dx = jax.vmap(optimizer.step)(start, gradients)
        return updates, state, dx, rows

    return run


LIFTED = {name: lifted(make(name)) for name in NAMES}

BAD_ARGUMENTS = [
    (lambda: GradientDescent(0.0), r"`learning_rate` must lie in \(0, inf\), got 0.0; try 0.1."),
    (lambda: GradientDescent(float("nan")), r"`learning_rate` must lie in \(0, inf\), got nan"),
    (lambda: Momentum(0.1, 1.0), r"`decay` must lie in \[0, 1\), got 1.0; 0 gives plain gradient descent"),
    (lambda: NesterovMomentum(-1.0, 0.9), r"`learning_rate` must lie in \(0, inf\), got -1.0"),
    (lambda: AggregatedMomentum([0.1], [0.5, 0.6]), r"vectors of one length, got shapes \(1,\) and \(2,\)"),
    (lambda: AggregatedMomentum([0.1], [0.8 + 0.8j]), r"`decays` must lie in \(-1, 1\), got .*; magnitudes from 1 on"),
    (
        lambda: AggregatedMomentum([np.inf], [0.5]),
        r"`learning_rates` must lie in \[-inf, inf\), got .*inf.*; use finite numbers",
    ),
    (lambda: RMSProp(0.1, -0.5), r"`decay` must lie in \[0, 1\), got -0.5; 0.9 is customary."),
    (lambda: RMSProp(0.1, 0.5, 0.0), r"`eps` must lie in \(0, inf\), got 0.0; 1e-5"),
    (lambda: Adam(0.1, 1.5, 0.9), r"`b1` must lie in \[0, 1\), got 1.5"),
    (lambda: Adam(0.1, 0.9, 1.5), r"`b2` must lie in \[0, 1\), got 1.5"),
    (lambda: GRUOptimizer.create(0, key=jax.random.key(0)), r"`num_units` must be a whole number of at least 1, got 0"),
    (lambda: GRUOptimizer.create(2, key=jax.random.key(0), input_scale=0.0), r"`input_scale` must lie in \(0, inf\)"),
    (
        lambda: GRUOptimizer.create(2, key=jax.random.key(0), output_scale=-1.0),
        r"`output_scale` must lie in \(0, inf\)",
    ),
    (lambda: LinearRegression(num_params=0), r"`num_params` must be a whole number from 1 to 10000, got 0"),
    (
        lambda: optimizers.get("momentun"),
        r"unknown optimizer 'momentun'. Did you mean 'momentum'\? Known: adam, .*, rms",
    ),
    (lambda: tasks.get("rosenbrok"), r"unknown task .rosenbrok.. Did you mean .rosenbrock.\? Known: .*rosenbrock"),
]


@pytest.mark.parametrize("make_bad,message", BAD_ARGUMENTS)
def test_bad_input_says_what_is_allowed_what_came_and_what_to_do(make_bad, message):
    with pytest.raises(ValueError, match=message):
        make_bad()


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"gru"}))
def test_hyperparameters_may_be_traced(name):
    if name == "aggregated_momentum":
        settings_of = lambda s: AggregatedMomentum(s * jnp.array([0.1, 0.2]), s * jnp.array([0.5, 0.9]))
    else:
        settings_of = EXAMPLES[name]

    def first_update(scale):
        optimizer = settings_of(scale)
        return optimizer.step(optimizer.initial_state(), 2.0)[1]

    traced = jax.jit(jax.vmap(first_update))(jnp.array([0.5, 1.0]))
    np.testing.assert_allclose(traced, [first_update(0.5), first_update(1.0)], rtol=1e-5)


@pytest.mark.parametrize("wrong", [optax.sgd(0.1), "momentum"])
def test_lift_refuses_what_is_not_a_rule_of_one_component(wrong):
    with pytest.raises(TypeError):
        lift(wrong)


#: Number of parameters of each task.
TASK_SIZES = {"linear_regression": 5, "rosenbrock": 2, "two_moons": 8577, "mnist": 82250, "digits": 1578}
TASK_NAMES = [pytest.param(name, marks=needs_mnist if name == "mnist" else ()) for name in TASKS]
HEAVY_NAMES = [pytest.param(name, marks=[needs_mnist, pytest.mark.slow] if name == "mnist" else ()) for name in TASKS]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_sampling_is_determined_by_the_key(name, key):
    sample = eqx.filter_jit(tasks.get(name).sample)
    same, again, other = sample(key), sample(key), sample(jax.random.key(1))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, same, again))
    assert not jax.tree.all(jax.tree.map(jnp.array_equal, same.initial_params, other.initial_params))


@pytest.mark.parametrize("name", HEAVY_NAMES)
def test_a_batch_of_problems_is_the_problems_one_by_one(name, key):
    task, keys = tasks.get(name), jax.random.split(key, 3)
    sample, loss = eqx.filter_jit(task.sample), eqx.filter_jit(task.loss)
    batch = eqx.filter_jit(eqx.filter_vmap(task.sample))(keys)
    losses = eqx.filter_jit(eqx.filter_vmap(task.loss))(batch, batch.initial_params, keys)
    one_by_one = [sample(key) for key in keys]
    leaves = jax.tree.leaves(batch.initial_params)
    assert {leaf.shape[0] for leaf in leaves} == {3}
    assert sum(leaf[0].size for leaf in leaves) == TASK_SIZES[name]
    assert_close(batch, jax.tree.map(lambda *arrays: jnp.stack(arrays), *one_by_one), "float32", factor=100)
    expected = jnp.stack([loss(problem, problem.initial_params, key) for problem, key in zip(one_by_one, keys)])
    assert_close(losses, expected, "float32", factor=100)


@pytest.mark.parametrize("name", HEAVY_NAMES)
def test_the_loss_is_a_finite_differentiable_scalar(name, key, dtype):
    task = tasks.get(name)
    problem = eqx.filter_jit(task.sample)(key)
    loss, gradient = jax.jit(jax.value_and_grad(lambda x: task.loss(problem, x, key)))(problem.initial_params)
    assert (loss.shape, loss.dtype) == ((), dtype)
    assert jnp.isfinite(loss) and loss > 0
    for leaf, start in zip(jax.tree.leaves(gradient), jax.tree.leaves(problem.initial_params), strict=True):
        assert jnp.all(jnp.isfinite(leaf))
        assert start.dtype == leaf.dtype == dtype


def test_get_gives_the_registered_class():
    assert optimizers.get("adam") is Adam
    assert isinstance(tasks.get("rosenbrock"), Rosenbrock)


def assert_close(actual, expected, dtype, factor=1):
    tolerance = factor * {"float32": 3e-6, "float64": 1e-13}[dtype]
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert jnp.result_type(a) == jnp.result_type(b)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
