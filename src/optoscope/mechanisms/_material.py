"""The experiments on which all assessments of one optimizer rest, made once."""

import dataclasses
from typing import Any

import jax
import numpy as np

from optoscope._checks import check_count, check_number
from optoscope._types import PRNGKeyArray
from optoscope.anatomy import Visits, gradient_range, visit
from optoscope.dynamics import find_fixed_points, linearize
from optoscope.mechanisms._onset import find_onset
from optoscope.mechanisms._probe import Probe
from optoscope.optimizers import AbstractOptimizer, GRUOptimizer
from optoscope.tasks import AbstractTask, name_of

#: Gradients tried where neither a range nor a task is given: 8 decades and as many again on both sides.
WINDOW = (1e-8, 1e8)
#: The range of a network without a task, relative to where it begins to saturate: far beyond, all of its gates do.
NETWORK_RANGE = (1e-3, 10.0)
#: Magnitudes per decade at which an optimizer is driven, and at which its update function is sampled.
DRIVEN_PER_DECADE, SAMPLED_PER_DECADE = 2, 16
#: Update functions are sampled from this share of the range's lower end on: their tangent may be seen only there.
BELOW = 1e-6
#: Slopes are taken for what small gradients see if gains at two neighboring magnitudes agree with them to this share of
#: the largest slope, and if changes of the state's last digits move them by less than the second share.
_AGREEMENT, _STEADINESS, _ROUNDING = 0.02, 0.005, 4e-15
#: Steps without a gradient after which a state that still moves is judged.
_SETTLING_STEPS = 2000
#: A fixed point where the learning rate has fallen below this share of the largest is where a schedule ends.
_ENDED = 1e-3
#: Eigenvalues up to this far above 1 do not repel: they are 1, to rounding, for what nothing changes.
_NEUTRAL = 1e-6


@dataclasses.dataclass(frozen=True)
class Material:
    """An optimizer and what it did in the experiments.

    Attributes:
        probe: compiled experiments on the float64 optimizer.
        name: what the optimizer is called.
        low, high: the range of gradient magnitudes that was used.
        origin: where the range comes from, in words.
        num_steps: length of every run.
        calm: states `h_0 .. h_T` without a gradient.
        calm_updates: its updates.
        learning_rates: effective learning rates along it.
        rate_probe: magnitude of the gradients with which they were measured; 0 if they are slopes at g = 0.
        operating_state: where the optimizer is linearized.
        operating_step: iteration of that state along its run; None at a fixed point.
        operating_gradient: magnitude of the alternating gradients that led there; 0 without any.
        is_fixed: whether it is a fixed point at g = 0.
        scales: magnitudes at which it was driven.
        constant, opposite: states [scale, step, state] under +s and under -s.
        alternating: states [scale, step, state] under +s, -s, +s, ...
        sampled: magnitudes at which update functions are sampled; they start below the range, where tangents are.
        task: name of the task; None without one.
        visits: runs on its test problems.
        is_idle: whether the update is the same whatever the gradients are.
    """

    probe: Probe
    name: str
    low: float
    high: float
    origin: str
    num_steps: int
    calm: np.ndarray
    calm_updates: np.ndarray
    learning_rates: np.ndarray
    rate_probe: float
    operating_state: np.ndarray
    operating_step: int | None
    operating_gradient: float
    is_fixed: bool
    scales: np.ndarray
    constant: np.ndarray
    opposite: np.ndarray
    alternating: np.ndarray
    sampled: np.ndarray
    task: str | None
    visits: Visits | None
    is_idle: bool

    @property
    def optimizer(self) -> AbstractOptimizer:
        """The optimizer, in float64."""
        return self.probe.optimizer


def gather(
    optimizer: AbstractOptimizer,
    *,
    task: AbstractTask | None = None,
    key: PRNGKeyArray | None = None,
    gradients: float | int | tuple[float, float] | list[float] | None = None,
    num_steps: int = 200,
    name: str | None = None,
    num_problems: int = 64,
) -> Material:
    """Make the experiments.

    Args:
        optimizer: any component-wise rule.
        task: where it runs; without one, nothing is said about gradients that really occur.
        key: draws the test problems; needed with a task.
        gradients: the largest magnitude, or the smallest and the largest; that of the task, or `WINDOW`, if None.
        num_steps: length of every run.
        name: what to call the optimizer; its class if None.
        num_problems: test problems of the task.

    Raises:
        ValueError: if the range is not positive and increasing, or there is a task and no key.
    """
    num_steps = check_count("num_steps", num_steps, minimum=10, hint="the paper uses 200")
    visits = None
    if task is not None:
        if key is None:
            raise ValueError("with a task, `key` is needed: it draws the test problems; use jax.random.key(0).")
        visits = visit(optimizer, task, key=key, num_steps=num_steps, num_problems=num_problems)
    probe = Probe(optimizer)
    low, high, origin = _range(probe, gradients, visits, None if task is None else name_of(task), num_steps)
    scales = np.geomspace(low, high, max(3, round(DRIVEN_PER_DECADE * np.log10(high / low)) + 1))
    constant, opposite, alternating, calm, calm_updates = _drive(probe, scales, num_steps)
    sampled = np.geomspace(low * BELOW, high, round(SAMPLED_PER_DECADE * np.log10(high / low / BELOW)) + 1)
    rates, rate_probe = _learning_rates(probe, calm, sampled)
    state, step, gradient, is_fixed = _operating_point(probe, calm, rates, rate_probe, scales, constant, alternating)
    return Material(
        probe=probe,
        name=name or type(optimizer).__name__,
        low=low,
        high=high,
        origin=origin,
        num_steps=num_steps,
        calm=calm,
        calm_updates=calm_updates,
        learning_rates=rates,
        rate_probe=rate_probe,
        operating_state=state,
        operating_step=step,
        operating_gradient=gradient,
        is_fixed=is_fixed,
        scales=scales,
        constant=constant,
        opposite=opposite,
        alternating=alternating,
        sampled=sampled,
        task=None if task is None else name_of(task),
        visits=visits,
        is_idle=_is_idle(probe, scales, calm, constant, alternating),
    )


def _range(
    probe: Probe, gradients: Any, visits: Visits | None, task: str | None, num_steps: int
) -> tuple[float, float, str]:
    if gradients is not None:
        interval = np.atleast_1d(np.asarray(gradients, np.float64))
        check_number("gradients", interval, low=0, open_low=True, hint="use magnitudes, such as (1e-3, 10.0)")
        if interval.size > 2 or (interval.size == 2 and not interval[0] < interval[1]):
            raise ValueError(
                f"`gradients` must be one magnitude or an increasing pair, got {gradients!r}; try (1e-3, 10.0)."
            )
        high = float(interval[-1])
        return (float(interval[0]) if interval.size == 2 else high * 1e-4), high, "given"
    if visits is not None:
        met = np.abs(visits.gradients[visits.gradients != 0])
        if not len(met):
            raise ValueError(f"on {task} every gradient met is 0; give a range with `gradients`.")
        high = gradient_range(met)
        # What most of a run meets near its end is arbitrarily small: three decades below the largest count.
        return max(float(np.quantile(met, 0.05)), high * 1e-4), high, f"met on {task}"
    leaves = jax.tree.leaves(probe.optimizer, is_leaf=lambda leaf: isinstance(leaf, GRUOptimizer))
    if any(isinstance(leaf, GRUOptimizer) for leaf in leaves):
        onset = _saturation(probe, num_steps)
        if onset is not None:
            return onset * NETWORK_RANGE[0], onset * NETWORK_RANGE[1], "where this network begins to saturate"
    return *WINDOW, "all magnitudes tried"


def _saturation(probe: Probe, num_steps: int) -> float | None:
    """The gradient at which a network's update departs from its tangent, wherever in all magnitudes that is."""
    calm = probe.drive(np.zeros((1, num_steps)))[0][0]
    slopes = probe.slope(calm, np.zeros(len(calm)))
    if not np.isfinite(slopes).all() or not slopes.any():
        return None
    step = int(np.argmax(np.abs(slopes)))
    grid = np.geomspace(*WINDOW, round(SAMPLED_PER_DECADE * np.log10(WINDOW[1] / WINDOW[0])) + 1)
    return find_onset(lambda g: probe.gain(calm[step], g) / slopes[step], grid).threshold


def _is_idle(probe, scales, calm, constant, alternating) -> bool:
    start = np.stack([calm[0], calm[-1]])[:, None]
    reached = np.concatenate([constant[:, -1], alternating[:, -1]])[:, None]
    updates = probe.update(np.concatenate([start, reached]), np.concatenate([scales, -scales]))
    return bool(np.all(updates == updates.flat[0]))


def _drive(probe: Probe, scales: np.ndarray, num_steps: int):
    ones = np.ones(num_steps)
    turns = np.where(np.arange(num_steps) % 2 == 0, 1.0, -1.0)
    rows = np.concatenate([np.outer(scales, ones), np.outer(-scales, ones), np.outer(scales, turns), [0 * ones]])
    states, updates = probe.drive(rows)
    constant, opposite, alternating = states[:-1].reshape(3, len(scales), *states.shape[1:])
    return constant, opposite, alternating, states[-1], updates[-1]


def _learning_rates(probe: Probe, calm: np.ndarray, sampled: np.ndarray) -> tuple[np.ndarray, float]:
    """Slopes at g = 0 where they are what small gradients see; else gains at a gradient in the middle of the range.

    The root of a mean square at 0, and the sign function, have no slope there that describes what they do. A root of
    what rounding left over has one, but it changes with the last bit of the state.
    """
    slopes = probe.slope(calm, np.zeros(len(calm)))
    checked = np.unique(np.linspace(0, len(calm) - 1, 5).astype(int))
    if np.isfinite(slopes).all():
        size = max(float(np.abs(slopes).max()), np.finfo(float).tiny)
        gains = probe.gain(calm[checked, None], sampled)
        near = (np.abs(gains - slopes[checked, None]) <= _AGREEMENT * size).all(0)
        rng = np.random.default_rng(0)
        shaken = calm[checked] * (1 + _ROUNDING * rng.choice([-1.0, 1.0], (4, 1, calm.shape[1])))
        moved = np.abs(probe.slope(shaken, np.zeros((4, len(checked)))) - slopes[checked]).max()
        if (near[1:] & near[:-1]).any() and moved <= _STEADINESS * size:
            return slopes, 0.0
    middle = float(np.sqrt(sampled[0] / BELOW * sampled[-1]))
    return probe.gain(calm, np.full(len(calm), middle)), middle


def _operating_point(probe, calm, rates, rate_probe, scales, constant, alternating):
    """Where to linearize: a fixed point at g = 0, else where the run's learning rate is largest."""
    largest = np.abs(rates).max(initial=0.0)
    if rate_probe:
        # Not at rest: the root of a mean square at 0 has no derivative. After alternating gradients it has one.
        middle, end = len(scales) // 2, len(calm) - 1
        step = end if abs(rates[end]) >= _ENDED * largest else max(2, int(np.argmax(np.abs(rates))) // 2 * 2)
        return alternating[middle, step], step, float(scales[middle]), False
    fixed = _settle(probe, calm[-1])
    if fixed is not None and _repels(probe, fixed):
        fixed = _settle(probe, constant[0, -1])  # where small gradients lead
    if fixed is not None and abs(float(probe.slope(fixed[None], np.zeros(1))[0])) >= _ENDED * largest:
        return fixed, None, 0.0, True
    step = int(np.argmax(np.abs(rates)))
    return calm[step], step, 0.0, False


def _repels(probe: Probe, state: np.ndarray) -> bool:
    try:
        found = linearize(probe.optimizer, state)
    except ValueError:  # a kink: small gradients of either sign go their own way
        return False
    return bool(np.abs(np.linalg.eigvals(found.A)).max(initial=0.0) > 1 + _NEUTRAL)


def _settle(probe: Probe, state: np.ndarray) -> np.ndarray | None:
    """The fixed point at g = 0 where the run without a gradient ends; None if it never stands still."""
    if not np.isfinite(state).all():
        return None
    states, _ = probe.drive(np.zeros((1, _SETTLING_STEPS)), state)
    moves = np.linalg.norm(np.diff(states[0], axis=0), axis=1)
    size = max(1.0, float(np.abs(states[0, -1]).max(initial=0.0)))
    if not np.isfinite(moves[-1]):
        return None
    if moves[-1] <= 1e-11 * size:
        return states[0, -1]
    if moves[-1] > 0.5 * moves[len(moves) // 2]:
        return None  # it drifts or circles: a clock
    found = find_fixed_points(probe.optimizer, gradient=0.0, seeds=states[0, -1])
    return found.states[0] if found.attracting[0] else None
