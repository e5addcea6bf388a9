"""Interventions on planted optimizers, where what is left is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope import lift
from optoscope.anatomy import Dossier
from optoscope.dynamics import SETTLING_STEPS, linearize, modes
from optoscope.interventions import (
    ClipGradient,
    FreezeDrift,
    HoldGain,
    HoldState,
    LinearMemory,
    Monotonic,
    ReadAtRest,
    RemoveDirections,
    RemoveOffset,
    Rescaled,
    Scheduled,
    StartAt,
    Tangent,
    Unchanged,
    by_group,
    equalize_groups,
    keep_modes,
    projection,
    random_directions,
    remove_modes,
)
from optoscope.interventions.groups import equal_size_factors
from optoscope.interventions.landmarks import drifts, held_at_rest, modes_of, path_to_rest
from optoscope.optimizers import AbstractOptimizer, Adam, AggregatedMomentum, GradientDescent, Momentum, RMSProp

GRADIENTS = np.random.default_rng(0).normal(size=30).astype(np.float32)
TWO = AggregatedMomentum([1.0, 0.1], [0.5, 0.9])


class Clocked(AbstractOptimizer):
    """Heavy ball with the learning rate `1 / (1 + k)`: a schedule in a clock that never stops."""

    def initial_state(self):
        return jnp.zeros(2)

    def step(self, h, g):
        v = 0.5 * h[0] + g
        return jnp.stack([v, h[1] + 1]), -v / (1 + h[1])


class Relaxing(AbstractOptimizer):
    """Heavy ball with a learning rate `1 + h_1`, which relaxes from 2 to 1: a schedule with a fixed point."""

    def initial_state(self):
        return jnp.array([0.0, 1.0])

    def step(self, h, g):
        h = jnp.stack([0.5 * h[0] + g, 0.8 * h[1]])
        return h, -(1 + h[1]) * h[0]


class SlopesBack(AbstractOptimizer):
    """`dx = -g / (1 + g^2)`: farthest at |g| = 1."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        return h + g, -g / (1 + g * g)


def run(optimizer, gradients=GRADIENTS):
    """Updates of one component under given gradients."""

    @jax.jit
    def scan(optimizer, gradients):
        return jax.lax.scan(lambda h, g: optimizer.step(h, g), optimizer.initial_state(), gradients)[1]

    return np.asarray(scan(optimizer, jnp.asarray(gradients)))


@pytest.fixture(scope="module")
def relaxing():
    return Dossier(Relaxing())


@pytest.fixture(scope="module")
def landmarks(network):
    return Dossier(network)


def end_of(optimizer):
    """The state after all gradients."""
    gradients = jnp.asarray(GRADIENTS)
    return jax.lax.scan(lambda h, g: optimizer.step(h, g), optimizer.initial_state(), gradients)[0]


def test_interventions_that_change_nothing_reproduce_the_optimizer_to_the_bit(network, landmarks):
    expected = run(network)
    path = path_to_rest(landmarks)
    for unchanged in (
        Unchanged(network),
        Rescaled(network),
        StartAt(network, network.initial_state()),
        RemoveDirections(network, path, np.zeros((6, 6))),
    ):
        np.testing.assert_array_equal(run(unchanged), expected)
    assert np.ptp(expected) > 0


def test_many_components_are_changed_as_each_one_is(network, landmarks):
    rng = np.random.default_rng(1)
    h, g = rng.normal(size=(5, 6)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    for made in (
        RemoveOffset(network),
        Tangent(network),
        Monotonic(network, num_points=2),
        ReadAtRest(network, path_to_rest(landmarks), landmarks.rest_point.state),
        HoldGain(network, path_to_rest(landmarks)),
        LinearMemory(network, path_to_rest(landmarks)),
        HoldState(network, path_to_rest(landmarks)),
        RemoveDirections(network, path_to_rest(landmarks), 0.1 * np.ones((6, 6))),
        FreezeDrift(network, landmarks.rest_point.state),
        RemoveOffset(ClipGradient(Rescaled(Tangent(LinearMemory(network, path_to_rest(landmarks))), 2.0), 0.5)),
    ):
        states = np.resize(h, (5, made.num_states)) if made.num_states < 6 else h
        clocks = np.full((5, made.num_states - states.shape[1]), 3.0, np.float32)
        states = jnp.asarray(np.column_stack([states, clocks]))
        both = jax.jit(lambda one, h, g: (one.step_components(h, g), jax.vmap(one.step)(h, g)))
        together, apart = both(made, states, jnp.asarray(g))
        for a, b in zip(together, apart):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
        assert together[0].dtype == together[1].dtype == jnp.float32


def test_heavy_ball_without_its_mode_or_its_offset_is_gradient_descent():
    heavy_ball = Momentum(0.1, 0.9)
    found = modes(linearize(heavy_ball, [0.0]))
    expected = run(GradientDescent(0.1))
    np.testing.assert_allclose(run(remove_modes(heavy_ball, found, [0], path=[0.0])), expected, rtol=1e-6)
    np.testing.assert_allclose(run(RemoveOffset(heavy_ball)), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(run(heavy_ball) - expected).max() > 0.1


def test_a_removed_mode_forgets_and_a_kept_one_remembers():
    found = modes(linearize(TWO, [0.0, 0.0]))
    slow = int(np.argmax(found.decays.real))
    # What the present gradient does at once stays; only the memory goes.
    fast_only = run(Momentum(1.0, 0.5)) + run(GradientDescent(0.1))
    slow_only = run(Momentum(0.1, 0.9)) + run(GradientDescent(1.0))
    np.testing.assert_allclose(run(remove_modes(TWO, found, [slow], path=[0.0, 0.0])), fast_only, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run(keep_modes(TWO, found, [slow], path=[0.0, 0.0])), slow_only, rtol=1e-5, atol=1e-6)


def test_projections_onto_pairs_are_real_and_halves_are_refused():
    rule = AggregatedMomentum([0.2, 0.3 + 0.1j], [0.5, 0.6 + 0.5j])
    linear = linearize(rule, np.zeros(4))
    found = modes(linear)
    pair = [i for i in range(4) if abs(found.decays[i].imag) > 0.1]
    removed = projection(found, pair)
    np.testing.assert_allclose(removed @ removed, removed, atol=1e-12)
    np.testing.assert_allclose(removed @ linear.A, linear.A @ removed, atol=1e-12)
    assert round(np.trace(removed)) == 2
    with pytest.raises(ValueError, match="half of a conjugate pair"):
        projection(found, pair[:1])


def test_leading_modes_are_those_that_remember():
    rule = AggregatedMomentum([1.0, 0.3, 0.001], [0.0, 0.9, 0.5])
    found = modes(linearize(rule, np.zeros(3)))
    np.testing.assert_allclose(found.decays[found.leading()], 0.9)
    assert len(found.leading(0.9999)) == 2
    assert not len(modes(linearize(AggregatedMomentum([1.0], [0.0]), [0.0])).leading())


def test_a_clipped_rule_with_its_tangent_is_the_unclipped_rule():
    heavy_ball = Momentum(0.1, 0.9)
    clipped = ClipGradient(heavy_ball, 0.3)
    assert np.abs(run(clipped) - run(heavy_ball)).max() > 0.1
    np.testing.assert_allclose(run(Tangent(clipped, state="tangent")), run(heavy_ball), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run(Tangent(ClipGradient(GradientDescent(0.1), 0.3))), run(GradientDescent(0.1)))
    # With the real state only the present gradient escapes the clip; what is remembered of it does not.
    expected = run(clipped) - 0.1 * (GRADIENTS - GRADIENTS.clip(-0.3, 0.3))
    np.testing.assert_allclose(run(Tangent(clipped)), expected, rtol=1e-4, atol=1e-6)


def test_a_scheduled_rule_with_its_clock_held_has_a_constant_rate(relaxing):
    np.testing.assert_allclose(
        run(FreezeDrift(Clocked(), np.array([0.0, 3.0]))), run(Momentum(0.25, 0.5)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(relaxing.rest_point.state, [0, 0], atol=1e-9)
    assert relaxing.rest_point.is_attracting and drifts(relaxing)
    constant = run(Momentum(1.0, 0.5))
    np.testing.assert_allclose(run(StartAt(Relaxing(), relaxing.rest_point.state)), constant, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        run(ReadAtRest(Relaxing(), path_to_rest(relaxing), relaxing.rest_point.state)), constant, rtol=1e-5, atol=1e-6
    )


def test_the_schedule_alone_is_its_learning_rates(relaxing):
    rates = relaxing.autonomous.learning_rates[: len(GRADIENTS)]
    np.testing.assert_allclose(rates, 1 + 0.8 ** np.arange(1, len(GRADIENTS) + 1), rtol=1e-9)
    np.testing.assert_allclose(run(Scheduled(GradientDescent(1.0), rates)), -rates * GRADIENTS, rtol=1e-5)
    # This rule is its schedule times its momentum.
    np.testing.assert_allclose(run(Scheduled(Momentum(1.0, 0.5), rates)), run(Relaxing()), rtol=1e-5, atol=1e-6)
    # A schedule that has run out holds its last value.
    np.testing.assert_allclose(run(Scheduled(GradientDescent(1.0), np.array([2.0, 0.5])))[5:], -0.5 * GRADIENTS[5:])


def test_a_linear_rule_has_no_gain_to_hold_and_no_memory_to_linearize(relaxing):
    for rule, path in ((TWO, np.zeros((1, 2))), (Relaxing(), path_to_rest(relaxing))):
        np.testing.assert_allclose(run(HoldGain(rule, path)), run(rule), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(run(LinearMemory(rule, path)), run(rule), rtol=1e-5, atol=1e-6)


def test_a_held_gain_is_that_of_the_reference_and_the_memory_goes_on():
    rule = RMSProp(0.1, 0.9)
    held = HoldGain(rule, np.array([[4.0]]))
    expected = -0.1 * GRADIENTS / np.sqrt(0.9 * 4 + 0.1 * GRADIENTS**2 + 1e-5)
    np.testing.assert_allclose(run(held), expected, rtol=1e-5)
    np.testing.assert_allclose(run(HoldState(rule, np.array([[4.0]]))), expected, rtol=1e-5)
    # The state is the real one: the mean square does not depend on the gain.
    np.testing.assert_allclose(end_of(held)[0], end_of(rule)[0], rtol=1e-5)


def test_momentum_and_clipping_alone_are_what_is_left_of_a_clipped_scheduled_rule():
    rule = ClipGradient(Relaxing(), 0.5)
    alone = LinearMemory(rule, np.zeros((1, 2)))
    np.testing.assert_allclose(run(alone), run(ClipGradient(Momentum(1.0, 0.5), 0.5)), rtol=1e-5, atol=1e-6)
    momentum = Tangent(alone, state="tangent")
    np.testing.assert_allclose(run(momentum), run(Momentum(1.0, 0.5)), rtol=1e-5, atol=1e-6)


def test_a_monotonic_update_function_stays_at_its_peak():
    gradients = np.linspace(-4, 4, 33).astype(np.float32)
    monotonic = run(Monotonic(SlopesBack(), num_points=40), gradients)
    expected = np.where(np.abs(gradients) > 1, -0.5 * np.sign(gradients), -gradients / (1 + gradients**2))
    np.testing.assert_allclose(monotonic, expected, atol=2e-3)
    inner = np.abs(gradients) <= 1
    np.testing.assert_array_equal(monotonic[inner], run(SlopesBack(), gradients)[inner])
    np.testing.assert_allclose(run(Monotonic(TWO, num_points=2)), run(TWO), rtol=1e-5, atol=1e-6)


def test_a_random_control_has_the_variance_of_what_it_stands_beside():
    rng = np.random.default_rng(0)
    mixing = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    deviations = (rng.normal(size=(4000, 8)) * 3.0 ** -np.arange(8)) @ mixing.T
    removed = mixing[:, 1:3] @ mixing[:, 1:3].T
    draws = [random_directions(removed, deviations, key=jax.random.key(seed)) for seed in range(4)]
    target = np.square(deviations @ removed).sum(1).mean()
    for draw in draws:
        np.testing.assert_allclose(draw.removed @ draw.removed, draw.removed, atol=1e-10)
        assert round(np.trace(draw.removed)) == 2
        np.testing.assert_allclose(draw.variance_ratio, 1, atol=1e-6)
        np.testing.assert_allclose(np.square(deviations @ draw.removed).sum(1).mean(), target, rtol=1e-6)
        assert draw.overlap < 0.9
    assert np.abs(draws[0].removed - draws[1].removed).max() > 0.1
    leading = mixing[:, :2] @ mixing[:, :2].T  # as much as there is: only the leading components themselves have it
    most = random_directions(leading, deviations, key=jax.random.key(0))
    assert most.overlap > 0.9 and abs(most.variance_ratio - 1) < 0.05
    with pytest.raises(ValueError, match="removes nothing"):
        random_directions(np.zeros((8, 8)), deviations, key=jax.random.key(0))


def test_equal_groups_have_equal_gradients_and_a_linear_rule_does_not_notice_fixed_factors():
    params = {"a": jnp.zeros((2, 3)), "b": jnp.zeros(4)}
    gradients = {"a": jnp.full((2, 3), 3.0), "b": jnp.full(4, 0.1)}
    common = np.sqrt((6 * 9 + 4 * 0.01) / 10)
    for rule in (equalize_groups(), equalize_groups({"a": 3.0, "b": 0.1})):
        equal, _ = rule.update(gradients, rule.init(params))
        for leaf in jax.tree.leaves(equal):
            np.testing.assert_allclose(leaf, common, rtol=1e-6)
    nothing, _ = equalize_groups().update(jax.tree.map(jnp.zeros_like, gradients), optax.EmptyState())
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(nothing))
    factors = tuple(equal_size_factors([3.0, 0.1], [6, 4]))
    np.testing.assert_allclose(factors, [common / 3, common / 0.1])

    @functools.partial(jax.jit, static_argnums=1)
    def after_two(rule, factors):
        transformation = by_group([Rescaled(rule, 1 / f, f) for f in factors])
        state = transformation.init(params)
        for _ in range(2):
            updates, state = transformation.update(gradients, state)
        return updates

    linear, plain = after_two(TWO, factors), after_two(TWO, (1.0, 1.0))
    for one, other in zip(jax.tree.leaves(linear), jax.tree.leaves(plain)):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    adaptive, own = after_two(Adam(0.1, 0.9, 0.99), factors), after_two(Adam(0.1, 0.9, 0.99), (1.0, 1.0))
    assert abs(float(adaptive["b"][0] / own["b"][0])) < 0.2  # its rates were due to the sizes
    lifted, _ = lift(TWO).update(gradients, lift(TWO).init(params))
    grouped, _ = by_group([TWO, TWO]).update(gradients, by_group([TWO, TWO]).init(params))
    np.testing.assert_allclose(lifted["b"], grouped["b"])
    with pytest.raises(ValueError, match="one per leaf: 2"):
        by_group([TWO]).init(params)


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: ClipGradient(TWO, 0.0), "`threshold` must lie in"),
        (lambda: Monotonic(TWO, num_points=0), "`num_points` must be a whole number"),
        (lambda: StartAt(TWO, np.zeros(3)), "`start` must hold states of AggregatedMomentum, which have 2"),
        (lambda: HoldGain(TWO, np.zeros((4, 3))), r"`path` must hold states .* got shape \(4, 3\)"),
        (lambda: Scheduled(TWO, np.array([np.nan])), "`factors` must lie in"),
        (lambda: Rescaled(TWO, 0.0), "`factor` must lie in"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_clock_that_never_rests_has_no_modes_and_is_held_where_it_is():
    clocked = Dossier(Clocked())
    assert not clocked.rest_point.is_fixed and drifts(clocked)
    assert clocked.rest_point.state[1] == SETTLING_STEPS
    assert modes_of(clocked) is None and isinstance(held_at_rest(clocked), FreezeDrift)
    with pytest.raises(ValueError, match="does not come to rest"):
        _ = clocked.modes
