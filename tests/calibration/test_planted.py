"""What is said to be planted is there, found without `diagnose`; and disguises change nothing but looks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optoscope.calibration import FAMILIES, InCoordinates, catalogue
from optoscope.calibration.calibrate import split
from optoscope.calibration.disguise import InUnits, in_random_coordinates
from optoscope.calibration.imitations import RULES, imitations
from optoscope.calibration.networks import plant_networks
from optoscope.dynamics.onset import DEPARTURE
from optoscope.optimizers import Adam, GradientDescent, Momentum

NUM_STEPS = 40


@pytest.fixture(scope="module")
def planted():
    return catalogue(key=jax.random.key(3), num_steps=NUM_STEPS)


@jax.jit
def _run(optimizer, gradients):
    start = jnp.asarray(optimizer.initial_state(), jnp.float64)
    return jax.lax.scan(lambda h, g: optimizer.step(h, g), start, gradients)[1]


def run(optimizer, gradients):
    with jax.enable_x64(True):
        return np.asarray(_run(optimizer, jnp.asarray(gradients, jnp.float64)))


def one_of(planted, family):
    return [case for case in planted if case.family == family]


def test_there_are_enough_and_all_have_names_of_their_own(planted):
    assert len(planted) >= 80
    assert len({case.name for case in planted}) == len(planted)
    assert {case.family for case in planted} == set(FAMILIES)


def test_units_span_eight_decades(planted):
    for scales in ([case.input_scale for case in planted], [case.output_scale for case in planted]):
        assert min(scales) < 1e-3 and max(scales) > 1e3
        assert min(scales) >= 1e-4 and max(scales) <= 1e4


@pytest.mark.parametrize("family", ["aggregated momentum", "Adam with bias correction", "clipping, momentum, drift"])
def test_in_its_own_units_a_disguised_optimizer_does_what_the_plain_one_does(planted, family):
    case = one_of(planted, family)[0]
    gradients = 10.0 ** np.random.default_rng(0).uniform(-2, 0, NUM_STEPS)
    disguised = run(case.optimizer, gradients / case.input_scale) / case.output_scale
    np.testing.assert_allclose(disguised, run(case.plain, gradients), rtol=1e-7)


def test_no_state_variable_is_left_as_it_was(planted):
    case = one_of(planted, "heavy ball")[0]
    assert isinstance(case.optimizer, InCoordinates)
    mixing = case.optimizer.mixing
    assert np.linalg.cond(mixing) <= 4.0001
    assert (np.abs(mixing) > 1e-3).sum(axis=1).min() >= 2


@pytest.mark.parametrize(
    "family", ["heavy ball", "Nesterov", "aggregated momentum", "complex modes", "alternating memory", "hidden states"]
)
def test_the_response_to_one_gradient_is_that_of_the_planted_modes(planted, family):
    for case in one_of(planted, family):
        impulse = np.append(1.0, np.zeros(NUM_STEPS - 1)) / case.input_scale
        response = run(case.optimizer, impulse) * case.input_scale
        decays, rates = np.array(case.truth.decays), np.array(case.truth.learning_rates)
        modes = -(rates @ decays[:, None] ** np.arange(NUM_STEPS)).real if len(decays) else np.zeros(NUM_STEPS)
        np.testing.assert_allclose(response[1:], modes[1:], rtol=1e-7, atol=1e-10 * abs(response[0]))
        assert case.truth.rate is not None and response[0] == pytest.approx(-case.truth.rate, rel=1e-9)


@pytest.mark.parametrize("family", ["clipping", "momentum, clipping", "S-curve cell", "clipping, S-curve gain, clock"])
def test_at_the_planted_threshold_the_update_falls_short_of_its_tangent_by_the_stated_share(planted, family):
    for case in one_of(planted, family):
        threshold = case.truth.threshold
        assert threshold is not None
        small, large = (abs(run(case.optimizer, [g])[0]) / g for g in (1e-6 * threshold, threshold))
        assert large / small == pytest.approx(1 - DEPARTURE, abs=1e-6)


@pytest.mark.parametrize("family", ["clock", "drift", "clock without effect"])
def test_the_planted_schedule_is_what_equal_gradients_get(planted, family):
    for case in one_of(planted, family):
        updates = run(case.optimizer, np.full(NUM_STEPS, 0.5 / case.input_scale))
        rates = -updates / (0.5 / case.input_scale)
        np.testing.assert_allclose(rates, case.truth.rate * np.array(case.truth.factors)[:NUM_STEPS], rtol=1e-9)


def test_the_kind_of_adaptation_is_told_by_runs_of_either_sign(planted):
    for case in planted:
        if case.truth.kind != "squared gradient" or len(case.truth.decays):
            continue
        turns = np.where(np.arange(NUM_STEPS) % 2 == 0, 1.0, -1.0) / case.input_scale
        gains = [abs(run(case.optimizer, turns * size)[-1]) / size for size in (0.01, 1.0)]
        assert gains[1] < 0.05 * gains[0]
    for case in one_of(planted, "S-curve gain"):
        ends = run(case.optimizer, np.full(200, 1 / case.input_scale))
        assert np.log(ends[0] / ends[-1]) > 0.5 * case.truth.adaptation > 0.3


def test_halves_share_every_family(planted):
    halves = split(planted, key=jax.random.key(3))
    for family, (count, _) in FAMILIES.items():
        own = [half for half, case in zip(halves, planted) if case.family == family]
        assert abs(own.count("first") - own.count("second")) <= count % 2


@pytest.mark.parametrize("optimizer", [GradientDescent(0.1), Momentum(0.1, 0.9), Adam(0.1, 0.9, 0.99)])
def test_wrappers_leave_what_an_optimizer_does_unchanged(optimizer):
    rng = np.random.default_rng(1)
    gradients = rng.standard_normal(NUM_STEPS)
    mixed = in_random_coordinates(optimizer, rng)
    np.testing.assert_allclose(run(mixed, gradients), run(optimizer, gradients), rtol=1e-9)
    scaled = InUnits(optimizer, input_scale=3.0, output_scale=0.5)
    np.testing.assert_allclose(run(scaled, gradients), 0.5 * run(optimizer, 3 * gradients), rtol=1e-12)


def test_coordinates_must_fit():
    with pytest.raises(ValueError, match=r"must have shapes \(1, 1\) and \(1,\)"):
        InCoordinates(Momentum(0.1, 0.9), mixing=np.eye(2), offset=np.zeros(2))
    with pytest.raises(ValueError, match=r"`input_scale` must lie in \(0, inf\)"):
        InUnits(GradientDescent(0.1), input_scale=-1.0)


@pytest.fixture(scope="module")
def networks():
    return imitations()


def test_the_networks_that_are_kept_imitate_their_rules(networks):
    assert {network.name for network in networks} <= set(RULES)
    accepted = [network for network in networks if network.is_accepted]
    assert len(accepted) >= 8
    assert sum(network.name.startswith("gradient descent") for network in accepted) >= 3


def test_networks_are_disguised_and_poor_imitations_left_out(networks):
    planted = plant_networks(networks, key=jax.random.key(0), num_untrained=1)
    assert len(planted) == 1 + sum(network.is_accepted for network in networks)
    assert planted[0].truth.rate == 0.0
    gradients = np.random.default_rng(0).uniform(-1, 1, NUM_STEPS)
    for case in planted[1:]:
        updates = run(case.optimizer, gradients / case.input_scale) / case.output_scale
        rule = RULES[case.name.removeprefix("network that imitates ")]
        target = run(rule, gradients)
        assert np.sqrt(np.mean((updates - target) ** 2)) < 0.05 * np.sqrt(np.mean(target**2))
