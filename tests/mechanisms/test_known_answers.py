"""Small optimizers about which users have asked, and the right answers."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope import from_optax, from_torch
from optoscope.dynamics import Probe
from optoscope.mechanisms import diagnose
from optoscope.optimizers import AbstractOptimizer


def updates(rule, gradients):
    return Probe(rule).updates(np.array([gradients], float))[0]


def words(report):
    return {name: verdict.verdict for name, verdict in report.verdicts.items() if name != "grouping"}


class Rule(AbstractOptimizer):
    """A rule given as a function."""

    function: object = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def initial_state(self):
        return jnp.zeros(self.size)

    def step(self, h, g):
        return self.function(h, g)


def _stuck(h, g):
    m, v = 0.9 * h[0] + 0.1 * g, 0.95 * h[1] + 0.05 * g**2
    return jnp.stack([m, v]), -0.01 * (m / 0.1) / (jnp.sqrt(v / 0.05) + 1e-8)


def test_adam_whose_counter_stands_still_has_no_schedule():
    rule = Rule(_stuck, 2)
    run = np.abs(updates(rule, [1.0] * 400))
    np.testing.assert_allclose([run[0], run[-1]], [0.01, 0.01 * np.sqrt(5)], rtol=1e-3)
    report = diagnose(rule)
    assert words(report) == {"momentum": "present", "clipping": "absent", "schedule": "absent", "adaptation": "present"}
    np.testing.assert_allclose(report.verdicts["momentum"].decays.real, [0.9], atol=1e-3)
    assert report.verdicts["adaptation"].kind == "squared gradient" and report.explained > 0.999


def test_the_first_gradient_of_dampened_momentum_counts_double():
    torch = pytest.importorskip("torch")
    rule = from_torch(lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5))
    np.testing.assert_allclose(updates(rule, [1.0] * 4), [-0.1, -0.14, -0.176, -0.2084], rtol=1e-9)
    report = diagnose(rule)
    assert "the first gradient counts double" in report.summary and "sign" not in report.summary
    np.testing.assert_allclose(report.verdicts["momentum"].decays.real, [0.9], atol=1e-6)


@pytest.mark.parametrize("before,position,told", [(True, -0.2, True), (False, -0.119, False)])
def test_a_rate_before_the_memory_is_told_from_one_behind_it(before, position, told):
    def step(h, g):
        rate = jnp.where(h[1] < 1, 1.0, 0.1)
        v = 0.9 * h[0] + (rate * g if before else g)
        return jnp.stack([v, h[1] + 1]), -0.1 * (v if before else rate * v)

    rule = Rule(step, 2)
    np.testing.assert_allclose(updates(rule, [1.0, 1.0]).sum(), position)
    report = diagnose(rule, gradients=(1e-3, 10.0))
    assert report.explained > 0.999
    # Before the memory, this drop is a first gradient that counts ten times as much.
    assert ("the first gradient counts 10 times as much" in report.summary) == told


def test_nesterov_is_named():
    rule = from_optax(optax.sgd(0.1, momentum=0.9, nesterov=True))
    np.testing.assert_allclose(updates(rule, [1.0, 0.0, 0.0]), [-0.19, -0.081, -0.0729], rtol=1e-6)
    assert "Nesterov's" in diagnose(rule).summary


def test_two_constants_make_one_rate():
    report = diagnose(optax.chain(optax.trace(0.9), optax.scale(0.1), optax.scale(-0.1)))
    momentum = report.verdicts["momentum"]
    np.testing.assert_allclose([momentum.decays[0].real, momentum.learning_rates[0].real], [0.9, 0.01], rtol=1e-6)
    assert words(report)["schedule"] == "absent"


def test_optimistic_gradient_descent_takes_differences():
    rule = from_optax(optax.optimistic_gradient_descent(0.1))
    np.testing.assert_allclose(updates(rule, [1.0, 1.0, 1.0, 0.0]), [-0.1, -0.1, -0.1, 0.1], rtol=1e-6)
    report = diagnose(rule)
    assert "differences of gradients" in report.summary and words(report)["momentum"] == "present"
    assert (
        words(report)["schedule"] == "absent" and "it begins as if the first gradient had always come" in report.summary
    )


def test_where_eps_stands_makes_the_first_step():
    first_step = lambda **more: updates(from_optax(optax.rmsprop(0.1, decay=0.99, eps=0.01, **more)), [0.01])[0]
    np.testing.assert_allclose([first_step(), first_step(eps_in_sqrt=False)], [-0.0100, -0.0909], atol=5e-5)


def test_a_mean_that_begins_at_1_warms_up():
    begun = from_optax(optax.rmsprop(0.1, initial_scale=1.0))
    np.testing.assert_allclose(updates(from_optax(optax.rmsprop(0.1)), [1.0]), [-0.3162], atol=1e-4)
    np.testing.assert_allclose(updates(begun, [1.0]), [-0.1], atol=1e-4)
    rates = diagnose(begun, gradients=(1e-8, 1e-6), num_steps=60).verdicts["schedule"].learning_rates
    np.testing.assert_allclose(rates[1:40] / rates[:39], np.sqrt(1 / 0.9), rtol=1e-3)


def test_a_schedule_is_followed_over_its_horizon():
    report = diagnose(optax.sgd(optax.warmup_cosine_decay_schedule(0.0, 1.0, 100, 1000)), num_steps=1000)
    rates = report.verdicts["schedule"].learning_rates
    np.testing.assert_allclose(rates[[0, 100, 550, 1000]], [0, 1, 0.5, 0], atol=1e-6)


def test_what_changes_after_the_run_is_told():
    report = diagnose(optax.sgd(optax.piecewise_constant_schedule(0.1, {300: 0.1})), gradients=(1e-3, 10.0))
    assert words(report)["schedule"] == "absent" and "0.01 at step 30" in report.summary
    asleep = diagnose(optax.sgd(lambda n: jnp.where(n < 250, 0.0, 0.1)), gradients=(1e-3, 10.0))
    assert "in the first 200 steps" in asleep.summary and "by step 25" in asleep.summary


def test_a_first_update_of_0_is_told():
    assert "the first update is 0" in diagnose(optax.sgd(optax.linear_schedule(0.0, 0.1, 10))).summary


def test_accumulation_is_a_mean_of_so_many():
    rule = from_optax(optax.MultiSteps(optax.sgd(0.1), 4).gradient_transformation())
    np.testing.assert_allclose(updates(rule, [1.0, 2.0, 3.0, 4.0]), [0, 0, 0, -0.25], rtol=1e-6)
    summary = diagnose(rule).summary
    assert "accumulation over 4 steps" in summary and "does nothing" not in summary


def test_two_poles_at_one_place_are_said_to_be_two():
    rule = from_optax(optax.chain(optax.trace(0.9), optax.trace(0.9), optax.scale(-0.1)))
    k = np.arange(5)
    np.testing.assert_allclose(updates(rule, (k == 0) * 1.0), -0.1 * (k + 1) * 0.9**k, rtol=1e-6)
    assert "double pole" in diagnose(rule).summary


def test_a_corner_moves_with_a_schedule_before_it():
    drop = optax.piecewise_constant_schedule(0.1, {2: 0.1})
    rule = from_optax(optax.chain(optax.scale_by_schedule(drop), optax.clip(1.0), optax.scale(-1.0)))
    np.testing.assert_allclose(updates(rule, [20.0, 20.0, 20.0]), [-1, -1, -0.2], rtol=1e-6)
    report = diagnose(rule, gradients=(1e-2, 1e3))
    assert "its threshold changes with time: 10 at step 0" in report.summary and "100 at step" in report.summary


RPROP = [1.0, 1.0, 1.0, -1.0, 1.0]


def test_rprop_of_torch_goes_by_signs():
    torch = pytest.importorskip("torch")
    rule = from_torch(lambda params: torch.optim.Rprop(params, lr=0.1))
    np.testing.assert_allclose(updates(rule, RPROP), [-0.1, -0.12, -0.144, 0, -0.072], rtol=1e-6)
    report = diagnose(rule)
    assert words(report) == {"momentum": "absent", "clipping": "present", "schedule": "absent", "adaptation": "present"}
    assert report.verdicts["adaptation"].kind == "nonlinear odd" and "only the sign" in report.summary


def test_rprop_of_optax_responds_one_step_late():
    rule = from_optax(optax.rprop(0.1))
    np.testing.assert_allclose(np.abs(updates(rule, RPROP)), [0, 0.1, 0.12, 0, 0], rtol=1e-6)
    report = diagnose(rule)
    assert "gradients count 1 step late" in report.summary and "no momentum" not in report.summary


@pytest.mark.parametrize(
    "transformation,expected",
    [
        (
            optax.sgd(optax.warmup_cosine_decay_schedule(0.0, 0.1, 20, 200), momentum=0.9),
            ("present", "absent", "present", "absent"),
        ),
        (optax.adam(optax.cosine_decay_schedule(1e-3, 200)), ("present", "absent", "present", "present")),
        (optax.chain(optax.clip(1.0), optax.adam(1e-3)), ("present", "present", "present", "present")),
    ],
    ids=["warm-up and cosine", "Adam with cosine", "clip and Adam"],
)
def test_recipes(transformation, expected):
    report = diagnose(transformation)
    assert tuple(words(report).values()) == expected
    if expected[1] == "present":
        assert report.verdicts["clipping"].corner == pytest.approx(1.0, rel=1e-3)


class Restarted(AbstractOptimizer):
    """A heavy ball that forgets its momentum when a gradient goes against it, with a rate that falls as 1 / sqrt(t)."""

    def initial_state(self):
        return jnp.zeros(2)

    def step(self, h, g):
        v = jnp.where(h[0] * g < 0, 0.0, 0.9 * h[0]) + g
        return jnp.stack([v, h[1] + 1]), -0.1 / jnp.sqrt(h[1] + 1) * v


class Waved(AbstractOptimizer):
    """A map behind a memory that counts large gradients in proportion to their size."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        v = 0.5 * h[0] + g
        return jnp.stack([v]), -0.1 * (v + 0.3 * jnp.sin(v))


def test_a_gain_that_goes_by_signs_is_not_said_to_go_by_squares():
    report = diagnose(Restarted())
    assert report.explained < 0.95 and "squared" not in report.summary
    assert report.verdicts["schedule"].verdict == "present"


def test_a_map_that_acts_at_few_magnitudes_is_put_where_it_stands():
    report = diagnose(Waved())
    assert report.explained > 0.999 and "the map stands behind the memory" in report.summary
    assert report.verdicts["clipping"].verdict == "absent"


def test_large_gradients_that_count_a_little_less_are_not_clipped():
    leaks = lambda beyond: lambda h, g: (h, -0.1 * (jnp.clip(g, -1.0, 1.0) + beyond * (g - jnp.clip(g, -1.0, 1.0))))
    assert words(diagnose(Rule(leaks(0.965), 1), gradients=(1e-2, 1e2)))["clipping"] == "absent"
    assert words(diagnose(Rule(leaks(0.5), 1), gradients=(1e-2, 1e2)))["clipping"] == "present"
