"""Sequences of gradients on which an optimizer is tried: of every kind, at every decade of a range."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

#: Distance between the scales of sequences, in decades.
_DECADES = 1.0
#: Factors by which scales lie inside the range: unequal, so that none of them is its middle, where a map may jump.
_ABOVE_LOW, _BELOW_HIGH = 1.1731, 1.3177


class Probes(NamedTuple):
    """Sequences of gradients.

    Attributes:
        names: kind of each.
        scales: its typical magnitude.
        gradients: one row each.
    """

    names: list[str]
    scales: Float[np.ndarray, " probe"]
    gradients: Float[np.ndarray, "probe step"]


def make_probes(low: float, high: float, num_steps: int, *, seed: int = 0) -> Probes:
    """Make one sequence of each kind at each decade from `low` to `high`, none of them beyond `high`.

    Args:
        low: smallest scale.
        high: largest magnitude.
        num_steps: length of each.
        seed: draws the random ones, and where impulses and turns fall.
    """
    number = max(2, round(np.log10(high / low) / _DECADES) + 1)
    names, scales, rows = [], [], []
    for i, scale in enumerate(np.geomspace(low * _ABOVE_LOW, high / _BELOW_HIGH, number)):
        for name, make in KINDS.items():
            rng = np.random.default_rng([seed, i, len(names)])
            row = make(num_steps, rng, scale, low)
            names.append(name)
            scales.append(scale)
            rows.append(np.clip(row, -high, high))
    return Probes(names, np.array(scales), np.array(rows))


def _impulse(n, rng, scale, low):
    row = np.zeros(n)
    row[rng.integers(0, max(1, n // 8))] = scale * rng.choice([-1.0, 1.0])
    return row


def _constant(n, rng, scale, low):
    return np.full(n, scale * rng.choice([-1.0, 1.0]))


def _alternating(n, rng, scale, low):
    return scale * (-1.0) ** np.arange(n)


def _normal(n, rng, scale, low):
    return 0.4 * scale * rng.standard_normal(n)


def _heavy(n, rng, scale, low):
    return 0.1 * scale * rng.standard_t(1.5, n)


def _sparse(n, rng, scale, low):
    return scale * rng.standard_normal(n) * (rng.random(n) < 0.1) * 0.4


def _turn(n, rng, scale, low):
    at = rng.integers(n // 4, 3 * n // 4)
    return scale * np.where(np.arange(n) < at, 1.0, -1.0) * rng.uniform(0.6, 1.0, n)


def _ramp(n, rng, scale, low):
    return np.geomspace(max(low, 1e-3 * scale), scale, n) * rng.choice([-1.0, 1.0], n)


def _silence(n, rng, scale, low):
    return np.where(np.arange(n) < n // 3, 0.4 * scale * rng.standard_normal(n), 0.0)


#: Kinds of sequences by name.
KINDS = {
    "an impulse": _impulse,
    "a constant gradient": _constant,
    "an alternating gradient": _alternating,
    "normal gradients": _normal,
    "heavy-tailed gradients": _heavy,
    "sparse gradients": _sparse,
    "a turn after long agreement": _turn,
    "a ramp over decades": _ramp,
    "silence after activity": _silence,
}
