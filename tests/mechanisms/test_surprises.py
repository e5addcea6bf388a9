"""Rules with odd features, as people write them: what is said of them is true, or admits doubt."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.mechanisms import diagnose
from optoscope.optimizers import AbstractOptimizer, from_optax


class Rule(AbstractOptimizer):
    """A rule given as a function, with its first state."""

    function: object = eqx.field(static=True)
    start: tuple = eqx.field(static=True, default=(0.0,))

    def initial_state(self):
        return jnp.array(self.start)

    def step(self, h, g):
        new, dx = self.function(h, g)
        return jnp.stack(new), dx


def summary_of(rule, **settings):
    return diagnose(rule, **{"gradients": (1e-3, 10.0), **settings}).summary


def test_a_rule_that_divides_0_by_0_is_explained_all_the_same():
    found = diagnose(Rule(lambda h, g: ([h[0]], -0.1 * g / jnp.abs(g))), gradients=(1e-3, 10.0))
    assert found.summary.startswith("a gradient of exactly 0 makes its update NaN")
    assert "only the sign of the gradient counts" in found.summary and found.explained > 0.999
    squares = lambda h, g: 0.9 * h[0] + 0.1 * g * g
    said = summary_of(Rule(lambda h, g: ([squares(h, g)], -0.01 * g / jnp.sqrt(squares(h, g)))))
    assert "exactly 0" in said and "(decay 0.9))" in said


def test_eps_that_no_gradient_shows_is_not_told_but_where_the_mean_begins_is():
    squares = lambda h, g: 0.9 * h[0] + 0.1 * g * g
    rule = Rule(lambda h, g: ([squares(h, g)], -0.01 * g / (jnp.sqrt(squares(h, g)) + 1e-8)), (0.5,))
    said = summary_of(rule, gradients=(1e-2, 10.0), num_steps=60)
    assert "(decay 0.9), begun at 0.5)" in said


@pytest.mark.parametrize("beyond", [0.5, 0.1])
def test_clipping_that_leaks_is_told_with_both_slopes(beyond):
    def leak(h, g):
        held = jnp.clip(g, -1, 1)
        return [h[0]], -0.1 * (held + beyond * (g - held))

    verdict = diagnose(Rule(leak), gradients=(1e-2, 1e2)).verdicts["clipping"]
    assert verdict.verdict == "present" and verdict.corner == pytest.approx(1, rel=1e-6)
    assert verdict.summary == f"leaky clipping from |g| = 1, beyond which gradients count {beyond} times as much"


def test_the_largest_mean_so_far_is_said_to_be_one():
    assert "the largest so far of the mean of squared gradients" in summary_of(optax.amsgrad(1e-2, b2=0.9))


def test_a_root_of_a_root_is_said_to_be_one():
    quarter = Rule(lambda h, g: ([h[0] + g * g], -0.1 * g / (h[0] + g * g + 1e-6) ** 0.25))
    assert "to the power 0.25" in summary_of(quarter)


def test_rates_that_go_up_and_down_are_said_to():
    cycle = lambda n: 0.1 * (1 + 0.5 * jnp.cos(2 * np.pi * n / 10))
    assert "the same every 10 steps, between 0.05 and 0.15" in summary_of(optax.sgd(cycle))
    falling = lambda n: 0.1 * 0.99**n * (1 + 0.5 * jnp.cos(2 * np.pi * n / 10))
    assert "up and down, with" in summary_of(optax.sgd(falling))


def test_a_sign_with_a_dead_zone_is_no_proportional_one():
    found = diagnose(
        Rule(lambda h, g: ([h[0]], -0.1 * jnp.where(jnp.abs(g) > 0.1, jnp.sign(g), 0))), gradients=(1e-3, 10.0)
    )
    assert found.verdicts["clipping"].verdict == "present" and "dead zone up to 0.1" in found.summary


def test_a_corner_in_the_middle_of_the_range_is_no_misfit():
    skip = Rule(lambda h, g: ([h[0]], -0.1 * jnp.where(jnp.abs(g) < 1, g, 0)))
    found = diagnose(skip, gradients=(1e-2, 1e2))
    assert found.explained > 0.999 and found.verdicts["clipping"].verdict == "present"


def test_what_is_not_explained_is_not_given_a_wrong_cause():
    """A gradient that is held near the one before, and a count of large gradients: neither goes by squares or signs."""
    near = summary_of(Rule(lambda h, g: ([g], -0.1 * jnp.clip(g, h[0] - 1, h[0] + 1))))
    assert near.startswith("no rule of known parts") and "sign" not in near.replace("with their sign", "")
    count = summary_of(Rule(lambda h, g: ([h[0] + (jnp.abs(g) > 1)], -0.1 * g / (1 + 0.1 * h[0]))))
    assert "squared" not in count


def test_a_mean_that_moves_as_yogis_is_said_to():
    found = diagnose(from_optax(optax.yogi(0.1)))
    assert "by 0.001 of it, as Yogi's, begun at 1e-06, eps 0.001 outside the root" in found.summary
    assert "momentum with timescale 0.90;" in found.summary and found.explained > 0.9999


def test_weights_of_the_first_steps_are_no_decay_that_changes():
    summary = summary_of(from_optax(optax.nadam(0.1)))
    assert "timescale 0.90 from step" in summary and "its decay goes" not in summary
    # A memory of normalized gradients with two bias corrections, one on each side of it (LaProp).
    corrected = lambda h: (0.9 * h[0], 0.999 * h[1], h[2] + 1)

    def laprop(h, g):
        m, v, n = corrected(h)
        v = v + 1e-3 * g * g
        m = m + 0.1 * g / jnp.sqrt(v / (1 - 0.999**n) + 1e-30)
        return [m, v, n], -0.01 * m / (1 - 0.9**n)

    summary = summary_of(Rule(laprop, (0.0, 0.0, 0.0)))
    assert "momentum with timescale 0.90;" in summary


@pytest.mark.parametrize("mean", [True, False])
def test_a_decay_that_changes_is_told_from_step_to_step(mean):
    def rule(h, g):
        decay = 0.5 + 0.4 * jnp.minimum(h[1] / 100, 1.0)
        m = decay * h[0] + (1 - decay if mean else 1.0) * g
        return [m, h[1] + 1], -0.1 * m

    assert "its decay goes 0.5" in summary_of(Rule(rule, (0.0, 0.0)))


def test_rounding_makes_no_modes():
    noise = lambda g: g * (1 + 1e-6 * jnp.sin(1e6 * g))
    rule = Rule(
        lambda h, g: ([0.9 * h[0] + noise(g) * (1 + 1e-5 * jnp.sin(37 * h[1])), h[1] + 1], -0.1 * h[0]), (0.0, 0.0)
    )
    assert "timescale 0.90" in summary_of(rule)


def test_a_gain_that_is_blind_to_signs_is_not_said_to_go_by_them():
    def bounded(h, g):  # AdaBound (Luo et al., 2019)
        m, v, n = 0.9 * h[0] + 0.1 * g, 0.999 * h[1] + 1e-3 * g * g, h[2] + 1
        rate = jnp.clip(0.1 / jnp.sqrt(v), 0.1 * (1 - 1 / (1e-2 * n + 1)), 0.1 * (1 + 1 / (1e-2 * n)))
        return [m, v, n], -rate * m

    summary = summary_of(Rule(bounded, (0.0, 0.0, 0.0)), gradients=None)
    assert "agree in sign" not in summary


def test_the_largest_gradient_so_far_is_said_to_be_one():
    largest = lambda h, g: jnp.maximum(h[0], jnp.abs(g))
    summary = summary_of(Rule(lambda h, g: ([largest(h, g)], -0.1 * g / (largest(h, g) + 1e-8))))
    assert "the largest gradient so far," in summary and "fades" not in summary


@pytest.mark.filterwarnings("ignore")  # of optax, about the key that it wants in time to come
def test_what_others_and_chance_do_is_said_as_what_it_is():
    summary = diagnose(optax.novograd(0.1), num_steps=60).summary
    assert "a gain driven by all gradients of its tensor together" in summary and "no adaptation" not in summary
    found = diagnose(optax.noisy_sgd(0.1), num_steps=60)
    assert "random numbers" in found.summary and "drift" not in found.summary and found.view == "context"


def test_a_finite_memory_that_changes_has_no_decay():
    fading = Rule(lambda h, g: ([g, h[1] + 1], -0.1 * (g + h[0] / (1 + 0.05 * h[1]))), (0.0, 0.0))
    summary = summary_of(fading)
    assert "momentum that changes with time;" in summary and "its decay" not in summary


def test_a_decay_and_a_rate_that_both_move_are_told_where_they_have_settled():
    def rule(h, g):  # as one-cycle schedules have it
        decay = 0.95 - 0.1 * jnp.sin(jnp.minimum(h[1] / 100, 1) * jnp.pi)
        m = decay * h[0] + g
        return [m, h[1] + 1], -0.1 * jnp.minimum(1, (h[1] + 1) / 50) * m

    summary = summary_of(Rule(rule, (0.0, 0.0)))
    assert "timescale 0.95 from step 99 on" in summary and "warm-up by a factor of 50" in summary


def test_a_rate_that_falls_to_nothing_and_rises_again_is_told_with_its_dip():
    def rule(h, g):  # the cosine with warm-up of transformers, run on beyond its last step
        progress = (h[0] - 20) / 130
        return [h[0] + 1], -0.1 * jnp.where(h[0] < 20, h[0] / 20, 0.5 + 0.5 * jnp.cos(jnp.pi * progress)) * g

    summary = summary_of(Rule(rule, (0.0,)))
    assert "0 at step 0, 1 at step 20, 0 at step 150, 0.323 at step 200, of the largest" in summary, summary


def test_what_builds_up_around_a_component_is_no_schedule_of_its_own():
    """Muon's momentum of the other singular values grows for some 60 steps, and divides this one's more and more."""
    found = diagnose(optax.contrib.muon(0.1))
    assert found.explained > 0.95 and found.summary.endswith("after 200 steps of them")
    assert "momentum with timescale 0.95 (Nesterov's)" in found.summary and "no schedule" in found.summary


def test_what_gradients_change_is_explained_where_most_of_an_update_is_a_drift():
    """The gradient's part is a thousandth of each update, and a rule of its own that no known part makes."""

    def hidden(h, g):
        return [0.9 * h[0] + jnp.sin(3 * h[0]) * jnp.tanh(g)], -0.1 - 1e-4 * jnp.sin(40 * h[0] + 3 * jnp.tanh(g))

    found = diagnose(Rule(hidden, (0.3,)), gradients=(1e-2, 1e2))
    assert found.explained < 0.95
    assert "of what gradients change in its updates" in found.warnings[0]
    plain = diagnose(Rule(lambda h, g: ([0.9 * h[0] + g], -1.0 - 1e-3 * (0.9 * h[0] + g))), gradients=(1e-3, 1.0))
    assert plain.explained > 0.999 and "timescale 0.90" in plain.summary
    assert plain.remarks[-1].endswith("of what gradients change in its updates, which is the smaller part of them")


def test_a_mean_that_is_taken_away_is_no_gain():
    said = diagnose(optax.centralize(), num_steps=40).summary
    assert "a gain" not in said and "which also move it" in said
    assert (
        "a gain driven by all gradients of its tensor together" in diagnose(optax.novograd(0.1), num_steps=40).summary
    )


def test_rates_before_a_gain_begins_are_not_compared_with_those_after_it():
    """A rectified Adam moves by plain momentum at first; its rectification then is a warm-up."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")
    said = diagnose(lambda params: torch.optim.RAdam(params), num_steps=40).summary
    assert "a schedule (the learning rate goes from 4.26e-07 at step 5, where the gain begins, to " in said
    assert " at step 39)" in said and "decay to" not in said
