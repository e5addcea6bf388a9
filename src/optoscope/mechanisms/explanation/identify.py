"""From experiments to an explanation: which parts, with which numbers."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from optoscope.dynamics import Probe
from optoscope.mechanisms.explanation._runs import updates
from optoscope.mechanisms.explanation.law import GainLaw, Gains, fit_law, predict
from optoscope.mechanisms.explanation.memory import (
    MATCHES,
    LinearMemory,
    no_memory,
    realize,
    realize_changing,
    separate,
)
from optoscope.mechanisms.explanation.rule import ExplainedOptimizer
from optoscope.mechanisms.explanation.shapes import SHAPES, StaticMap, fit_map

#: Magnitudes per decade at which maps are sampled, and the most of them.
_PER_DECADE, _MOST = 12, 240
#: Relative difference of scaled responses up to which an optimizer is linear.
_LINEAR = 1e-3
#: Relative change of a gain at the two smallest magnitudes up to which they see a tangent.
_TANGENT = 0.01
#: Steps after which gains are measured.
_LATE, _EARLY = 96, 6


class Experiments:
    """Responses to impulses, and everything else that candidates are made of."""

    def __init__(self, probe: Probe, low: float, high: float, num_steps: int):
        self.probe, self.low, self.high, self.num_steps = probe, low, high, num_steps
        self.middle = float(np.sqrt(low * high))
        states, calm = probe.drive(np.zeros((1, num_steps)))
        self.calm_states, self.calm = states[0, :-1], calm[0]
        self.sizes = np.geomspace(low, high, min(_MOST, max(16, round(_PER_DECADE * np.log10(high / low)) + 1)))
        self.kernel = self._kernel(self.middle)
        rates = np.abs(np.diag(self.kernel))
        self.at = int(np.argmax(rates >= 0.5 * rates.max())) if rates.any() else 0
        # Responses [sign, size, lag] to one impulse, at a step where gradients count.
        self.responses = self._impulses(self.at)
        self.is_linear = self._is_linear()

    def _kernel(self, size: float) -> np.ndarray:
        """Responses [read at, given at] to an impulse of one size at each step, per gradient."""
        return -(updates(self.probe, size * np.eye(self.num_steps)) - self.calm).T / size

    def kernel_at(self, size: float) -> np.ndarray:
        """The same for another size."""
        return self.kernel if size == self.middle else self._kernel(size)

    def _impulses(self, at: int) -> np.ndarray:
        rows = np.zeros((2, len(self.sizes), self.num_steps))
        rows[:, :, at] = np.stack([self.sizes, -self.sizes])
        found = updates(self.probe, rows.reshape(-1, self.num_steps)) - self.calm
        return -found.reshape(2, len(self.sizes), self.num_steps)[..., at:]

    def _is_linear(self) -> bool:
        expected = self.kernel[self.at :, self.at] * np.stack([self.sizes, -self.sizes])[..., None]
        with np.errstate(all="ignore"):
            wrong = np.linalg.norm(self.responses - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
        return bool(np.nanmax(np.where(np.isnan(wrong), 0.0, wrong)) < _LINEAR) and self._superposes()

    def _superposes(self) -> bool:
        """Whether the response to a busy sequence is the sum of those to its gradients."""
        rng = np.random.default_rng(5)
        rows = self.middle * np.stack([np.ones(self.num_steps), rng.standard_normal(self.num_steps)])
        found, expected = self.calm - updates(self.probe, rows), rows @ self.kernel.T
        return bool(
            np.all(np.linalg.norm(found - expected, axis=1) <= 1e-2 * np.linalg.norm(expected, axis=1) + 1e-300)
        )


def candidates(do: Experiments) -> Iterator[ExplainedOptimizer]:
    """Yield rules that may explain an optimizer, plain ones first."""
    linear = ExplainedOptimizer(
        inner=_identity(do),
        law=None,
        gain_first=False,
        memory=no_memory(),
        outer=_identity(do),
        before=np.ones(do.num_steps),
        after=np.ones(do.num_steps),
        drift=-do.calm,
        thresholds=np.ones(do.num_steps),
    )
    if do.is_linear:
        yield _with_kernel(linear, do.kernel)
        return
    shape, lag = _map(do)
    if shape is not None:
        yield from _static(do, linear, shape, lag)
    yield from _adaptive(do, linear)


def _identity(do):
    ones = np.ones(len(do.sizes))
    return StaticMap("linear", 1.0, 0.0, do.sizes, ones, ones)


def _with_kernel(rule: ExplainedOptimizer, kernel: np.ndarray) -> ExplainedOptimizer:
    """A rule with the memory and the schedules that make these responses."""
    before, response, after, error = separate(kernel)
    memory = realize(response)
    if error > MATCHES or not _reproduces(memory, response):
        changing = realize_changing(kernel)
        if changing is not None:
            ones = np.ones(len(kernel))
            return dataclasses.replace(rule, memory=changing, before=ones, after=ones)
    # The first response is 1: the learning rate stands in the schedule.
    unit = response[np.flatnonzero(response)[0]] if response.any() else 1.0
    memory = LinearMemory(memory.A, memory.B, memory.C / unit, memory.D / unit)
    return dataclasses.replace(rule, memory=memory, before=before, after=after * unit)


def _reproduces(memory, response):
    wrong = np.linalg.norm(memory.response(len(response)) - response)
    return bool(wrong <= MATCHES * np.linalg.norm(response))


def _map(do: Experiments) -> tuple[StaticMap | None, int]:
    """What one gradient counts for, from the first lag at which it counts; relative to its largest ratio."""
    sizes = np.abs(do.responses).max((0, 1))
    if not np.any(sizes > 0):
        return None, 0
    lag = int(np.argmax(sizes > 1e-6 * sizes.max()))
    above, below = do.responses[0, :, lag] / do.sizes, do.responses[1, :, lag] / -do.sizes
    found = fit_map(do.sizes, above, below)
    if found.scale and SHAPES[found.name].jumps and lag == 0:
        found = _sharpened(do, found)
    return found, lag


def _sharpened(do: Experiments, found: StaticMap) -> StaticMap:
    """The same shape with the place of its jump, which samples leave open, found by division."""
    i = int(np.searchsorted(do.sizes, found.scale))
    low, high = do.sizes[max(i - 2, 0)], do.sizes[min(i + 1, len(do.sizes) - 1)]
    for _ in range(9):
        grid = np.geomspace(low, high, 18)
        values = do.probe.update(do.calm_states[do.at], grid) / grid
        with np.errstate(all="ignore"):
            j = int(np.argmax(np.abs(np.diff(values))))
        low, high = grid[j], grid[j + 1]
    place = float(np.sqrt(low * high)) * SHAPES[found.name].jumps
    share = place / found.scale
    slope = found.slope / share if found.name in ("ternary",) else found.slope
    return dataclasses.replace(found, scale=place, slope=slope)


def _static(do: Experiments, linear: ExplainedOptimizer, shape: StaticMap, lag: int) -> Iterator[ExplainedOptimizer]:
    """A static map before a memory, and one behind it."""
    scaled = dataclasses.replace(shape, slope=1.0) if shape.name != "table" else shape
    strongest = int(
        np.argmax(np.abs(do.responses[0, :, lag]) / np.maximum(np.abs(do.responses[..., lag]).max(), 1e-300))
    )
    size = float(do.sizes[strongest])
    passed = float(np.asarray(scaled(size)))
    if passed:
        kernel = do.kernel_at(size) * (size / passed)
        yield _with_kernel(dataclasses.replace(linear, inner=scaled), kernel)
    moving = _moving(do, linear)
    if moving is not None:
        yield moving
    response = _memory_behind(do)
    if response is not None:
        rates = do.probe.gain(do.calm_states, np.full(do.num_steps, size))
        after = rates * size / passed if passed else rates
        memory = realize(response)
        yield dataclasses.replace(linear, outer=scaled, memory=memory, after=after)


def _moving(do: Experiments, linear: ExplainedOptimizer) -> ExplainedOptimizer | None:
    """Clipping at thresholds that move with the step, without a memory."""
    ends = do.probe.gain(do.calm_states[:, None], do.sizes[[0, 1, -1]])
    slopes = ends[:, 1]
    with np.errstate(all="ignore"):
        largest = np.abs(ends[:, 2] / slopes) * do.sizes[-1]  # what the largest gradient counts for
        is_tangent = np.abs(ends[:, 0] / ends[:, 1] - 1) < _TANGENT
    if not (np.isfinite(largest).all() and is_tangent.all()) or np.ptp(largest) <= 1e-3 * largest.max():
        return None
    step = int(np.argmin(largest))
    ratios = do.probe.gain(do.calm_states[step], do.sizes) / slopes[step]
    shape = fit_map(do.sizes, ratios, ratios)
    if shape.name not in SHAPES or not SHAPES[shape.name].clips:
        return None
    # A threshold beyond all gradients is anywhere far beyond.
    moves = np.where(largest < 0.999 * do.sizes[-1], largest / largest[step], 1e6 * do.sizes[-1] / shape.scale)
    return dataclasses.replace(linear, inner=shape, after=slopes / shape.slope, thresholds=moves)


def _memory_behind(do: Experiments) -> np.ndarray | None:
    """What a gradient must be to cancel the update, lags after a single one, as a response."""
    row = np.zeros((1, do.num_steps))
    row[0, do.at] = do.middle
    states = do.probe.drive(row)[0][0]
    centers = do.probe.centers(states[do.at + 1 : do.num_steps], do.middle * 1e6)
    if not np.isfinite(centers).all():
        return None
    response = np.append(1.0, -centers / do.middle)
    return np.append(response, np.zeros(do.num_steps - len(response)))


def _adaptive(do: Experiments, linear: ExplainedOptimizer) -> Iterator[ExplainedOptimizer]:
    """A gain that follows past gradients, behind a memory and before it, with gradients clipped first or not."""
    corner = _corner(do)
    inners = [linear.inner] if corner is None else [_clip(do, corner), linear.inner]
    for inner in inners:
        measured = _gains(do, inner)
        if measured is None:
            continue
        found = fit_law(measured)
        if found is None:
            continue
        yield from _around(do, dataclasses.replace(linear, inner=inner), found[0])


def _clip(do, corner):
    clipped = np.minimum(1.0, corner / do.sizes)
    return StaticMap("hard clip", 1.0, corner, do.sizes, clipped, clipped)


def _gains(do: Experiments, inner: StaticMap) -> Gains | None:
    """Gains after histories of several kinds and scales, measured late and early in a run."""
    late, early = min(_LATE, do.num_steps - 1), min(_EARLY, do.num_steps - 1)
    rng = np.random.default_rng(3)
    rows, last, groups = [], [], []
    for group, length in ((0, late), (1, early)):
        for scale in np.geomspace(do.low * 10**0.5, do.high / 10**0.5, 5):
            patterns = [np.zeros(length)]
            for ago in (1, 2, 5, 15, 40, 90):
                if ago <= length:
                    patterns.append(np.eye(length)[length - ago])
            for count in (2, 6, 30, 90):
                if count <= length:
                    patterns.append(np.where(np.arange(length) >= length - count, 1.0, 0.0))
            turns = (-1.0) ** np.arange(length)
            patterns += [turns, rng.standard_normal(length), np.where(np.arange(length) < length // 2, 1.0, 0.03)]
            for pattern in patterns:
                for share in (1.0, 1e-2):
                    rows.append(np.concatenate([np.full(late - length, np.nan), scale * pattern]))
                    last.append(scale * share)
                    groups.append(group)
    histories, last, groups = np.array(rows), np.array(last), np.array(groups)
    gains = np.zeros(len(last))
    for group, length in ((0, late), (1, early)):
        states = do.probe.drive(histories[groups == group, late - length :])[0][:, -1]
        gains[groups == group] = do.probe.gain(states, last[groups == group])
    fed = np.asarray(inner(last)) / last
    with np.errstate(all="ignore"):
        inverse = fed / np.abs(gains)
    usable = np.isfinite(inverse) & (inverse > 0) & (inverse < 1e290)
    if usable.mean() < 0.9:
        return None
    held = np.asarray(inner(histories))
    return Gains(held[usable], np.abs(np.asarray(inner(last)))[usable], inverse[usable], groups[usable])


def _around(do: Experiments, rule: ExplainedOptimizer, law: GainLaw) -> Iterator[ExplainedOptimizer]:
    """The same law behind the memory and before it."""
    T = do.num_steps
    size = float(do.high / 10**0.5)
    if rule.inner.scale:
        size = min(size, float(rule.inner.scale))  # beyond it, gradients are all alike
    silent = np.full((T, T), np.nan)
    for n in range(T):
        silent[n, T - n :] = 0.0
    fed = float(np.asarray(rule.inner(size)))
    log_sizes = predict(law, Gains(silent, np.full(T, abs(fed)), np.ones(T), np.zeros(T, int)))
    after = do.probe.gain(do.calm_states, np.full(T, size)) * size / fed * np.exp(log_sizes)
    row = np.zeros((1, T))
    row[0, do.at] = size
    states, dx = do.probe.drive(row)
    states, dx = states[0, do.at : T], dx[0, do.at :] - do.calm[do.at :]
    tiny = np.full(len(states), size * 1e-5)
    with np.errstate(all="ignore"):
        behind = -dx / do.probe.gain(states, tiny) / fed * (np.asarray(rule.inner(tiny[0])) / tiny[0])
        behind[0] = 1.0  # with the gradient itself in N
        ahead = dx / dx[0] * after[do.at] / after[do.at :]
    for response, gain_first in ((behind, False), (ahead, True)):
        if not np.isfinite(response).all():
            continue
        padded = np.append(response, np.zeros(T - len(response)))
        yield dataclasses.replace(rule, law=law, gain_first=gain_first, memory=realize(padded), after=after)


def _corner(do: Experiments) -> float | None:
    """Where larger gradients no longer count for more in the gains of later ones: they are clipped before."""
    length = 2
    rows = np.zeros((len(do.sizes), length))
    rows[:, 0] = do.sizes
    states = do.probe.drive(rows)[0][:, 1]
    gains = do.probe.gain(states, np.full(len(do.sizes), do.low * 1e-2))
    with np.errstate(all="ignore"):
        logs = -np.log(np.abs(gains))
    if not np.isfinite(logs).all():
        return None
    slopes = np.diff(logs) / np.diff(np.log(do.sizes))
    rising = np.flatnonzero(np.abs(slopes) > 0.3)
    if not len(rising) or rising[-1] >= len(slopes) - 3 or np.abs(slopes[rising[-1] + 2 :]).max() > 0.02:
        return None
    i = rising[-1]
    # The line below the corner meets the plateau above it.
    below = i - 1 if i >= 1 and slopes[i - 1] > 0.3 else i
    return float(do.sizes[below] * np.exp((logs[-1] - logs[below]) / slopes[below]))
