"""From experiments to an explanation: which parts, with which numbers."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from optoscope.dynamics import Probe
from optoscope.mechanisms.explanation.law import GainLaw, Gains, fit_law
from optoscope.mechanisms.explanation.memory import (
    MATCHES,
    REALIZES,
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
#: Place of the usual impulse beside the middle of the range, where a map may jump.
_ASIDE = 0.931
#: Difference of logarithms of gains that are the same.
_REACHED = 1e-11
#: Steps after which gains are measured.
_LATE, _EARLY = 48, 6
#: Relative changes of a gain: over the range, up to which gradients count in proportion; with signs, up to which it is
#: even.
_PROPORTIONAL, _SIGNS = 1e-6, 0.02


class Experiments:
    """Responses to impulses, and everything else that candidates are made of."""

    def __init__(self, probe: Probe, low: float, high: float, num_steps: int):
        self.probe, self.low, self.high, self.num_steps = probe, low, high, num_steps
        self.middle = float(np.sqrt(low * high)) * _ASIDE
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
        return -(self.probe.updates(size * np.eye(self.num_steps)) - self.calm).T / size

    def kernel_at(self, size: float) -> np.ndarray:
        """The same for another size."""
        return self.kernel if size == self.middle else self._kernel(size)

    def _impulses(self, at: int) -> np.ndarray:
        rows = np.zeros((2, len(self.sizes), self.num_steps))
        rows[:, :, at] = np.stack([self.sizes, -self.sizes])
        found = self.probe.updates(rows.reshape(-1, self.num_steps)) - self.calm
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
        found, expected = self.calm - self.probe.updates(rows), rows @ self.kernel.T
        return bool(
            np.all(np.linalg.norm(found - expected, axis=1) <= 1e-2 * np.linalg.norm(expected, axis=1) + 1e-300)
        )


def candidates(do: Experiments, *, adapts: bool = False) -> Iterator[ExplainedOptimizer]:
    """Yield rules that may explain an optimizer, plain ones first, but adaptive ones where it adapts."""
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
        yield from _with_kernel(linear, do.kernel)
        return
    kinds = (_adaptive, _static) if adapts else (_static, _adaptive)
    for kind in kinds:
        yield from kind(do, linear)
    yield from _with_kernel(linear, do.kernel)


def _identity(do):
    ones = np.ones(len(do.sizes))
    return StaticMap("linear", 1.0, 0.0, do.sizes, ones, ones)


def _with_kernel(rule: ExplainedOptimizer, kernel: np.ndarray) -> Iterator[ExplainedOptimizer]:
    """The rule with a memory and schedules that make these responses, then with a memory that changes."""
    before, response, after, error = separate(kernel)
    memory = realize(response, error)
    # The first response is 1: the learning rate stands in the schedule.
    unit = response[np.flatnonzero(response)[0]] if response.any() else 1.0
    scaled = LinearMemory(memory.A, memory.B, memory.C / unit, memory.D / unit)
    constant = dataclasses.replace(rule, memory=scaled, before=before, after=after * unit)
    if error <= MATCHES and _reproduces(memory, response):
        yield constant
        return
    changing = realize_changing(kernel)
    if changing is not None:
        ones = np.ones(len(kernel))
        yield dataclasses.replace(rule, memory=changing, before=ones, after=ones)
    yield constant


def _reproduces(memory, response):
    wrong = np.linalg.norm(memory.response(len(response)) - response)
    return bool(wrong <= REALIZES * np.linalg.norm(response))


def _map(do: Experiments) -> tuple[StaticMap | None, int]:
    """What one gradient counts for, from the first lag at which it counts; relative to its largest ratio."""
    sizes = np.abs(do.responses).max((0, 1))
    if not np.any(sizes > 0):
        return None, 0
    lag = int(np.argmax(sizes > 1e-6 * sizes.max()))
    above, below = do.responses[0, :, lag] / do.sizes, do.responses[1, :, lag] / -do.sizes
    found = fit_map(do.sizes, above, below)
    if found.name in SHAPES and SHAPES[found.name].jumps and lag == 0:
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


def _static(do: Experiments, linear: ExplainedOptimizer) -> Iterator[ExplainedOptimizer]:
    """A static map before a memory, and one behind it."""
    shape, lag = _map(do)
    if shape is None:
        return
    scaled = dataclasses.replace(shape, slope=1.0) if shape.name != "table" else shape
    sizes = np.abs(do.responses[0, :, lag])
    size = float(do.sizes[int(np.argmax(sizes))])
    passed = float(np.asarray(scaled(size)))
    if passed:
        yield from _with_kernel(dataclasses.replace(linear, inner=scaled), do.kernel_at(size) * (size / passed))
    moving = _moving(do, linear)
    if moving is not None:
        yield moving
    response = _memory_behind(do)
    if response is not None:
        rates = do.probe.gain(do.calm_states, np.full(do.num_steps, size))
        after = rates * size / passed if passed else rates
        yield dataclasses.replace(linear, outer=scaled, memory=realize(response), after=after)


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
    if not (shape.clips and shape.has_tangent):
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
    return np.append(1.0, -centers / do.middle)


def _adaptive(do: Experiments, linear: ExplainedOptimizer) -> Iterator[ExplainedOptimizer]:
    """A gain that follows past gradients, behind a memory and before it, with gradients clipped first or not."""
    begins = _begins(do)
    measured = _measure_gains(do, begins)
    corner = _corner(do)
    for inner in [linear.inner] if corner is None else [_clip(do, corner), linear.inner]:
        gains = measured.through(inner)
        found = None if gains is None else fit_law(gains, begins=begins, is_even=measured.is_even)
        if found is not None:
            yield from _around(do, dataclasses.replace(linear, inner=inner), found)


def _clip(do, corner):
    clipped = np.minimum(1.0, corner / do.sizes)
    return StaticMap("hard clip", 1.0, corner, do.sizes, clipped, clipped)


def _begins(do: Experiments) -> int:
    """The step from which on a first gradient does not count in proportion to its size; 0 if none or all."""
    gains = do.probe.gain(do.calm_states[:, None], do.sizes[[0, len(do.sizes) // 2, -1]])
    with np.errstate(all="ignore"):
        is_linear = np.abs(gains / gains[:, :1] - 1).max(1) < _PROPORTIONAL
    first = int(np.argmin(is_linear))
    return first if not is_linear[first:].any() else 0


class _Measured(NamedTuple):
    """Gains after histories of several kinds and scales, early and late in a run.

    Attributes:
        histories: [measurement, step], NaN after the end of a shorter one.
        last: the gradients with which they were measured.
        gains: themselves.
        groups: 0 late, 1 early.
        is_even: whether they are the same after gradients of other signs.
    """

    histories: np.ndarray
    last: np.ndarray
    gains: np.ndarray
    groups: np.ndarray
    is_even: bool

    def through(self, inner: StaticMap) -> Gains | None:
        """What a law has to make of gradients that pass a static map first; None if too few have such a gain."""
        fed = np.abs(np.asarray(inner(self.last)))
        with np.errstate(all="ignore"):
            inverse = fed / np.abs(self.last * self.gains)
        usable = np.isfinite(inverse) & (inverse > 0) & (inverse < 1e290)
        if usable.mean() < 0.9:
            return None
        return Gains(np.asarray(inner(self.histories))[usable], fed[usable], inverse[usable], self.groups[usable])


def _measure_gains(do: Experiments, begins: int) -> _Measured:
    late, early = min(_LATE, do.num_steps - 1), min(max(_EARLY, begins + 1), do.num_steps - 1)
    rng = np.random.default_rng(3)
    rows, last, groups, signed = [], [], [], []
    for group, length in ((0, late), (1, early)):
        for scale in np.geomspace(do.low * 10**0.5, do.high / 10**0.5, 5):
            for pattern, is_signed in _patterns(length, rng):
                for share in (1.0, 1e-2):
                    rows.append(np.append(scale * pattern, np.full(do.num_steps - length, np.nan)))
                    last.append(scale * share)
                    groups.append(group)
                    signed.append(is_signed)
    histories, last, groups, signed = np.array(rows), np.array(last), np.array(groups), np.array(signed)
    states = do.probe.drive(np.nan_to_num(histories))[0]
    reached = states[np.arange(len(rows)), np.where(groups == 0, late, early)]
    gains = do.probe.gain(reached, last)
    with np.errstate(all="ignore"):
        apart = np.abs(gains[signed == 1] / gains[signed == -1] - 1)
    is_even = bool(np.all(apart < _SIGNS))
    return _Measured(histories[:, :late], last, gains, groups, is_even)


def _patterns(length: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
    """Histories of scale 1; two of them, 1 and -1, differ in their signs alone."""
    yield np.zeros(length), 0
    for ago in (1, 2, 5, 15, 40):
        if ago <= length:
            yield np.eye(length)[length - ago], 0
    for count in (2, 6, 20, 45):
        if count <= length:
            yield np.where(np.arange(length) >= length - count, 1.0, 0.0), 0
    yield (-1.0) ** np.arange(length), 0
    drawn = rng.standard_normal(length)
    yield drawn, 1
    yield np.abs(drawn), -1
    yield np.where(np.arange(length) < length // 2, 1.0, 0.03), 0


def _around(do: Experiments, rule: ExplainedOptimizer, law: GainLaw) -> Iterator[ExplainedOptimizer]:
    """The law behind a memory and before it: with N multiplied out, responses to impulses are those of the memory."""
    size = float(do.high / 10**0.5)
    if rule.inner.scale:
        size = min(size, float(rule.inner.scale))  # beyond it, gradients are all alike
    fed = float(np.asarray(rule.inner(size)))
    sizes = _sizes_after_impulses(law, fed, do.num_steps)
    kernel = do.kernel_at(size) * (size / fed)
    with np.errstate(all="ignore"):
        kernels = {False: kernel * sizes, True: kernel * np.diag(sizes)}
    usable = [first for first, one in kernels.items() if np.isfinite(one).all()]
    for gain_first in sorted(usable, key=lambda first: separate(kernels[first])[3]):
        placed = dataclasses.replace(rule, law=law, gain_first=gain_first)
        yield from _with_kernel(placed, kernels[gain_first])


def _sizes_after_impulses(law: GainLaw, fed: float, num_steps: int) -> np.ndarray:
    """N [read at, given at] after one impulse."""
    impulses = fed * np.eye(num_steps)
    state: tuple = tuple(np.full(num_steps, number) for number in law.begin())
    sizes = np.zeros((num_steps, num_steps))
    for n in range(num_steps):
        state, sizes[n] = law.advance(state, impulses[n], n)
    return sizes


def _corner(do: Experiments) -> float | None:
    """Where larger gradients no longer count for more in the gains of later ones: they are clipped before."""
    rows = np.zeros((len(do.sizes), do.num_steps))
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
    exact = _reaches(do, float(do.sizes[i]), float(do.sizes[min(i + 3, len(do.sizes) - 1)]), logs[-1])
    if exact is not None:
        return exact
    # The line below the corner meets the plateau above it.
    below = i - 1 if i >= 1 and slopes[i - 1] > 0.3 else i
    return float(do.sizes[below] * np.exp((logs[-1] - logs[below]) / slopes[below]))


def _reaches(do: Experiments, low: float, high: float, plateau: float) -> float | None:
    """The smallest first gradient between two that leaves the gain of all larger ones, by division; None if unclear."""
    for _ in range(11):
        grid = np.geomspace(low, high, 18)
        rows = np.zeros((len(grid), do.num_steps))
        rows[:, 0] = grid
        gains = do.probe.gain(do.probe.drive(rows)[0][:, 1], np.full(len(grid), do.low * 1e-2))
        with np.errstate(all="ignore"):
            there = np.abs(-np.log(np.abs(gains)) - plateau) < _REACHED
        if there[0] or not there[-1]:
            return None
        j = int(np.argmax(there))
        low, high = float(grid[j - 1]), float(grid[j])
    return float(np.sqrt(low * high))
