"""Rules with odd features, as people write them: what is said of them is true, or admits doubt."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.mechanisms import diagnose
from optoscope.optimizers import AbstractOptimizer


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
