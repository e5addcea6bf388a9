"""Edges of stability: closed forms, the linear system run by itself, and planted rules that saturate."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_systems import Counter, Integral, LinearSystem

from optoscope import from_optax
from optoscope._core.types import Scalar
from optoscope.dynamics import (
    EdgeMeasurement,
    Outcome,
    StabilityMap,
    find_fixed_points,
    find_resting_point,
    linearize,
    measure_edge,
    stability_map,
)
from optoscope.dynamics.edges import _fit_growth, _outcome, _period
from optoscope.dynamics.stability import joint_matrices
from optoscope.optimizers import (
    AbstractOptimizer,
    Adam,
    AggregatedMomentum,
    GradientDescent,
    Momentum,
    NesterovMomentum,
    RMSProp,
)


class Saturating(AbstractOptimizer):
    """`dx = -rate * tanh(g - rest)`: it rests at `g = rest`, loses stability at `2 / rate`, and then alternates."""

    rate: Scalar
    rest: Scalar = 0.0

    def initial_state(self):
        return jnp.zeros(0)

    def step(self, h, g):
        return h, -self.rate * jnp.tanh(g - self.rest)


class Escaping(AbstractOptimizer):
    """`dx = -rate * g / (1 + g^2)`, but constant from |g| = 2 on, in the wrong direction: beyond the edge it leaves."""

    rate: Scalar = 1.0

    def initial_state(self):
        return jnp.zeros(0)

    def step(self, h, g):
        return h, jnp.where(jnp.abs(g) < 2, -self.rate * g, 3 * g)


class TwoWells(AbstractOptimizer):
    """`dx = rate * (g - g^3)`: unstable at 0 for every curvature, it settles at `g = -+1` up to `1 / rate`."""

    rate: Scalar = 0.1

    def initial_state(self):
        return jnp.zeros(0)

    def step(self, h, g):
        return h, self.rate * (g - g**3)


GRID = np.geomspace(1e-3, 1e3, 61)


@settings(max_examples=6, derandomize=True, deadline=None)
@given(st.floats(1e-3, 10), st.floats(0, 0.99))
def test_heavy_ball_is_stable_up_to_its_textbook_edge(rate, decay):
    found = stability_map(Momentum(rate, decay), GRID)
    edge = 2 * (1 + decay) / rate
    np.testing.assert_allclose(found.edges, [edge], rtol=1e-8)
    np.testing.assert_allclose(found.edge_eigenvalues, [-1], atol=1e-6)
    np.testing.assert_allclose(found.stable_ranges, [[0, edge]], rtol=1e-8)
    np.testing.assert_allclose(found.total_learning_rate, rate / (1 - decay))
    np.testing.assert_array_equal(found.is_stable(GRID), found.radii < 1)


def test_gradient_descent_and_nesterov_have_their_textbook_edges():
    np.testing.assert_allclose(stability_map(GradientDescent(0.25), GRID).edges, [8.0], rtol=1e-8)
    rate, decay = 0.1, 0.9
    edge = 2 * (1 + decay) / (rate * (1 + 2 * decay))  # det([[A, c B], [C, 1 + c D]] + 1) = 0
    np.testing.assert_allclose(stability_map(NesterovMomentum(rate, decay), GRID).edges, [edge], rtol=1e-8)


def test_aggregated_momentum_alternates_where_its_modes_add_up_to_two():
    rates, decays = np.array([0.1, 0.3, 0.02]), np.array([0.0, 0.5, 0.99])
    found = stability_map(AggregatedMomentum(rates, decays), GRID)
    np.testing.assert_allclose(found.edges, [2 / (rates / (1 + decays)).sum()], rtol=1e-8)


def test_rates_periods_and_damping_of_an_underdamped_heavy_ball():
    rate, decay, curvature = 0.1, 0.81, 3.0
    found = stability_map(Momentum(rate, decay), [curvature])
    # z^2 - (1 + decay - rate * curvature) z + decay = 0
    roots = np.roots([1, -(1 + decay - rate * curvature), decay])
    angle = np.abs(np.angle(roots[0]))
    np.testing.assert_allclose(found.radii, [decay**0.5])
    np.testing.assert_allclose(found.rates, [-np.log(decay) / 2])
    np.testing.assert_allclose(found.periods, [2 * np.pi / angle])
    np.testing.assert_allclose(found.damping_ratios, [found.rates[0] / np.hypot(found.rates[0], angle)])
    slow = stability_map(Momentum(rate, decay), [0.01])
    assert slow.periods[0] == np.inf and slow.damping_ratios[0] == 1


def test_integral_action_is_stable_below_its_edge():
    # On the unit circle at -1: 4 - curvature rate (2 + weight) = 0.
    found = stability_map(Integral(0.1, 0.05), [1.0, 5.0, 30.0])
    np.testing.assert_allclose(found.edges, [4 / 0.205], rtol=1e-8)
    assert found.stable_at_zero and found.is_stable([1.0, 5.0, 19.5, 19.52]).tolist() == [True, True, True, False]
    np.testing.assert_allclose(found.radii[:2] < 1, True)
    assert found.total_learning_rate == np.inf
    pure = stability_map(Integral(0.1, -0.05), [1.0])  # it adds up gradients in the wrong direction
    assert not pure.stable_at_zero


@pytest.mark.parametrize("rate", [1e-6, 0.1, 1e3])
def test_a_heavy_ball_of_decay_one_rings_for_ever_below_its_edge(rate):
    rule = LinearSystem(np.ones((1, 1)), np.ones(1), -np.ones(1) * rate, D=-rate)
    found = stability_map(rule, [1 / rate, 100 / rate])
    np.testing.assert_allclose(found.edges, [4 / rate], rtol=1e-6)
    np.testing.assert_allclose(found.neutral_ranges, [[0, 4 / rate]], rtol=1e-6)
    assert found.stable_ranges.shape == (0, 2) and found.kinds.tolist() == [0, 1]


@pytest.mark.parametrize("decay", [0.9, 0.9999])
@pytest.mark.parametrize("rate", [1e-9, 1e6])
def test_slow_is_not_neutral(rate, decay):
    found = stability_map(LinearSystem(np.full((1, 1), decay), np.ones(1), np.full(1, -rate * decay), D=-rate), GRID)
    np.testing.assert_allclose(found.stable_ranges, [[0, 2 * (1 + decay) / rate]], rtol=1e-6)
    assert found.neutral_ranges.shape == (0, 2)


@pytest.mark.parametrize(
    "transformation,edge",
    [
        (optax.sgd(0.1, momentum=0.9, nesterov=True), 13.5714),
        (optax.chain(optax.trace(0.9), optax.scale(0.1), optax.scale(-0.1)), 380),
        (optax.optimistic_gradient_descent(0.1), 6.6667),
        (optax.chain(optax.trace(0.9), optax.trace(0.9), optax.scale(-0.1)), 0.0234568),
    ],
    ids=["Nesterov", "two signs", "optimistic", "double pole"],
)
def test_edges_that_people_asked_for(transformation, edge):
    found = stability_map(from_optax(transformation), [1.0])
    np.testing.assert_allclose(found.edges, [edge], rtol=1e-4)
    assert found.stable_at_zero


@pytest.fixture(scope="module")
def gappy():
    """A linear rule that is stable, unstable, stable, unstable, stable and unstable as the curvature grows."""
    rng = np.random.default_rng(2776)
    A = rng.normal(size=(4, 4))
    A *= 0.97 / np.abs(np.linalg.eigvals(A)).max()
    return LinearSystem(*(np.asarray(part) for part in (A, rng.normal(size=4), rng.normal(size=4))), D=-1.0)


def test_every_edge_of_a_rule_with_unstable_gaps_is_found_whatever_the_grid(gappy):
    fine = np.geomspace(1e-3, 1e2, 20001)
    radii = np.abs(np.linalg.eigvals(joint_matrices(find_resting_point(gappy), fine))).max(1)
    expected = fine[:-1][np.diff(np.sign(radii - 1)) != 0]
    assert len(expected) == 5
    for grid in ([1.0], GRID):
        found = stability_map(gappy, grid)
        np.testing.assert_allclose(found.edges, expected, rtol=1e-3)
        np.testing.assert_array_equal(found.stable_below, [True, False, True, False, True])
        np.testing.assert_allclose(np.abs(found.edge_eigenvalues), 1, atol=1e-8)
        np.testing.assert_array_equal(found.is_stable(fine[::97]), radii[::97] < 1)


@pytest.mark.slow
def test_narrow_gaps_are_measured_where_they_are_looked_for(gappy):
    predicted = stability_map(gappy, [1.0])
    measured = measure_edge(gappy, curvatures=np.geomspace(1e-3, 1e2, 301), num_steps=2000)
    np.testing.assert_allclose(measured.edges, predicted.edges, rtol=1e-3)


@settings(max_examples=5, derandomize=True, deadline=None)
@given(st.integers(0, 10_000))
def test_edges_of_random_linear_rules_are_those_of_a_dense_scan(seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(4, 4))
    A *= rng.uniform(0.3, 0.98) / np.abs(np.linalg.eigvals(A)).max()
    rule = LinearSystem(*map(jnp.asarray, (A, rng.normal(size=4), rng.normal(size=4))), D=-1.0)
    found = stability_map(rule, [1.0])
    scan = np.geomspace(1e-3, 1e3, 4001)
    stable = np.abs(np.linalg.eigvals(joint_matrices(find_resting_point(rule), scan))).max(1) < 1
    np.testing.assert_array_equal(found.is_stable(scan), stable)


def test_a_rule_that_climbs_is_nowhere_stable():
    found = stability_map(LinearSystem(jnp.zeros((1, 1)), jnp.zeros(1), jnp.zeros(1), D=0.1), GRID)
    assert not found.stable_at_zero and not found.is_stable(GRID).any()
    assert found.stable_ranges.shape == (0, 2)
    assert not stability_map(GradientDescent(0.1), GRID).is_stable([-1.0, 0.0]).any()


@pytest.fixture(scope="module")
def learned(network):
    """The network with a readout that goes downhill and is a little off where it rests without a gradient."""
    at = linearize(network, find_fixed_points(network, gradient=0.0, seeds=np.zeros(6)).states[0])
    total = at.D + at.C @ np.linalg.solve(np.eye(6) - at.A, at.B)
    readout = -float(np.sign(total)) * network.readout_weights
    bias = 0.01 - jnp.float32(at.state) @ readout
    return eqx.tree_at(lambda gru: (gru.readout_weights, gru.readout_bias), network, (readout, bias))


def test_the_resting_point_is_where_neither_state_nor_parameter_moves(learned):
    network = learned
    at = find_resting_point(network)
    assert at.residual < 1e-12 and abs(at.update) < 1e-12 and at.gradient != 0
    assert find_resting_point(Saturating(0.5, rest=0.7)).gradient == pytest.approx(0.7)
    expected = linearize(network, at.state, at.gradient)
    np.testing.assert_allclose(joint_matrices(expected, np.array([2.0]))[0, -1], [*expected.C, 1 + 2 * expected.D])


def test_adam_is_refused_where_it_is_singular_and_mapped_with_its_mean_square_held():
    rule = Adam(learning_rate=0.1, b1=0.9, b2=0.999)
    with pytest.raises(ValueError, match=r"Adam has no linearization .* pass `point=linearize"):
        stability_map(rule, GRID)
    held = stability_map(rule, GRID, point=linearize(rule, [0.0, 4.0]))
    # Cohen et al. (2022): preconditioned curvature up to (2 + 2 b1) / ((1 - b1) rate)
    edge = 2 * 1.9 / (0.1 * 0.1) * (np.sqrt(0.999 * 4.0) + 1e-5)
    np.testing.assert_allclose(held.edges, [edge], rtol=1e-6)
    assert held.residual > 0  # the mean square drifts


def test_an_optimizer_that_never_rests_is_refused_in_words():
    with pytest.raises(ValueError, match="does not come to rest together with its parameter"):
        find_resting_point(Counter())


@pytest.mark.parametrize(
    "rule",
    [
        GradientDescent(0.25),
        Momentum(0.1, 0.9),
        pytest.param(NesterovMomentum(0.1, 0.9), marks=pytest.mark.slow),
        AggregatedMomentum(np.array([-0.1 + 0j, 1.0]), np.array([0.95 * np.exp(1j), 0.3])),
        RMSProp(0.01, 0.9),
        Saturating(0.5, rest=0.7),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_measured_edges_are_the_predicted_ones(rule):
    measured, predicted = measure_edge(rule, num_steps=2000), stability_map(rule, [1.0])
    assert len(measured.edges)
    np.testing.assert_allclose(measured.edges, measured.predicted(predicted), rtol=1e-3)
    assert not len(measured.missed(predicted))
    inside = measured.curvatures[np.isfinite(measured.growth)]
    growth = measured.growth[np.isfinite(measured.growth)]
    again = stability_map(rule, inside)
    slow = np.abs(again.rates) < 0.02  # elsewhere a mode of its own may lead that gradients do not excite
    np.testing.assert_allclose(growth[slow], -again.rates[slow], atol=2e-3)


def test_a_network_is_measured_where_it_is_predicted(learned):
    measured, predicted = measure_edge(learned, num_steps=2000), stability_map(learned, [1.0])
    assert len(measured.edges)
    np.testing.assert_allclose(measured.edges, measured.predicted(predicted), rtol=2e-3)


def test_beyond_its_edge_a_linear_rule_diverges_and_a_saturating_one_alternates():
    linear = measure_edge(GradientDescent(0.25), num_steps=500)
    assert {*linear.outcomes.ravel()} == {Outcome.DIVERGES} and linear.linear_range == np.inf
    measured = measure_edge(Saturating(0.5, rest=0.7), num_steps=2000, beyond=(1.25, 2.0))
    assert {*measured.outcomes.ravel()} == {Outcome.CIRCLES}
    np.testing.assert_allclose(measured.periods, 2, atol=1e-6)
    for curvature, amplitude, x in zip(measured.beyond[0], measured.gradient_amplitudes[0], measured.amplitudes[0]):
        # In the cycle g - rest = -+a: 2 a = curvature * rate * tanh(a).
        np.testing.assert_allclose(2 * amplitude, curvature * 0.5 * np.tanh(amplitude), rtol=1e-6)
        np.testing.assert_allclose(x, amplitude / curvature)
    np.testing.assert_allclose(measured.gradient, 0.7)
    # tanh departs from its tangent by 10% at 0.58.
    np.testing.assert_allclose(measured.linear_range, 0.58, rtol=0.2)


def test_a_rule_that_saturates_the_wrong_way_escapes():
    measured = measure_edge(Escaping(), num_steps=500, beyond=(1.05,))
    np.testing.assert_allclose(measured.edges, [2.0], rtol=1e-3)
    assert measured.outcomes.tolist() == [[Outcome.DIVERGES]] and measured.linear_range < 2.1


def test_how_runs_end():
    steps = np.arange(4000)
    wave = np.sin(2 * np.pi * steps / 7.3)
    assert _outcome(*[0.1 * 0.999**steps * np.cos(steps)] * 2) == Outcome.DIES_OUT
    assert _outcome(wave, np.minimum(np.abs(wave) + 0.1, 0.001 * 1.01 ** np.minimum(steps, 2000))) == Outcome.CIRCLES
    settled = 1 - 0.999 * np.exp(-steps / 50)
    assert _outcome(settled, settled) == Outcome.SETTLES_ELSEWHERE
    with np.errstate(over="ignore"):
        assert _outcome(*[1.1 ** (8.0 * steps)] * 2) == Outcome.DIVERGES
    assert _outcome(*[1e-3 * (1 + steps / 100)] * 2) == Outcome.UNDECIDED
    np.testing.assert_allclose(_period(wave), 7.3, rtol=1e-3)
    measured = measure_edge(TwoWells(), curvatures=[1.0, 2.0], num_steps=400)
    assert (measured.growth > 0).all() and not len(measured.edges) and measured.beyond.shape == (0, 3)


@pytest.mark.parametrize("decay", [0.999, 0.9999])
def test_a_slow_mode_has_one_edge(decay):
    measured = measure_edge(Momentum(0.1, decay), curvatures=np.geomspace(1e-3, 1e2, 41), beyond=(1.05,))
    np.testing.assert_allclose(measured.edges, [20 * (1 + decay)], rtol=1e-3)
    assert measured.stable_below.all() and (measured.growth[measured.curvatures < 39] <= 0).all()


def test_what_rings_for_ever_has_no_measured_growth_below_its_edge():
    rule = LinearSystem(np.ones((1, 1)), np.ones(1), np.full(1, -0.1), D=-0.1)
    measured = measure_edge(rule, curvatures=[0.01, 1.0, 10.0, 39.0, 41.0], num_steps=1000)
    assert not len(measured.edges) and (measured.growth > 0).tolist() == [False] * 4 + [True]


def test_growth_is_read_from_the_late_envelope():
    steps = np.arange(4000)
    wave = np.abs(np.cos(2 * np.pi * steps / 37.7)) + 1e-3
    for rate in (-0.002, -1e-4, 1e-4, 0.001):
        transient = 5 * 0.97**steps
        np.testing.assert_allclose(_fit_growth((np.exp(rate * steps) + transient) * wave)[0], rate, atol=2e-5)
    assert _fit_growth(np.array([1.0, 1e-9, 0.0, 0.0]))[0] == -np.inf
    assert _fit_growth(np.array([1.0, 1e9, np.inf, np.nan]))[0] == np.inf
    np.testing.assert_allclose(_fit_growth(0.2 ** np.arange(50.0))[0], np.log(0.2))


def test_maps_and_measurements_are_saved_and_checked(tmp_path):
    prediction = stability_map(Momentum(0.1, 0.9), [1.0, 2.0])
    again = StabilityMap.load(prediction.save(tmp_path / "map.npz"))
    np.testing.assert_array_equal(again.edges, prediction.edges)
    measured = measure_edge(GradientDescent(0.1), curvatures=[1.0, 100.0], num_steps=200)
    again = EdgeMeasurement.load(measured.save(tmp_path / "edge.npz"))
    np.testing.assert_array_equal(again.outcomes, measured.outcomes)
    assert measured.brackets[0, 1] / measured.brackets[0, 0] < 1 + 1e-4
    with pytest.raises(ValueError, match=r"`curvatures` must lie in \(0, inf\)"):
        stability_map(Momentum(0.1, 0.9), [-1.0])
    with pytest.raises(ValueError, match=r"`beyond` must lie in \(1, inf\)"):
        measure_edge(GradientDescent(0.1), beyond=(0.5,))
    with pytest.raises(ValueError, match="at least 100"):
        measure_edge(GradientDescent(0.1), num_steps=10)


def test_the_callers_precision_is_left_alone():
    stability_map(Momentum(0.1, 0.9), [1.0])
    assert jnp.asarray(1.0).dtype == jnp.float32 and not jax.config.jax_enable_x64  # type: ignore[attr-defined]


def test_a_map_of_one_curvature_has_a_radius_and_the_edge_beyond():
    found = stability_map(GradientDescent(0.1), [1.0])
    assert found.radii == pytest.approx([0.9]) and found.edges == pytest.approx([20.0])
