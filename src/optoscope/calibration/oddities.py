"""Rules with odd features: those for which the explanation has words, and those beyond all its words."""

import jax.numpy as jnp
import numpy as np
import optax

from optoscope.calibration.brought import BEYOND_WORDS, Brought, Written
from optoscope.calibration.truth import Truth
from optoscope.optimizers import AbstractOptimizer, from_optax

#: No mechanism, but a static map of which it depends on the word whether it clips.
_A_MAP = Truth(unscored={"clipping": "the map is neither clipping nor none"})


def _written(function, start=(0.0,), settings=()) -> AbstractOptimizer:
    return Written(function, np.array(start, float), np.array(settings, float))


def _delay(h, g, rate):
    return [g, *h[:-1]], -rate * h[-1]


def _accumulates(rng, rate):
    every = int(rng.integers(2, 6))
    rule = optax.MultiSteps(optax.sgd(rate), every).gradient_transformation()
    return from_optax(rule), Truth(momentum=1 - 1 / every, schedule=np.inf)


def _restarts(h, g, rate, decay, every):
    v = jnp.where(jnp.mod(h[1], every) == 0, 0.0, decay * h[0]) + g
    return [v, h[1] + 1], -rate * v


def _leaks(h, g, rate, threshold, beyond):
    held = jnp.clip(g, -threshold, threshold)
    return [h[0]], -rate * (held + beyond * (g - held))


def _clips_later(h, g, rate, threshold):
    return [h[0] + 1], -rate * jnp.where(h[0] >= 50, jnp.clip(g, -threshold, threshold), g)


def _warming_momentum(h, g, rate):
    v = jnp.minimum(0.95, 0.5 + 0.45 * h[1] / 100) * h[0] + g
    return [v, h[1] + 1], -rate * v


def with_words(rng: np.random.Generator, i: int) -> Brought:
    """A rule of a kind that the explanation has words for."""
    rate, decay = float(10 ** rng.uniform(-3, 0)), float(rng.uniform(0.8, 0.97))
    threshold = float(10 ** rng.uniform(-1.5, -0.5))
    twice = optax.chain(optax.trace(decay), optax.trace(decay), optax.scale(-rate))
    rule, truth = (
        lambda: (_written(_delay, (0.0,) * int(rng.integers(1, 5)), (rate,)), Truth(momentum=1.0)),
        lambda: _accumulates(rng, rate),
        lambda: (from_optax(twice), Truth(momentum=2 * decay - decay**2)),
        lambda: (from_optax(optax.optimistic_gradient_descent(rate)), Truth(momentum=1 / 3)),
        lambda: (_written(lambda h, g, r: ([h[0] + g], -r * (g + 0.05 * (h[0] + g))), (0.0,), (rate,)),
                 Truth(momentum=1.0)),
        lambda: (_written(_restarts, (0.0, 0.0), (rate, decay, 25)), Truth(momentum=decay)),
        lambda: (_written(lambda h, g, r, t: ([h[0]], -r * jnp.sign(g) * jnp.maximum(jnp.abs(g) - t, 0)),
                          (0.0,), (rate, threshold)), _A_MAP),
        lambda: (_written(lambda h, g, r, t: ([h[0]], -r * t * jnp.round(g / t)), (0.0,), (rate, threshold)), _A_MAP),
        lambda: (_written(lambda h, g, r: ([h[0]], -r * g * jnp.abs(g)), (0.0,), (rate,)), _A_MAP),
        lambda: (_written(lambda h, g, r: ([h[0]], -r * jnp.where(g > 0, 3 * g, g)), (0.0,), (rate,)), _A_MAP),
        lambda: (_written(_leaks, (0.0,), (rate, threshold, 0.3)), Truth(clipping=0.7)),
        lambda: (_written(_clips_later, (0.0,), (rate, threshold)), Truth(clipping=1 - threshold)),
        lambda: (_written(_warming_momentum, (0.0, 0.0), (rate,)),
                 Truth(momentum=0.9, unscored={"schedule": "momentum that grows is a schedule, too"})),
        lambda: (_written(lambda h, g, r: ([h[0]], r * g), (0.0,), (rate,)), Truth()),
    )[i % 14]()  # fmt: skip
    return Brought(rule, truth)


def _restarts_on_turns(h, g, rate, decay):
    v = jnp.where(h[0] * g < 0, g, decay * h[0] + g)
    return [v], -rate * v


def _cautious(h, g, rate, decay):
    v = decay * h[0] + g
    return [v], -rate * jnp.where(v * g > 0, v, 0.0)


def _carries(h, g, rate, threshold):
    s = h[0] + g
    sent = jnp.where(jnp.abs(s) > threshold, s, 0.0)
    return [s - sent], -rate * sent


def _lopsided(h, g, rate, decay):
    v = jnp.where(g > 0, decay, 0.4) * h[0] + g
    return [v], -rate * v


def _median(h, g, rate):
    largest, smallest = jnp.maximum(jnp.maximum(g, h[0]), h[1]), jnp.minimum(jnp.minimum(g, h[0]), h[1])
    return [g, h[0]], -rate * (g + h[0] + h[1] - largest - smallest)


def _saturates(h, g, rate, decay, scale):
    v = jnp.tanh(decay * h[0] + g / scale)
    return [v], -rate * v


def _held(h, g, rate, decay, scale):
    v = jnp.clip(decay * h[0] + g, -scale, scale)
    return [v], -rate * v


def _forgets(h, g, rate, decay, scale):
    v = decay / (1 + jnp.abs(g) / scale) * h[0] + g
    return [v], -rate * v


def _counts(h, g, rate, scale):
    number = h[0] + (jnp.abs(g) > scale)
    return [number], -rate * g / (1 + 0.2 * number)


def _sign_of_mean(h, g, rate, decay):
    v, size = decay * h[0] + (1 - decay) * g, decay * h[1] + (1 - decay) * jnp.abs(g)
    return [v, size], -rate * jnp.sign(v) * size


def _agrees(h, g, rate):
    factor = jnp.clip(h[0] * jnp.where(h[1] * g > 0, 1.1, jnp.where(h[1] * g < 0, 0.5, 1.0)), 1e-3, 50.0)
    return [factor, g], -rate * factor * g


def _near(h, g, rate, scale):
    return [g], -rate * jnp.clip(g, h[0] - scale, h[0] + scale)


def beyond_words(rng: np.random.Generator, i: int) -> Brought:
    """A rule of a kind that no word fits: the explanation has to say so."""
    rate, decay = float(10 ** rng.uniform(-3, 0)), float(rng.uniform(0.8, 0.97))
    scale = float(10 ** rng.uniform(-1.5, -0.7))
    function, start, settings = (
        (_restarts_on_turns, (0.0,), (rate, decay)),
        (_cautious, (0.0,), (rate, decay)),
        (_carries, (0.0,), (rate, scale)),
        (_lopsided, (0.0,), (rate, decay)),
        (_median, (0.0, 0.0), (rate,)),
        (_saturates, (0.0,), (rate, decay, scale)),
        (_held, (0.0,), (rate, decay, scale)),
        (_forgets, (0.0,), (rate, decay, scale)),
        (_counts, (0.0,), (rate, scale)),
        (_sign_of_mean, (0.0, 0.0), (rate, decay)),
        (_agrees, (1.0, 0.0), (rate,)),
        (_near, (0.0,), (rate, scale)),
    )[i % 12]
    return Brought(_written(function, start, settings), BEYOND_WORDS)
