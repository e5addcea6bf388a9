"""The truth about a pipeline, worked out from its parts."""

import dataclasses
from collections.abc import Callable
from typing import cast

import numpy as np
import scipy

from optoscope.calibration.parts import (
    AbstractPart,
    Beside,
    Clip,
    Clock,
    Drift,
    Gain,
    Memory,
    OddGain,
    Pipeline,
    RecurrentCell,
)
from optoscope.calibration.truth import AdaptationKind, Truth

#: The forms of saturation at threshold 1, in the order of `Clip.kind`.
_SHAPES = (lambda x: np.clip(x, -1, 1), np.tanh, lambda x: x / np.sqrt(1 + x**2))
_SOFT = 1


@dataclasses.dataclass
class _Chain:
    """What the parts so far make of a small gradient, and how much of the tangent is left at a large one."""

    decays: list[complex]
    weights: list[complex]
    direct: float = 1.0
    shares: list[Callable[[float], float]] = dataclasses.field(default_factory=list)
    factors: np.ndarray | None = None
    comes_to_rest: bool = True
    kind: AdaptationKind = "none"
    adaptation: float = 0.0

    @property
    def first(self) -> float:
        """Response of the signal to the gradient of the same step."""
        return self.direct + float(np.real(sum(self.weights)))

    def schedule(self, factors: np.ndarray, *, comes_to_rest: bool) -> None:
        """Multiply by one factor per step."""
        self.factors = factors if self.factors is None else self.factors * factors
        self.comes_to_rest &= comes_to_rest


def truth_of(pipeline: Pipeline, *, largest: float, num_steps: int, departure: float) -> Truth:
    """Work out the truth about a pipeline from its parts.

    Args:
        pipeline: parts in the order clip, memory or cell, clip, gain, schedule; each may be missing.
        largest: the largest gradient with which it is diagnosed.
        num_steps: length of a run.
        departure: share by which the update falls short of its tangent at the threshold of clipping.

    Raises:
        ValueError: for a part of which nothing is known.
    """
    chain = _Chain([], [])
    for part in pipeline.parts:
        _pass_through(part, chain, largest, num_steps)
    return _summed_up(chain, float(pipeline.learning_rate), largest, num_steps, departure)


def _pass_through(part: AbstractPart, chain: _Chain, largest: float, num_steps: int) -> None:
    match part:
        case Clip():
            chain.shares.append(_saturation(int(part.kind), float(part.threshold) / chain.first))
        case Memory():
            chain.decays, chain.weights = list(np.asarray(part.decays)), list(np.asarray(part.weights))
            chain.direct = float(part.direct)
        case RecurrentCell():
            chain.decays, chain.weights, chain.direct = [complex(part.decay)], [1.0 + 0.0j], 0.0
            chain.shares.append(_saturation(_SOFT, float(part.scale)))
            chain.kind, chain.adaptation = "nonlinear odd", _cell_adaptation(part, largest)
        case Clock():
            factors = np.asarray(part.factors)
            chain.schedule(factors[np.minimum(np.arange(num_steps + 1), len(factors) - 1)], comes_to_rest=False)
        case Drift():
            powers = np.asarray(part.rates)[:, None] ** np.arange(num_steps + 1)
            resting = bool(np.all(np.abs(part.rates) < 1 - 1e-9))
            chain.schedule(1 + (np.asarray(part.depths) @ powers).real, comes_to_rest=resting)
        case Gain():
            chain.kind, chain.adaptation = "squared gradient", np.inf
            if part.counts:
                n = np.arange(1, num_steps + 2)
                chain.schedule(np.sqrt(1 - float(part.decay) ** n), comes_to_rest=False)
        case OddGain() if part.depth == 0:
            pass
        case OddGain():
            chain.kind = "nonlinear odd"
            reached = float(part.decay) * np.tanh(largest / part.scale)
            chain.adaptation = -float(np.log(1 - part.depth * reached**2))
            # In the step that meets a large gradient the state moves a little already.
            moved = lambda g: (1 - float(part.decay)) * np.tanh(g / float(part.scale))
            chain.shares.append(lambda g: 1 - float(part.depth) * moved(g) ** 2)
        case Beside():
            pass
        case _:
            raise ValueError(f"nothing is known of a {type(part).__name__}.")


def _summed_up(chain: _Chain, rate: float, largest: float, num_steps: int, departure: float) -> Truth:
    decays, weights = _with_leverage(chain.decays, chain.weights)
    powers = decays[:, None] ** np.arange(10 * num_steps)
    response = (weights @ powers).real
    response[0] += chain.direct
    shortfall = lambda g: 1 - float(np.prod([share(g) for share in chain.shares]))
    first = chain.first * rate
    at, rest = 1.0, 1.0
    if chain.factors is not None:
        rest = 1.0 if chain.comes_to_rest else chain.factors[-1]
        at = 1.0 if chain.comes_to_rest else float(chain.factors[np.argmax(np.abs(chain.factors))])
    relative = None if chain.factors is None else chain.factors
    unit_known = chain.kind != "squared gradient"
    return Truth(
        momentum=float(np.abs(response[1:]).sum() / np.abs(response).sum()),
        decays=tuple(complex(b) for b in decays),
        learning_rates=tuple(complex(at * rate * w) for w in weights) if unit_known else None,
        clipping=shortfall(largest),
        threshold=_threshold(shortfall, departure, largest),
        schedule=0.0 if relative is None else float(np.ptp(np.log(np.abs(relative)))),
        factors=tuple(np.ones(num_steps + 1)) if relative is None else tuple(float(f / rest) for f in relative),
        rate=rest * first if unit_known else None,
        adaptation=chain.adaptation,
        kind=chain.kind,
    )


def _with_leverage(decays, weights):
    """Modes that act, complex ones as conjugate pairs of half the weight each."""
    pairs = [(b, w) for b, w in zip(decays, weights) if w != 0]
    doubled = [
        entry
        for b, w in pairs
        for entry in ([(b, complex(w.real))] if b.imag == 0 else [(b, w / 2), (b.conjugate(), w.conjugate() / 2)])
    ]
    found = np.array(doubled, complex).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _cell_adaptation(cell: RecurrentCell, largest: float) -> float:
    """Logarithm of the slope's fall at g = 0 from the cell's rest to its fixed point under the largest gradient."""
    decay, drive = float(cell.decay), largest / float(cell.scale)
    state = _root(lambda c: np.tanh(decay * c + drive) - c, 0, 1)
    return float(-np.log(1 - np.tanh(decay * state) ** 2))


def _threshold(shortfall: Callable[[float], float], departure: float, largest: float) -> float | None:
    """The gradient at which a monotonic shortfall reaches the departure; None if that is beyond the largest one."""
    if shortfall(largest) <= departure:
        return None
    logarithm = _root(lambda u: shortfall(np.exp(u)) - departure, -40, np.log(largest))
    return float(np.exp(logarithm))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return cast("float", scipy.optimize.brentq(function, low, high, xtol=1e-12))


def _saturation(kind: int, threshold: float) -> Callable[[float], float]:
    return lambda g: float(_SHAPES[kind](g / threshold) / (g / threshold))
