"""The families of planted optimizers: how each is put together from parts, and which of its numbers are drawn.

Constructions are made for gradients up to about 1; thresholds and scales are told in these units. Each builder is given
a generator and the index of the example within its family.
"""

from collections.abc import Callable

import jax
import numpy as np

from optoscope.calibration.brought import Brought
from optoscope.calibration.oddities import beyond_words, with_words
from optoscope.calibration.parts import Beside, Clip, Clock, Drift, Gain, Memory, OddGain, Pipeline, RecurrentCell
from optoscope.calibration.recipes import of_optax, of_torch, order, recipe
from optoscope.optimizers import GRUOptimizer

Builder = Callable[[np.random.Generator, int], Pipeline | Brought]

_KINDS: tuple[str, ...] = ("hard", "soft", "algebraic")
#: Length of a table of factors; the last one is kept.
_TABLE = 256


def _rate(rng):
    return float(10 ** rng.uniform(-2, 0.5))


def _around(rng, value, share=0.1):
    return float(value * (1 + share * rng.uniform(-1, 1)))


def _decay(rng, value):
    """A timescale near a value: 1 - decay varies by a fifth either way."""
    return float(1 - (1 - value) * (1 + 0.2 * rng.uniform(-1, 1)))


def _pick(values, i):
    return values[i % len(values)]


# --- without any mechanism ------------------------------------------------------------------------------------------


def _gradient_descent(rng, i):
    return Pipeline((), _rate(rng))


def _hidden_states(rng, i):
    """Modes that gradients drive and nobody reads, with odd timescales, beside gradient descent."""
    decays = [0.999, rng.uniform(0, 1), -rng.uniform(0.1, 0.9), 0.8 * np.exp(1j * rng.uniform(0.2, 3))]
    return Pipeline((Memory(decays, np.zeros(4), direct=1.0),), _rate(rng))


def _hardly_any_memory(rng, i):
    """A timescale so short that next to nothing comes later, or a weight of next to nothing."""
    if i % 2:
        return Pipeline((Memory([_pick([0.9, 0.99], i // 2), 0.2], [1e-4, 1e-4], direct=1.0),), _rate(rng))
    return Pipeline((Memory([_pick([0.01, 0.02], i // 2), 0.5], [1.0, 0.0]),), _rate(rng))


def _clock_without_effect(rng, i):
    """A clock that nobody hears: its factors are all 1."""
    parts = (Clock(np.ones(_TABLE)),) if i % 2 else (Drift([0.97, -0.5], [0.0, 0.0]),)
    return Pipeline(parts, _rate(rng))


def _network_beside(rng, i):
    """Gradient descent, and a random network that gradients drive and nobody reads."""
    network = GRUOptimizer.create(16, key=jax.random.key(int(rng.integers(2**31))))
    return Pipeline((Beside(network),), _rate(rng))


# --- momentum -------------------------------------------------------------------------------------------------------


def _heavy_ball(rng, i):
    decay = _decay(rng, _pick([0.3, 0.6, 0.8, 0.9, 0.95, 0.98], i))
    return Pipeline((Memory([decay, 0.5], [1.0, 0.0]),), _rate(rng))


def _nesterov(rng, i):
    decay = _decay(rng, _pick([0.5, 0.8, 0.9, 0.97], i))
    return Pipeline((Memory([decay, 0.3], [decay, 0.0], direct=1.0),), _rate(rng))


def _aggregated(rng, i):
    number = _pick([2, 3, 4], i)
    decays = [_decay(rng, value) for value in (0.5, 0.8, 0.94, 0.985)[-number:]]
    weights = rng.uniform(0.5, 1.0, number) * np.sqrt(1 - np.array(decays) ** 2)
    pad = 4 - number
    return Pipeline((Memory([*decays, *[0.1] * pad], [*weights, *[0.0] * pad]),), _rate(rng))


def _complex_modes(rng, i):
    size, angle = _decay(rng, _pick([0.7, 0.85, 0.95], i)), rng.uniform(0.2, 1.5)
    decays = [size * np.exp(1j * angle), _decay(rng, 0.6)]
    weights = [np.exp(1j * rng.uniform(-1, 1)), 0.0 if i % 2 else 0.7]
    return Pipeline((Memory(decays, weights),), _rate(rng))


def _alternating(rng, i):
    return Pipeline((Memory([-_around(rng, 0.6), 0.2], [1.0, 0.0]),), _rate(rng))


# --- clipping -------------------------------------------------------------------------------------------------------


def _clipping(rng, i):
    threshold = 10 ** _pick([-1.8, -1.2, -0.8, -0.5], i // 3) * 10 ** rng.uniform(-0.1, 0.1)
    return Pipeline((Clip(_pick(_KINDS, i), threshold),), _rate(rng))


def _clipping_beyond_reach(rng, i):
    """It begins where no gradient comes: not there, as far as anybody can tell."""
    return Pipeline((Clip(_pick(_KINDS, i), 10 ** rng.uniform(1, 2)),), _rate(rng))


def _sign_like(rng, i):
    return Pipeline((Clip(_pick(_KINDS, i), 10 ** rng.uniform(-3.2, -2.8)),), _rate(rng))


# --- schedules ------------------------------------------------------------------------------------------------------


def warm_up(rng):
    """Rise from almost nothing."""
    return np.minimum(1, (np.arange(_TABLE) + 1) / rng.integers(10, 60))


def exponential_decay(rng):
    return np.exp(-np.arange(_TABLE) / rng.uniform(30, 120))


def cosine(rng):
    return 0.55 + 0.45 * np.cos(np.pi * np.minimum(np.arange(_TABLE) / rng.uniform(120, 200), 1))


def cycle(rng):
    return 1 + rng.uniform(0.3, 0.8) * np.cos(2 * np.pi * np.arange(_TABLE) / rng.uniform(15, 60) + rng.uniform(0, 6))


def stairs(rng):
    return _around(rng, 0.5) ** (np.arange(_TABLE) // rng.integers(30, 70))


SCHEDULES = (warm_up, exponential_decay, cosine, cycle, stairs)


def _clock(rng, i):
    return Pipeline((Clock(_pick(SCHEDULES, i)(rng)),), _rate(rng))


def _drifts(rng, i):
    forms = (
        ([np.exp(-1 / rng.uniform(8, 20)), 0.0], [-rng.uniform(0.5, 0.9), 0.0]),  # warm-up
        ([np.exp(-1 / rng.uniform(20, 60)), 0.0], [rng.uniform(1, 3), 0.0]),  # decay
        ([np.exp(-1 / rng.uniform(3, 6)), np.exp(-1 / rng.uniform(30, 60))], [-rng.uniform(1, 1.8), 1.0]),  # both
        ([np.exp(2j * np.pi / rng.uniform(15, 50)), 0.0], [rng.uniform(0.3, 0.8), 0.0]),  # a cycle
    )
    return _pick(forms, i)


def _drift(rng, i):
    return Pipeline((Drift(*_drifts(rng, i)),), _rate(rng))


# --- adaptation -----------------------------------------------------------------------------------------------------


def _rmsprop(rng, i):
    return Pipeline((Gain("rmsprop", _decay(rng, _pick([0.9, 0.99], i)), eps=1e-16),), _rate(rng))


def _adagrad(rng, i):
    return Pipeline((Gain("adagrad", eps=1e-10, start=0.0 if i % 2 else 1e-12),), _rate(rng))


def _adamax(rng, i):
    b1, b2 = _decay(rng, 0.9), _decay(rng, 0.99)
    return Pipeline((Memory([b1, 0.0], [1 - b1, 0.0]), Gain("maximum", b2, eps=1e-14)), _rate(rng))


def _adam(rng, i):
    b1, b2 = _decay(rng, 0.9), _decay(rng, _pick([0.99, 0.999], i))
    return Pipeline((Memory([b1, 0.0], [1 - b1, 0.0]), Gain("adam", b2, eps=1e-12)), _rate(rng))


def _adam_corrected(rng, i):
    b1, b2 = _decay(rng, 0.9), _decay(rng, _pick([0.99, 0.999], i))
    first = Clock(1 / (1 - b1 ** np.arange(1, _TABLE + 1)))
    memory = Memory([b1, 0.0], [1 - b1, 0.0])
    return Pipeline((memory, first, Gain("adam corrected", b2, eps=1e-12)), _rate(rng))


def _odd_gain(rng, i):
    scale, depth = 10 ** rng.uniform(-1, -0.4), rng.uniform(0.7, 0.95)
    return Pipeline((OddGain(_decay(rng, _pick([0.85, 0.93], i)), scale, depth),), _rate(rng))


def _cell(rng, i):
    return Pipeline((RecurrentCell(_decay(rng, _pick([0.5, 0.8, 0.9], i)), 10 ** rng.uniform(-1, -0.5)),), _rate(rng))


# --- several at once ------------------------------------------------------------------------------------------------


def _clip(rng, i):
    return Clip(_pick(_KINDS, i), 10 ** rng.uniform(-1.2, -0.4))


def _momentum(rng, i):
    decays = [_decay(rng, _pick([0.8, 0.9, 0.95], i)), _decay(rng, 0.4)]
    return Memory(decays, [1.0, _pick([0.0, 1.0], i // 3)])


def _clip_momentum(rng, i):
    return Pipeline((_clip(rng, i), _momentum(rng, i)), _rate(rng), clip_first=True)


def _momentum_clip(rng, i):
    return Pipeline((_momentum(rng, i), _clip(rng, i)), _rate(rng))


def _clip_momentum_clock(rng, i):
    parts = (_clip(rng, i), _momentum(rng, i), Clock(_pick(SCHEDULES, i)(rng)))
    return Pipeline(parts, _rate(rng), clip_first=True)


def _clip_momentum_drift(rng, i):
    parts = (_clip(rng, i), _momentum(rng, i), Drift(*_drifts(rng, i)))
    return Pipeline(parts, _rate(rng), clip_first=True)


def _momentum_rmsprop_clock(rng, i):
    memory, gain = _momentum(rng, i), Gain("rmsprop", _decay(rng, 0.97), eps=1e-16)
    return Pipeline((memory, gain, Clock(_pick(SCHEDULES, i + 1)(rng))), _rate(rng))


def _momentum_odd_gain_drift(rng, i):
    parts = (_momentum(rng, i), OddGain(_decay(rng, 0.9), 10 ** rng.uniform(-1, -0.5), 0.9), Drift(*_drifts(rng, i)))
    return Pipeline(parts, _rate(rng))


def _clip_odd_gain_clock(rng, i):
    parts = (_clip(rng, i), OddGain(_decay(rng, 0.9), 0.03, 0.9), Clock(_pick(SCHEDULES, i)(rng)))
    return Pipeline(parts, _rate(rng))


#: Families that mean something only for a range of gradients.
ALWAYS_TOLD = ("clipping beyond reach",)
#: name -> how many there are, and how one is built.
FAMILIES: dict[str, tuple[int, Builder]] = {
    "gradient descent": (2, _gradient_descent),
    "hidden states": (4, _hidden_states),
    "hardly any memory": (4, _hardly_any_memory),
    "clock without effect": (2, _clock_without_effect),
    "network beside": (4, _network_beside),
    "clipping beyond reach": (3, _clipping_beyond_reach),
    "heavy ball": (6, _heavy_ball),
    "Nesterov": (4, _nesterov),
    "aggregated momentum": (6, _aggregated),
    "complex modes": (4, _complex_modes),
    "alternating memory": (2, _alternating),
    "clipping": (12, _clipping),
    "sign-like clipping": (3, _sign_like),
    "clock": (10, _clock),
    "drift": (4, _drift),
    "RMSProp": (4, _rmsprop),
    "AdaGrad": (2, _adagrad),
    "Adam": (4, _adam),
    "Adamax": (2, _adamax),
    "Adam with bias correction": (4, _adam_corrected),
    "S-curve gain": (4, _odd_gain),
    "S-curve cell": (6, _cell),
    "clipping, momentum": (6, _clip_momentum),
    "momentum, clipping": (6, _momentum_clip),
    "clipping, momentum, clock": (6, _clip_momentum_clock),
    "clipping, momentum, drift": (4, _clip_momentum_drift),
    "momentum, RMSProp, clock": (4, _momentum_rmsprop_clock),
    "momentum, S-curve gain, drift": (4, _momentum_odd_gain_drift),
    "clipping, S-curve gain, clock": (4, _clip_odd_gain_clock),
    "recipe": (24, recipe),
    "orders of clipping, momentum and Adam": (6, order),
    "rule of optax": (10, of_optax),
    "rule of torch": (10, of_torch),
    "rule with odd features": (28, with_words),
    "rule beyond words": (36, beyond_words),
}
#: Families for which the explanation has no words: that has to be said of every one of them.
BEYOND_WORDS = (
    "S-curve gain",
    "S-curve cell",
    "momentum, S-curve gain, drift",
    "clipping, S-curve gain, clock",
    "rule beyond words",
)
#: Families that cannot do without torch.
OF_TORCH = ("rule of torch",)
