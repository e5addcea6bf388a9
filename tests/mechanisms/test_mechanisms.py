"""Verdicts against optimizers whose mechanisms are known in closed form, in coordinates that show nothing."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.dynamics.onset import find_onset
from optoscope.mechanisms import MechanismReport, Verdict, diagnose
from optoscope.mechanisms._verdict import short
from optoscope.mechanisms.momentum import MomentumVerdict, fit_modes
from optoscope.optimizers import (
    AbstractOptimizer,
    Adam,
    AggregatedMomentum,
    GradientDescent,
    GRUOptimizer,
    Momentum,
    NesterovMomentum,
    RMSProp,
)


class Chain(AbstractOptimizer):
    """Clipping of gradients, momentum and a schedule, in mixed coordinates and with a counter among the states."""

    limit: float
    decay: float
    rate: float
    horizon: float
    mixing: jax.Array

    def initial_state(self):
        return self.mixing @ jnp.array([0.0, 0.0, 1.0])

    def step(self, h, g):
        v, n, one = jnp.linalg.solve(self.mixing.astype(h.dtype), h)
        v = self.decay * v + jnp.clip(g, -self.limit, self.limit)
        factor = jnp.exp(-n / self.horizon)
        return self.mixing.astype(h.dtype) @ jnp.stack([v, n + 1, one]), -self.rate * factor * v


class Cell(AbstractOptimizer):
    """`c' = tanh(decay c + g / scale)`: an odd curve of fixed points along which the slope falls."""

    decay: float
    scale: float

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        h = jnp.tanh(self.decay * h + g / self.scale)
        return h, -self.scale * h[0]


class SignMomentum(AbstractOptimizer):
    """The sign of a momentum: no slope anywhere."""

    decay: float

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        h = self.decay * h + g
        return h, -0.1 * jnp.sign(h[0])


class ClippedMomentum(AbstractOptimizer):
    """A saturation behind a linear memory: clipping, however far the slope at g = 0 falls."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        h = 0.9 * h + g
        return h, -jnp.tanh(h[0])


MIXING = jnp.asarray(np.random.default_rng(3).standard_normal((3, 3)) + 2 * np.eye(3))


@pytest.fixture(scope="module")
def chain():
    return diagnose(Chain(0.02, 0.8, 0.5, 100.0, MIXING))


@pytest.fixture(scope="module")
def adam():
    return diagnose(Adam(0.01, 0.9, 0.99))


@pytest.fixture(scope="module")
def network():
    drawn = GRUOptimizer.create(6, key=jax.random.key(1))
    trained = jax.tree.map(lambda leaf: leaf, drawn)
    return diagnose(trained, untrained=drawn)


def verdicts(report):
    return {name: verdict.verdict for name, verdict in report.verdicts.items() if name != "grouping"}


def found(report, *present):
    assert verdicts(report) == {
        name: "present" if name in present else "absent" for name in ("momentum", "clipping", "schedule", "adaptation")
    }


def test_gradient_descent_has_no_mechanism():
    report = diagnose(GradientDescent(0.1))
    found(report)
    assert report.summary.startswith("no momentum; no clipping; no schedule; no adaptation; explains more than 99.9%")
    np.testing.assert_allclose(report.verdicts["momentum"].learning_rates.sum(), 0.1)


@pytest.mark.parametrize(
    "optimizer,decays,rates",
    [
        (Momentum(0.1, 0.9), [0.9], [0.1]),
        (NesterovMomentum(0.1, 0.9), [0.0, 0.9], [0.1, 0.09]),
        (
            AggregatedMomentum([0.1, 0.2, 0.05, 0.1], [0.5, 0.8, 0.95, 0.99]),
            [0.5, 0.8, 0.95, 0.99],
            [0.1, 0.2, 0.05, 0.1],
        ),
        (AggregatedMomentum([0.2 + 0.1j], [0.6 + 0.4j]), [0.6 - 0.4j, 0.6 + 0.4j], [0.1 - 0.05j, 0.1 + 0.05j]),
    ],
)
def test_momentum_comes_back_with_its_numbers(optimizer, decays, rates):
    report = diagnose(optimizer)
    found(report, "momentum")
    momentum = report.verdicts["momentum"]
    order = np.argsort(momentum.decays.real + 1e-3 * momentum.decays.imag)
    np.testing.assert_allclose(momentum.decays[order], decays, atol=1e-6)
    np.testing.assert_allclose(momentum.learning_rates[order], rates, rtol=1e-5, atol=1e-6)
    assert momentum.vertical_shift == pytest.approx(1, abs=1e-9)
    assert momentum.num_fixed_points == 1


def test_the_effect_of_heavy_ball_is_its_decay():
    assert diagnose(Momentum(0.1, 0.6)).verdicts["momentum"].effect == pytest.approx(0.6, abs=1e-6)


def test_three_mechanisms_at_once_behind_a_counter_in_mixed_coordinates(chain):
    found(chain, "momentum", "clipping", "schedule")
    momentum, clipping, schedule = (chain.verdicts[name] for name in ("momentum", "clipping", "schedule"))
    assert momentum.operating_step == 0 and not momentum.is_fixed_point
    np.testing.assert_allclose(momentum.decays, [0.8], atol=1e-6)
    np.testing.assert_allclose(momentum.learning_rates, [0.5], rtol=1e-6)
    assert (clipping.kind, clipping.threshold) == ("hard", pytest.approx(0.02 / 0.9, rel=1e-3))
    assert clipping.corner == pytest.approx(0.02, rel=1e-3)
    np.testing.assert_allclose(schedule.learning_rates, 0.5 * np.exp(-np.arange(201) / 100), rtol=1e-6)
    assert "hard clipping from |g| = 0.02" in chain.summary and "momentum with timescale 0.80" in chain.summary


def test_a_saturation_behind_a_memory_is_clipping_and_no_adaptation():
    report = diagnose(ClippedMomentum(), gradients=(1e-3, 30.0))
    found(report, "momentum", "clipping")
    assert report.verdicts["clipping"].threshold == pytest.approx(0.58380, rel=1e-3)  # tanh(x) = 0.9 x


def test_gains_driven_by_squared_gradients(adam):
    found(adam, "momentum", "adaptation")
    assert adam.verdicts["adaptation"].kind == "squared gradient"
    np.testing.assert_allclose(adam.verdicts["momentum"].decays, [0.9], atol=1e-6)
    rmsprop = diagnose(RMSProp(0.01, 0.9))
    found(rmsprop, "adaptation")
    assert rmsprop.verdicts["adaptation"].kind == "squared gradient"
    # The gain goes as 1/sqrt(1 - 0.9^n); it has gone all but 1/e of its way after few steps.
    assert 2 <= rmsprop.verdicts["adaptation"].steps_to_adapt <= 20


def test_a_clip_in_front_of_adam_is_told_from_its_own_normalization():
    clipped = optax.chain(optax.clip(0.05), optax.scale_by_adam(b2=0.9), optax.scale(-0.1))
    report = diagnose(clipped, gradients=(1e-3, 1.0))
    assert report.verdicts["clipping"].verdict == "present"
    assert report.verdicts["clipping"].threshold == pytest.approx(0.05 / 0.9, rel=0.02)
    assert report.verdicts["adaptation"].kind == "squared gradient"


def test_an_odd_nonlinear_state_is_told_from_a_gain_driven_by_squares():
    report = diagnose(Cell(0.8, 0.1), gradients=(1e-4, 1.0))
    found(report, "momentum", "clipping", "adaptation")
    adaptation = report.verdicts["adaptation"]
    assert adaptation.kind == "nonlinear odd"
    np.testing.assert_allclose(adaptation.learning_rates, adaptation.opposite_learning_rates, rtol=1e-9)
    state = np.tanh(0.8 * _root(0.8, adaptation.magnitudes[-1] / 0.1))
    assert adaptation.learning_rates[-1] == pytest.approx(1 - state**2, rel=1e-6)
    assert (len(adaptation.fold_gradients), adaptation.attracting_share) == (0, 1.0)


def test_a_bistable_cell_has_two_fixed_points():
    report = diagnose(Cell(1.5, 0.1), gradients=(1e-4, 1.0))
    adaptation = report.verdicts["adaptation"]
    assert adaptation.kind == "nonlinear odd"
    # At a fold the slope 1.5 (1 - c^2) is 1.
    c = np.sqrt(1 - 1 / 1.5)
    fold = 0.1 * (1.5 * c - np.arctanh(c))
    np.testing.assert_allclose(adaptation.fold_gradients, [-fold, fold], rtol=1e-6)
    assert "a switch with hysteresis between gradients of -0.02" in report.summary
    momentum = report.verdicts["momentum"]
    # The run without a gradient stays at 0, which repels; small gradients lead to one of the two others.
    assert momentum.num_fixed_points == 2
    state = _root(1.5, 0.0)
    np.testing.assert_allclose(momentum.decays, [1.5 * (1 - state**2)], rtol=1e-6)


def _root(decay, drive):
    c = 1.0
    for _ in range(200):
        c = np.tanh(decay * c + drive)
    return c


def test_a_memory_behind_a_sign_is_found_by_what_cancels_the_update():
    report = diagnose(SignMomentum(0.9))
    found(report, "momentum", "clipping")
    assert report.verdicts["clipping"].kind == "sign-like" and report.verdicts["clipping"].threshold == 0
    momentum = report.verdicts["momentum"]
    assert np.abs(momentum.decays - 0.9).min() < 1e-6
    assert momentum.effect == pytest.approx(0.9, abs=1e-3)


def test_an_untrained_network_does_nothing(network):
    assert network.summary == "it does nothing: its update is the same whatever the gradients are"
    assert verdicts(network) == dict.fromkeys(("momentum", "clipping", "schedule", "adaptation"), "absent")
    # With a random readout it forgets gradients by halves; this is the control.
    assert 0.2 < network.verdicts["momentum"].untrained_effect < 1


def test_momentum_that_the_untrained_network_has_too_is_undecided():
    from optoscope.mechanisms.diagnose import with_readout

    untrained = GRUOptimizer.create(6, key=jax.random.key(1))
    report = diagnose(with_readout(untrained), untrained=untrained)
    assert report.verdicts["momentum"].verdict == "undecided"
    assert "before meta-training" in report.verdicts["momentum"].reason
    assert "momentum undecided" in report.summary
    assert report.gradients_origin == "where this network begins to saturate"


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_thresholds_are_found_at_any_scale_of_gradients(scale):
    report = diagnose(optax.chain(optax.clip(scale), optax.sgd(0.1)))
    assert report.verdicts["clipping"].corner == pytest.approx(scale, rel=1e-3)


def test_a_report_is_json_without_nan_in_the_promised_shape(chain, adam, network, tmp_path):
    for report in (chain, adam, network):
        data = json.loads(json.dumps(report.to_json(), allow_nan=False))
        assert {"optimizer", "task", "summary", "verdicts", "provenance"} <= set(data)
        assert set(data["verdicts"]) == {"momentum", "clipping", "schedule", "adaptation", "grouping"}
        assert all(v["verdict"] in ("present", "absent", "undecided") for v in data["verdicts"].values())
    data = chain.to_json()["verdicts"]
    np.testing.assert_allclose(data["momentum"]["modes"][0]["beta"], [0.8, 0], atol=1e-6)
    np.testing.assert_allclose(data["momentum"]["modes"][0]["alpha"], [0.5, 0], rtol=1e-6, atol=1e-9)
    assert {"threshold", "fraction_beyond"} <= set(data["clipping"])
    assert len(data["schedule"]["learning_rates"]) == 201 and data["adaptation"]["kind"] == "none"
    path = chain.save(tmp_path / "out")
    assert json.loads(path.read_text()) == chain.to_json()
    again = MomentumVerdict.load(tmp_path / "out" / "momentum.npz")
    np.testing.assert_array_equal(again.decays, chain.verdicts["momentum"].decays)


def test_on_a_task_the_gradients_met_count():
    from optoscope import tasks

    task = tasks.get("linear_regression")
    report = diagnose(Momentum(0.5, 0.8), task=task, key=jax.random.key(0), num_steps=50)
    assert isinstance(report, MechanismReport) and report.task == "linear_regression"
    momentum = report.verdicts["momentum"]
    assert momentum.r2 == pytest.approx(1, abs=1e-6) and momentum.r2_interval[0] > 0.999
    assert 0 <= momentum.total_variance_ratio < 1
    assert report.gradients_origin == "met on linear_regression" and report.gradients[0] < report.gradients[1]
    assert report.verdicts["grouping"].verdict == "undecided"


def test_an_optimizer_without_a_state_is_diagnosed_on_a_task_too():
    from optoscope import tasks

    report = diagnose(GradientDescent(0.1), task=tasks.get("linear_regression"), num_steps=20)
    found(report)
    assert report.verdicts["momentum"].r2 == pytest.approx(1, abs=1e-6)
    assert report.verdicts["momentum"].total_variance_ratio == 0


def test_fit_modes_recovers_a_sum_of_powers():
    k = np.arange(400)
    response = -(0.3 * 0.9**k + 0.1 * 0.5**k)
    response[0] -= 0.2
    decays, rates = fit_modes(response)
    order = np.argsort(decays.real)
    kept = order[np.abs(rates[order]) > 1e-6]
    np.testing.assert_allclose(decays[kept], [0, 0.5, 0.9], atol=1e-6)
    np.testing.assert_allclose(rates[kept], [0.2, 0.1, 0.3], rtol=1e-5)


@pytest.mark.parametrize(
    "shape,point", [(lambda x: np.tanh(x) / x, 0.58380), (lambda x: 1 / np.sqrt(1 + x**2), 0.48432)]
)
def test_onsets_of_soft_saturations_are_where_they_fall_short_by_a_tenth(shape, point):
    onset = find_onset(lambda g: shape(g / 30), np.geomspace(1e-4, 1e4, 129))
    assert onset.threshold == pytest.approx(30 * point, rel=1e-3) and onset.corner is None
    assert find_onset(np.ones_like, np.geomspace(1e-4, 1e4, 129)).threshold is None


@pytest.mark.parametrize("wrong", [0.0, -1.0, (1.0, 0.5), [1.0, 2.0, 3.0], float("nan")])
def test_bad_ranges_are_refused(wrong):
    with pytest.raises(ValueError, match="gradients"):
        diagnose(Momentum(0.1, 0.9), gradients=wrong)


def test_short():
    assert short(0) == "0" and issubclass(MomentumVerdict, Verdict)


@pytest.mark.parametrize("num_steps", [30, 200])
@pytest.mark.parametrize("settings", ["sgd(1e-300)", "adam(0.1, b1=2.0)", "rmsprop(0.1, decay=1.5)"])
def test_extreme_settings_are_judged_without_a_warning(settings, num_steps):
    assert diagnose(f"optax:{settings}", num_steps=num_steps).summary


@pytest.mark.parametrize("decay", [1.05, 1.5, 3.0])
def test_a_memory_that_grows_is_warned_of_first(decay):
    summary = diagnose(f"optax:sgd(0.1, momentum={decay})").summary
    assert summary.startswith(f"unstable: a mode of {decay:.2f} grows with every step; momentum with timescale")
