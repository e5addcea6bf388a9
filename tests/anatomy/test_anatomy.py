"""The parts of an anatomy, on optimizers whose answers are known."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Float

from optoscope import tasks
from optoscope.anatomy import (
    Dossier,
    GroupPaths,
    find_input_attractors,
    find_thresholds,
    group_paths,
    let_rest,
    linear_updates,
    modes_through_meta_training,
)
from optoscope.anatomy.meta_training import match_modes, reordered
from optoscope.anatomy.settling import reachable_box
from optoscope.artifacts import TrainedOptimizer
from optoscope.dynamics import linearize, modes
from optoscope.optimizers import (
    AbstractOptimizer,
    AggregatedMomentum,
    GRUOptimizer,
    Momentum,
    from_optax,
)
from optoscope.running import Visits, gradient_range, visit
from optoscope.running.evaluate import evaluate


class TwoWells(AbstractOptimizer):
    """Two attractors at +-0.957... and a repelling point at 0; a constant gradient of 1 leaves one attractor."""

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(1)

    def step(self, h, g):
        h = jnp.tanh(2 * h - g)
        return h, h[0]


class Line(AbstractOptimizer):
    """One coordinate is kept for ever, the other is forgotten; the kept one is the learning rate."""

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(2)

    def step(self, h, g):
        h = jnp.stack([h[0], 0.5 * h[1] + g])
        return h, -(1 + h[0]) * g


def made_up(states, gradients=None, updates=None) -> Visits:
    """Visits with given states [trajectory, step, state], five trajectories per problem."""
    zeros = np.zeros(states.shape[:2])
    return Visits(
        states=states,
        gradients=zeros if gradients is None else gradients,
        updates=zeros if updates is None else updates,
        total_variance=np.ones(states.shape[1]),
        losses=np.ones((len(states) // 5, states.shape[1] + 1)),
        num_components=5,
        groups=["parameters"],
        group=np.zeros(len(states), int),
        provenance={},
    )


@pytest.fixture(scope="module")
def spread():
    """Visits whose states lie in [-1, 1]."""
    return lambda size: made_up(np.random.default_rng(0).uniform(-1, 1, (20, 50, size)))


def test_rest_finds_one_attractor_of_momentum(spread, key):
    rest = let_rest(Momentum(0.1, 0.9), spread(1), key=key, num_starts=32)
    assert len(rest.attractors) == 1 and rest.share_at_first == 1.0
    np.testing.assert_allclose(rest.attractors[0], 0, atol=1e-9)
    np.testing.assert_allclose(rest.held, rest.starts * 0.9**50, rtol=1e-9)
    assert rest.spread_held == pytest.approx(0.9**100, rel=1e-6)


def test_rest_finds_both_attractors_and_not_the_point_between_them(spread, key):
    rest = let_rest(TwoWells(), spread(1), key=key, num_starts=64)
    np.testing.assert_allclose(np.sort(rest.attractors[:, 0]), [-0.9575, 0.9575], atol=1e-4)
    np.testing.assert_array_equal(np.sign(rest.starts[:, 0]), np.sign(rest.attractors[rest.attractor, 0]))
    assert 0.3 < rest.share_at_first < 0.8
    inputs = find_input_attractors(TwoWells(), rest, np.array([-0.957]), np.array([0.01, 1.0]))
    np.testing.assert_array_equal(inputs.num_attractors, [2, 1])
    np.testing.assert_array_equal(inputs.num_repelling, [1, 0])
    assert inputs.remaining.max() < 1e-6


def test_states_held_on_a_line(spread, key):
    rest = let_rest(Line(), spread(2), key=key, num_starts=64)
    assert rest.line_share == pytest.approx(1.0) and 0.3 < rest.spread_held < 0.7
    np.testing.assert_allclose(rest.held_learning_rates, 1 + rest.held[:, 0], rtol=1e-6)
    assert (rest.held_speeds < 1e-12).all()


def test_the_reachable_box_of_a_gru_holds_every_state(key):
    network = dataclasses.replace(GRUOptimizer.create(3, key=key), initial=jnp.array([0.0, 2.0, -3.0]))
    low, high = reachable_box(network, made_up(np.zeros((5, 2, 3))))
    np.testing.assert_array_equal(low, [-1, -1, -3])
    np.testing.assert_array_equal(high, [1, 2, 1])


def test_a_linear_optimizer_is_its_own_linearization(key):
    rule = AggregatedMomentum([1.0, 0.5, 0.2], [0.9, 0.5, 0.0])
    visits = visit(rule, tasks.get("linear_regression"), key=key, num_problems=4, num_steps=40)
    linearization = linearize(rule, np.zeros(3))
    linear = linear_updates(linearization, modes(linearization), visits)
    assert linear.squared_errors.sum() < 1e-9 * linear.squares.sum()
    assert linear.near_squared_errors.shape == (4, 10) and linear.num_near == 10
    assert linear.mode_error < 1e-12
    half = dataclasses.replace(linearization, D=0.5 * linearization.D, C=0.5 * linearization.C)
    wrong = linear_updates(half, modes(linearization), visits)
    assert wrong.squared_errors.sum() == pytest.approx(0.25 * wrong.squares.sum(), rel=1e-3)
    assert wrong.mode_error == pytest.approx(1.0, rel=1e-3)  # twice the updates


def test_thresholds_of_hard_clipping(key):
    rule = from_optax(optax.chain(optax.clip(0.75), optax.sgd(0.1, momentum=0.5)))
    gradients = np.linspace(-4, 4, 1000).reshape(20, 50)
    visits = made_up(np.zeros((20, 50, rule.num_states)), gradients)
    found = find_thresholds(rule, visits, key=key, num_states=8)
    np.testing.assert_allclose(found.thresholds, 1.5, rtol=1e-2)  # there the gain is halved
    np.testing.assert_allclose(found.relative_gain(3.0), 0.25, rtol=1e-2)
    assert np.isinf(find_thresholds(Momentum(0.1, 0.5), visits, key=key, num_states=8).thresholds).all()
    assert gradient_range(gradients) == 4.0


def test_modes_are_matched_whatever_their_order(key):
    rng = np.random.default_rng(0)
    rule = AggregatedMomentum(rng.uniform(1, 2, 6).tolist(), rng.uniform(0, 0.95, 6).tolist())
    found = modes(linearize(rule, np.zeros(6)))
    order = rng.permutation(6)
    matched, cost = match_modes(found, reordered(found, order))
    np.testing.assert_array_equal(order[matched], np.arange(6))
    assert cost < 1e-12


def test_two_modes_that_become_a_pair_are_matched_alike_whatever_the_last_bit():
    pair = modes(linearize(AggregatedMomentum([1 + 0.5j], [0.6 + 0.3j]), np.zeros(2)))
    real = dataclasses.replace(pair, decays=pair.decays.real + 0j, right=pair.right.real + pair.right.imag + 0j)
    matched = []
    for bit in (-1e-14, 0.0, 1e-14):
        shaken = dataclasses.replace(real, decays=real.decays + bit * np.array([1, -1j]))
        matched.append(match_modes(shaken, pair)[0].tolist())
    assert matched == [[0, 1]] * 3


def test_modes_are_followed_through_meta_training(key):
    """The readout turns from one unit to another: the mode that leads in the end does not lead at first."""
    network = GRUOptimizer.create(4, key=key)
    weights = jnp.stack([jnp.eye(4)[0], jnp.ones(4), jnp.ones(4) * 2])
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), network)
    trained = TrainedOptimizer(
        optimizer=network,
        task="linear_regression",
        preset="none",
        seed=0,
        config={},
        metrics={},
        curve={},
        snapshot_steps=np.array([0, 1, 2]),
        snapshots=eqx.tree_at(lambda one: one.readout_weights, stacked, weights),
        provenance={},
    )
    through = modes_through_meta_training(trained)
    np.testing.assert_array_equal(through.known, [0, 1, 2])
    for column in through.decays.T:
        np.testing.assert_allclose(column, column[0], atol=1e-9)  # the dynamics are the same in all three
    np.testing.assert_allclose(through.learning_rates[2], 2 * through.learning_rates[1], atol=1e-9)
    assert through.leading[-1] == 0 and (through.costs[1:] < 1e-6).all()


@pytest.fixture(scope="module")
def network_visits():
    task = tasks.get("two_moons(num_examples=16, widths=(3, 3))")
    return task, visit(Line(), task, key=jax.random.key(1), num_problems=2, num_steps=6)


def test_group_paths_average_states_within_groups(network_visits):
    _, visits = network_visits
    groups: GroupPaths = group_paths(Line(), visits)
    assert groups.layers("biases") == [0, 2, 4] and groups.layers("weights") == [1, 3, 5]
    for i in range(len(groups.groups)):
        own = visits.states[visits.group == i].astype(float)
        np.testing.assert_allclose(groups.states[i], own.mean(0), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(groups.learning_rates, 1 + groups.states[..., 0], rtol=1e-6)
    first = np.abs(visits.by_problem(visits.gradients)[1, visits.group[: visits.num_components] == 3, 0])
    assert groups.first_magnitudes[1, 3] == pytest.approx(np.exp(np.log(first).mean()), rel=1e-5)


def test_visits_know_the_losses_that_evaluation_finds(network_visits):
    task, visits = network_visits
    found = evaluate(task, {"line": Line()}, num_problems=2, num_steps=6, key=jax.random.key(1))
    np.testing.assert_allclose(visits.losses, found.losses[0], rtol=1e-5)


@pytest.mark.slow
def test_an_optimizer_that_counts_cannot_be_dissected(key):
    clock = from_optax(optax.sgd(optax.linear_schedule(0.1, 0.0, 100)))
    with pytest.raises(ValueError, match="freeze its clock"):
        _ = Dossier(clock, tasks.get("linear_regression"), key=key, num_problems=2, num_steps=5, num_starts=8).center
