"""The one inner loop against loops written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.optimizers import Adam, GRUOptimizer, Momentum, lift
from optoscope.running.rollouts import Save, rollout, rollout_batch
from optoscope.tasks import AbstractTask, LinearRegression, Problem, Rosenbrock

TASK = LinearRegression()
NUM_STEPS = 6
EVERYTHING = Save(params=True, states=True, gradients=True, updates=True)


class NoisyBowl(AbstractTask):
    """A bowl in a dictionary of parameters, whose loss depends on the key: a minibatch in miniature."""

    def sample(self, key):
        return Problem({"a": jax.random.normal(key, (2, 2)), "b": jnp.ones(())})

    def loss(self, problem, params, key):
        center = jax.random.normal(key)
        return sum(jnp.sum((leaf - center) ** 2) for leaf in jax.tree.leaves(params))


@pytest.fixture(scope="module")
def problems():
    return jax.jit(jax.vmap(TASK.sample))(jax.random.split(jax.random.key(3), 3))


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(4), 3)


def pick(tree, i):
    return jax.tree.map(lambda array: array[i], tree)


def assert_close(actual, expected, rtol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), actual, expected)


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(0)
    shapes = [(1, 9), (3, 6), (3, 3), (9,), (3,), (), (3,)]
    return GRUOptimizer(*(jnp.asarray(0.5 * rng.standard_normal(shape), jnp.float32) for shape in shapes))


def test_it_is_a_python_loop(problems, keys):
    problem, optimizer = pick(problems, 0), Momentum(0.5, 0.9)
    run = rollout(TASK, problem, optimizer, num_steps=NUM_STEPS, key=keys[0], save=EVERYTHING)
    evaluate = jax.jit(jax.value_and_grad(lambda x: TASK.loss(problem, x, keys[0])))
    x, h, losses = problem.initial_params, jnp.zeros((5, 1)), []
    for k in range(NUM_STEPS):
        loss, g = evaluate(x)
        losses.append(loss)
        assert_close((run.params[k], run.states[k], run.gradients[k]), (x, h, g))
        h = 0.9 * h + g[:, None]
        assert_close(run.updates[k], -0.5 * h[:, 0])
        x = x - 0.5 * h[:, 0]
    losses.append(evaluate(x)[0])
    assert run.losses.shape == (NUM_STEPS + 1,)
    assert_close((run.losses, run.final_params, run.final_state), (jnp.stack(losses), x, h))


@pytest.mark.parametrize("name", ["adam", "lamb", "clipped by global norm"])
def test_any_optax_transformation_runs_as_in_an_optax_loop(problems, keys, name):
    transformation = {
        "adam": optax.adam(0.1),
        "lamb": optax.lamb(0.1),
        "clipped by global norm": optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1)),
    }[name]
    problem = pick(problems, 0)
    run = rollout(TASK, problem, transformation, num_steps=NUM_STEPS, key=keys[0])

    @jax.jit
    def step(x, state):
        loss, g = jax.value_and_grad(lambda x: TASK.loss(problem, x, keys[0]))(x)
        updates, state = transformation.update(g, state, x)
        return optax.apply_updates(x, updates), state, loss

    x, losses = problem.initial_params, []
    state = transformation.init(x)
    for _ in range(NUM_STEPS):
        x, state, loss = step(x, state)
        losses.append(loss)
    assert_close(run.losses[:-1], jnp.stack(losses))
    assert_close((run.final_params, run.final_state), (x, state))


def test_a_component_wise_rule_and_its_lift_are_the_same_run(problems, keys):
    optimizer = Adam(0.1, 0.9, 0.99)
    runs = [rollout_batch(TASK, problems, o, num_steps=NUM_STEPS, keys=keys) for o in (optimizer, lift(optimizer))]
    assert_close(*runs)


def test_a_batch_is_its_problems_one_by_one(problems, keys, network):
    batch = rollout_batch(TASK, problems, network, num_steps=NUM_STEPS, keys=keys, save=EVERYTHING)
    for i in range(3):
        single = rollout(TASK, pick(problems, i), network, num_steps=NUM_STEPS, key=keys[i], save=EVERYTHING)
        assert_close(pick(batch, i), single)


def test_each_step_draws_its_own_minibatch_from_the_key():
    task = NoisyBowl()
    problem = task.sample(jax.random.key(0))
    standing = optax.set_to_zero()
    run = lambda seed: rollout(task, problem, standing, num_steps=4, key=jax.random.key(seed)).losses
    assert len(np.unique(run(0))) == 5
    np.testing.assert_array_equal(run(0), run(0))
    assert not np.any(run(0) == run(1))


def test_parameters_may_be_any_pytree():
    task = NoisyBowl()
    problem = task.sample(jax.random.key(0))
    run = rollout(
        task, problem, Momentum(0.1, 0.5), num_steps=4, key=jax.random.key(1), save=Save(params=True, every=2)
    )
    assert jax.tree.map(jnp.shape, run.params) == {"a": (2, 2, 2), "b": (2,)}
    assert jax.tree.map(jnp.shape, run.final_params) == {"a": (2, 2), "b": ()}


@pytest.mark.parametrize("every", [2, 3, 6])
def test_every_keeps_the_iterations_it_names(problems, keys, every):
    run = lambda save: rollout(TASK, pick(problems, 0), Momentum(0.5, 0.9), num_steps=6, key=keys[0], save=save)
    thinned, full = run(Save(params=True, updates=True, every=every)), run(EVERYTHING)
    assert_close((thinned.params, thinned.updates), (full.params[::every], full.updates[::every]))
    assert_close(thinned.losses, full.losses)


def test_what_was_not_saved_raises_and_says_how_to_save_it(problems, keys):
    run = rollout(TASK, pick(problems, 0), Momentum(0.5, 0.9), num_steps=2, key=keys[0], save=Save(params=True))
    assert run.params.shape == (2, 5)
    for name in ("states", "gradients", "updates"):
        message = rf"did not save `{name}`; run it with save=Save\({name}=True\)"
        with pytest.raises(AttributeError, match=message):
            getattr(run, name)


def mean_loss(optimizer, problems, keys, **options):
    return jnp.mean(rollout_batch(TASK, problems, optimizer, num_steps=NUM_STEPS, keys=keys, **options).losses)


@pytest.mark.parametrize("segment_length", [1, 2])
def test_segments_change_neither_losses_nor_meta_gradients(problems, keys, network, segment_length):
    derive = jax.jit(jax.value_and_grad(mean_loss), static_argnames="segment_length")
    whole = derive(network, problems, keys)
    assert_close(derive(network, problems, keys, segment_length=segment_length), whole, rtol=1e-4)


def test_meta_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        network = GRUOptimizer(
            *(jnp.asarray(0.5 * rng.standard_normal(s)) for s in [(2, 9), (3, 6), (3, 3), (9,), (3,), (), (3,)]),
            input_scale=0.5,
            output_scale=0.2,
            input_kind="log_sign",
        )
        keys = jax.random.split(jax.random.key(5), 2)
        problems = jax.jit(jax.vmap(TASK.sample))(keys)
        objective = jax.jit(lambda network: mean_loss(network, problems, keys))
        gradient = jax.jit(jax.grad(objective))(network)
        directions = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), network)
        for i, (leaf, slope) in enumerate(zip(jax.tree.leaves(directions), jax.tree.leaves(gradient))):
            shifted = lambda e, i=i, leaf=leaf: jax.tree.unflatten(
                jax.tree.structure(network),
                [w + e * leaf if j == i else w for j, w in enumerate(jax.tree.leaves(network))],
            )
            measured = (objective(shifted(1e-5)) - objective(shifted(-1e-5))) / 2e-5
            np.testing.assert_allclose(jnp.sum(slope * leaf), measured, rtol=1e-6)


def test_it_is_pure_under_vmap_over_settings(problems, keys):
    rates = jnp.array([0.1, 0.5])
    losses = lambda rate: rollout_batch(TASK, problems, Momentum(rate, 0.9), num_steps=3, keys=keys).losses
    assert_close(jax.vmap(losses)(rates), jnp.stack([losses(0.1), losses(0.5)]))


def test_a_diverged_run_is_not_hidden():
    problem = Rosenbrock().sample(jax.random.key(0))
    run = rollout(Rosenbrock(), problem, Momentum(1.0, 0.9), num_steps=10, key=jax.random.key(0))
    assert not np.isfinite(run.losses[-1])


@pytest.mark.parametrize(
    "options,message",
    [
        ({"num_steps": 0}, "`num_steps` must be a whole number of at least 1, got 0; the paper uses 200"),
        ({"num_steps": 7, "segment_length": 3}, "multiple of `segment_length` = 3, got 7; use 9 steps"),
        ({"num_steps": 6, "segment_length": 0}, "`segment_length` must be a whole number of at least 1, got 0"),
        ({"num_steps": 7, "save": Save(params=True, every=2)}, "multiple of `save.every` = 2, got 7; use 8 steps"),
        ({"num_steps": 6, "save": Save(params=True), "segment_length": 2}, "leave one of the two out"),
    ],
)
def test_bad_arguments_are_refused_with_what_to_do(problems, keys, options, message):
    with pytest.raises(ValueError, match=message):
        rollout(TASK, pick(problems, 0), Momentum(0.1, 0.9), key=keys[0], **options)


def test_save_checks_its_interval():
    with pytest.raises(
        ValueError, match="`every` must be a whole number of at least 1, got 0; 1 keeps every iteration"
    ):
        Save(every=0)


def test_what_is_not_an_optimizer_is_refused(problems, keys):
    with pytest.raises(TypeError, match="an optimizer is a shipped name"):
        rollout_batch(TASK, problems, 3, num_steps=2, keys=keys)
    with pytest.raises(FileNotFoundError, match="unknown optimizer 'momentum'"):
        rollout_batch(TASK, problems, "momentum", num_steps=2, keys=keys)
