"""Parts do what their formulas say, and put together they are the optimizers that they are named after."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.calibration.parts import Beside, Clip, Clock, Drift, Gain, Memory, OddGain, Pipeline, RecurrentCell
from optoscope.optimizers import (
    Adam,
    AggregatedMomentum,
    GradientDescent,
    GRUOptimizer,
    NesterovMomentum,
    RMSProp,
    from_optax,
)

GRADIENTS = np.random.default_rng(0).standard_normal(30)


def run(optimizer, gradients=GRADIENTS):
    with jax.enable_x64(True):

        def step(h, g):
            h, dx = optimizer.step(h, g)
            return h, dx

        start = jnp.asarray(optimizer.initial_state(), jnp.float64)
        return np.asarray(jax.jit(lambda g: jax.lax.scan(step, start, g)[1])(jnp.asarray(gradients, jnp.float64)))


B1, B2 = 0.9, 0.99
CORRECTION = Clock(1 / (1 - B1 ** np.arange(1, 65)))
SAME = {
    "gradient descent": (Pipeline((), 0.3), GradientDescent(0.3)),
    "Nesterov": (Pipeline((Memory([0.8], [0.8], direct=1.0),), 0.3), NesterovMomentum(0.3, 0.8)),
    "complex momentum": (
        Pipeline((Memory([0.5 + 0.4j, 0.9], [0.2j, 1.0]),), 1.0),
        AggregatedMomentum([0.2j, 1.0], [0.5 + 0.4j, 0.9]),
    ),
    "RMSProp": (Pipeline((Gain("rmsprop", B2, eps=1e-5),), 0.1), RMSProp(0.1, B2)),
    "Adam": (Pipeline((Memory([B1], [1 - B1]), Gain("adam", B2)), 0.1), Adam(0.1, B1, B2)),
    "Adam of optax": (
        Pipeline((Memory([B1], [1 - B1]), CORRECTION, Gain("adam corrected", B2, eps=1e-8)), 0.1),
        from_optax(optax.adam(0.1, b1=B1, b2=B2)),
    ),
    "Adamax of optax": (
        Pipeline((Memory([B1], [1 - B1]), CORRECTION, Gain("maximum", B2, eps=1e-12)), 0.1),
        from_optax(optax.adamax(0.1, b1=B1, b2=B2, eps=1e-12)),
    ),
    "AdaGrad of optax": (
        Pipeline((Gain("adagrad", eps=1e-12, start=0.1),), 0.1),
        from_optax(optax.adagrad(0.1, initial_accumulator_value=0.1, eps=1e-24)),
    ),
    "clipped momentum of optax": (
        Pipeline((Clip("hard", 0.5), Memory([0.8], [1.0])), 0.1),
        from_optax(optax.chain(optax.clip(0.5), optax.sgd(0.1, momentum=0.8))),
    ),
    "scheduled, of optax": (
        Pipeline((Clock([optax.cosine_decay_schedule(1.0, 20)(k) for k in range(30)]),), 0.1),
        from_optax(optax.sgd(optax.cosine_decay_schedule(0.1, 20))),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_parts_make_the_optimizer_that_they_are_named_after(name):
    planted, known = SAME[name]
    np.testing.assert_allclose(run(planted), run(known), rtol=2e-6, atol=1e-9)


def test_what_runs_beside_changes_nothing(key):
    beside = Pipeline((Beside(GRUOptimizer.create(3, key=key)), Memory([0.5], [1.0])), 0.1)
    np.testing.assert_array_equal(run(beside), run(Pipeline((Memory([0.5], [1.0]),), 0.1)))
    assert beside.num_states == 5


def test_a_drift_moves_without_gradients_and_comes_to_rest():
    updates = run(Pipeline((Drift([0.9, 0.5], [1.0, -0.5]),), 1.0), np.ones(40))
    k = np.arange(40)
    np.testing.assert_allclose(updates, -(1 + 0.9**k - 0.5 * 0.5**k), rtol=1e-12)


@pytest.mark.parametrize("part", [OddGain(0.8, 0.5, 0.9), RecurrentCell(0.8, 0.5)])
def test_the_s_curves_are_odd_and_their_slopes_fall(part):
    optimizer = Pipeline((part,), 1.0)
    with jax.enable_x64(True):
        step = jax.jit(lambda h, g: jax.lax.fori_loop(0, 300, lambda _, h: optimizer.step(h, g)[0], h))
        reached = [step(jnp.zeros(1), g) for g in (-1.0, 1.0)]
        np.testing.assert_allclose(reached[0], -reached[1], rtol=1e-12)
        slope = jax.jit(jax.grad(lambda g, h: -optimizer.step(h, g)[1]))
        assert float(slope(0.0, reached[1])) < 0.8 * float(slope(0.0, jnp.zeros(1)))


@pytest.mark.parametrize(
    "bad,message",
    [
        (lambda: Clip("sharp", 1.0), "unknown kind of clipping 'sharp'"),
        (lambda: Clip("hard", 0.0), r"`threshold` must lie in \(0, inf\)"),
        (lambda: Gain("rmsprop", 1.0), r"`decay` must lie in \[0, 1\)"),
        (lambda: Memory([0.5, 0.6], [1.0]), "one weight per decay, got 2 and 1"),
        (lambda: Memory([1.0], [1.0]), r"`decays` must lie in \[-1, 1\)"),
        (lambda: OddGain(0.5, 1.0, 1.0), r"`depth` must lie in \[0, 1\)"),
    ],
)
def test_bad_settings_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()
