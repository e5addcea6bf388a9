"""Recipes from training scripts and rules of optax and torch, each beside a pipeline of the same mechanisms."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optax

from optoscope.calibration.brought import Brought
from optoscope.calibration.parts import AbstractPart, Clip, Clock, Gain, Memory, Pipeline
from optoscope.optimizers import from_optax, from_torch

#: Length of a table of factors; the last one is kept.
_TABLE = 256
_EPS = 1e-8


def _warm_up_and_cosine(rng, peak):
    warm = int(rng.integers(10, 40))
    return optax.warmup_cosine_decay_schedule(0.01 * peak, peak, warm, 200, 0.01 * peak)


def _one_cycle(rng, peak):
    return optax.cosine_onecycle_schedule(200, peak, pct_start=float(rng.uniform(0.2, 0.5)), final_div_factor=40.0)


def _warm_up_stable_decay(rng, peak):
    up, down = int(rng.integers(10, 30)), int(rng.integers(100, 160))
    parts = [
        optax.linear_schedule(0.05 * peak, peak, up),
        optax.constant_schedule(peak),
        optax.linear_schedule(peak, 0.02 * peak, 40),
    ]
    return optax.join_schedules(parts, [up, down])


def _warm_restarts(rng, peak):
    length = int(rng.integers(30, 70))
    cycle = {"init_value": 0.1 * peak, "peak_value": peak, "decay_steps": length, "warmup_steps": 4}
    return optax.sgdr_schedule([{**cycle, "end_value": 0.05 * peak}] * 6)


_SCHEDULES: tuple[Callable[..., optax.Schedule], ...] = (
    _warm_up_and_cosine, _one_cycle, _warm_up_stable_decay, _warm_restarts,
)  # fmt: skip


def _table(schedule: Callable[[int], Any]) -> Clock:
    return Clock(np.array([float(schedule(n)) for n in range(_TABLE)]))


def _corrected(decay: float) -> Clock:
    return Clock(1 / (1 - decay ** np.arange(1, _TABLE + 1)))


def _adam_parts(b1: float, b2: float) -> tuple[AbstractPart, ...]:
    return (Memory([b1, 0.0], [1 - b1, 0.0]), _corrected(b1), Gain("adam corrected", b2, eps=_EPS))


def _drawn(rng) -> tuple[float, float, float]:
    """A rate, a decay of momentum and one of squares."""
    return float(10 ** rng.uniform(-4, -1)), float(rng.uniform(0.8, 0.97)), float(rng.choice([0.9, 0.95, 0.99]))


def recipe(rng: np.random.Generator, i: int) -> Brought:
    """A schedule around momentum, AdamW without decay or RMSprop, every second one behind clipping."""
    rate, b1, b2 = _drawn(rng)
    schedule = _SCHEDULES[i % 4](rng, rate)
    transformation, parts = (
        lambda: (optax.sgd(schedule, momentum=b1), (Memory([b1, 0.0], [1.0, 0.0]),)),
        lambda: (optax.adamw(schedule, b1=b1, b2=b2, eps=_EPS, weight_decay=0.0), _adam_parts(b1, b2)),
        lambda: (optax.rmsprop(schedule, decay=b2, eps=_EPS**2), (Gain("rmsprop", b2, eps=_EPS**2),)),
    )[i // 4 % 3]()
    if i // 12 % 2:
        threshold = float(10 ** rng.uniform(-1.2, -0.4))
        transformation = optax.chain(optax.clip(threshold), transformation)
        parts = (Clip("hard", threshold), *parts)
    pipeline = Pipeline((*parts, _table(schedule)), 1.0, clip_first=isinstance(parts[0], Clip))
    return Brought(from_optax(transformation), pipeline)


def order(rng: np.random.Generator, i: int) -> Brought:
    """Clipping, momentum and Adam in several orders."""
    rate, decay, b2 = _drawn(rng)
    threshold = float(10 ** rng.uniform(-1.2, -0.4))
    clip, trace, memory = optax.clip(threshold), optax.trace(decay), Memory([decay, 0.0], [1.0, 0.0])
    hard = Clip("hard", threshold)
    parts: tuple[AbstractPart, ...]
    if i % 3 == 0:
        parts, chain = (hard, memory), (clip, trace, optax.scale(-rate))
    elif i % 3 == 1:
        parts, chain = (memory, hard), (trace, clip, optax.scale(-rate))
    else:
        parts, chain = (hard, *_adam_parts(decay, b2)), (clip, optax.adam(rate, b1=decay, b2=b2, eps=_EPS))
    pipeline = Pipeline(parts, rate, clip_first=isinstance(parts[0], Clip))
    return Brought(from_optax(optax.chain(*chain)), pipeline)


def of_optax(rng: np.random.Generator, i: int) -> Brought:
    """A rule of optax."""
    rate, b1, b2 = _drawn(rng)
    memory = Memory([b1, 0.0], [1.0, 0.0])
    mean = Memory([b1, 0.0], [1 - b1, 0.0])
    rule, parts = (
        (optax.sgd(rate), ()),
        (optax.sgd(rate, momentum=b1), (memory,)),
        (optax.sgd(rate, momentum=b1, nesterov=True), (Memory([b1, 0.0], [b1, 0.0], direct=1.0),)),
        (optax.adam(rate, b1=b1, b2=b2, eps=_EPS), _adam_parts(b1, b2)),
        (optax.adamw(rate, b1=b1, b2=b2, eps=_EPS, weight_decay=0.0), _adam_parts(b1, b2)),
        (optax.rmsprop(rate, decay=b2, eps=_EPS**2), (Gain("rmsprop", b2, eps=_EPS**2),)),
        (optax.rmsprop(rate, decay=b2, eps=_EPS**2, momentum=b1), (Gain("rmsprop", b2, eps=_EPS**2), memory)),
        (optax.adagrad(rate, initial_accumulator_value=1e-12, eps=_EPS), (Gain("adagrad", eps=_EPS),)),
        (optax.sgd(optax.constant_schedule(rate), momentum=b1), (memory,)),
        (optax.adamax(rate, b1=b1, b2=b2, eps=_EPS), (mean, _corrected(b1), Gain("maximum", b2, eps=_EPS))),
    )[i % 10]
    return Brought(from_optax(rule), Pipeline(parts, rate))


def of_torch(rng: np.random.Generator, i: int) -> Brought:
    """A rule of torch, which runs on the host."""
    import torch

    rate, b1, b2 = _drawn(rng)
    memory, mean = Memory([b1, 0.0], [1.0, 0.0]), Memory([b1, 0.0], [1 - b1, 0.0])
    square = Gain("adam", b2, eps=_EPS)
    name, settings, parts = (
        ("SGD", {}, ()),
        ("SGD", {"momentum": b1}, (memory,)),
        ("SGD", {"momentum": b1, "nesterov": True}, (Memory([b1, 0.0], [b1, 0.0], direct=1.0),)),
        ("Adam", {"betas": (b1, b2), "eps": _EPS}, _adam_parts(b1, b2)),
        ("AdamW", {"betas": (b1, b2), "eps": _EPS, "weight_decay": 0.0}, _adam_parts(b1, b2)),
        ("RMSprop", {"alpha": b2, "eps": _EPS}, (square,)),
        ("RMSprop", {"alpha": b2, "eps": _EPS, "momentum": b1}, (square, memory)),
        ("Adagrad", {"eps": _EPS}, (Gain("adagrad", eps=_EPS),)),
        ("SGD", {"momentum": b1, "foreach": False}, (memory,)),
        ("Adamax", {"betas": (b1, b2), "eps": _EPS}, (mean, _corrected(b1), Gain("maximum", b2, eps=_EPS))),
    )[i % 10]
    make = getattr(torch.optim, name)
    return Brought(from_torch(lambda params: make(params, lr=rate, **settings)), Pipeline(parts, rate))
