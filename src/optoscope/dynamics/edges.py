"""The edge of stability as simulation finds it: real optimizers on quadratics of growing curvature."""

import dataclasses
import enum
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from optoscope._core.checks import check_count, check_number
from optoscope._core.compiled import compiled
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import ArrayLike
from optoscope.artifacts.takes import takes_rule
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.dynamics.linearize import Linearization
from optoscope.dynamics.stability import StabilityMap, find_resting_point
from optoscope.optimizers import AbstractOptimizer

#: Runs of one compiled call, for many and for few.
_CHUNKS = (64, 16)
#: Curvatures that are tried between two neighbors of which one grows.
_TRIED = 16
#: Scanned curvatures, in units of one over the learning rate at the resting point.
_SCAN_RANGE, _SCAN_POINTS = (1e-4, 1e2), 193
#: Deviation from the tangent, relative, at which the linear range ends.
_NONLINEAR = 0.1
#: Amplitudes between which growth is fitted, in units of the first one: above rounding, and below cycles.
_FLOOR, _CEILING = 1e-6, 1e3
#: Windows into which the later part of a run is divided, and how few of them still show growth.
_WINDOWS, _FEWEST = 24, 4
#: A growth counts if it is so many times its standard error; until then runs become longer, by this factor, twice.
_SIGNIFICANT, _LONGER = 4, 4
#: Change of a logarithm over the fitted part of a run that may be how an oscillation falls into its windows.
_FAINTEST = 1e-4
#: Steps of the response whose linearity is looked at.
_RESPONSE_STEPS = 8
#: Runs whose end is looked at start here, in units of the linear range; beyond the other one they have diverged.
_START, _FAR = 1e-3, 1e9


class Outcome(enum.IntEnum):
    """What becomes of a small perturbation.

    `Outcome(code).message` says it in words.
    """

    DIES_OUT = 0
    CIRCLES = 1
    SETTLES_ELSEWHERE = 2
    DIVERGES = 3
    UNDECIDED = 4

    @property
    def message(self) -> str:
        """A few words for people."""
        return _MESSAGES[self]


_MESSAGES = {
    Outcome.DIES_OUT: "dies out",
    Outcome.CIRCLES: "circles in a bounded cycle",
    Outcome.SETTLES_ELSEWHERE: "settles at another point",
    Outcome.DIVERGES: "diverges",
    Outcome.UNDECIDED: "still changes at the end of the run",
}


@dataclasses.dataclass(frozen=True)
class EdgeMeasurement(Result):
    """Edges of stability found by running an optimizer on quadratics.

    Attributes:
        curvatures: all curvatures that were run, in increasing order.
        growth: fitted growth of the perturbation's envelope at each, per step: `log amplitude` over steps. Exactly 0
            where the longest runs show neither growth nor decay.
        edges: curvatures at which the growth changes its sign.
        brackets: for each edge the two neighboring curvatures that were run.
        stable_below: at each edge, whether the perturbation dies out below it.
        beyond: curvatures on the unstable side of each edge whose end was looked at.
        outcomes: an `Outcome` code for each of them.
        amplitudes: of those that end in a bounded motion, the largest `|x - x*|` in it.
        gradient_amplitudes: the largest `|g - g*|` in it.
        periods: its period in steps (the mean time of a turn, where it is irregular); NaN without oscillation.
        linear_range: the gradient, counted from `g*`, at which the optimizer departs by 10% from its tangent; infinite
            for a linear rule.
        perturbation: the initial `g - g*`.
        gradient: `g*`.
        provenance: who made it.
    """

    curvatures: Float[np.ndarray, " grid"]
    growth: Float[np.ndarray, " grid"]
    edges: Float[np.ndarray, " edge"]
    brackets: Float[np.ndarray, "edge two"]
    stable_below: Bool[np.ndarray, " edge"]
    beyond: Float[np.ndarray, "edge beyond"]
    outcomes: Int[np.ndarray, "edge beyond"]
    amplitudes: Float[np.ndarray, "edge beyond"]
    gradient_amplitudes: Float[np.ndarray, "edge beyond"]
    periods: Float[np.ndarray, "edge beyond"]
    linear_range: float
    perturbation: float
    gradient: float
    provenance: dict[str, Any]

    def predicted(self, prediction: StabilityMap) -> Float[np.ndarray, " edge"]:
        """Return for each measured edge the nearest predicted one of its kind; NaN where there is none."""
        found = np.full(len(self.edges), np.nan)
        for i, (edge, below) in enumerate(zip(self.edges, self.stable_below)):
            same = prediction.edges[prediction.stable_below == below]
            if len(same):
                found[i] = same[np.abs(np.log(same / edge)).argmin()]
        return found

    def missed(self, prediction: StabilityMap) -> Float[np.ndarray, " missed"]:
        """Return the predicted edges inside the range that was run which no measured edge is nearest to."""
        inside = (prediction.edges > self.curvatures[0]) & (prediction.edges < self.curvatures[-1])
        return np.setdiff1d(prediction.edges[inside], self.predicted(prediction))


@takes_rule
@in_float64
def measure_edge(
    optimizer: AbstractOptimizer,
    *,
    curvatures: ArrayLike | None = None,
    num_steps: int = 4000,
    perturbation: float = 1e-6,
    beyond: tuple[float, ...] = (1.05, 1.25, 2.0),
    tolerance: float = 1e-4,
    point: Linearization | None = None,
) -> EdgeMeasurement:
    """Run an optimizer on `1/2 curvature x^2` for many curvatures and find where a small perturbation stops dying out.

    Each run starts at the resting point of state and parameter, with the parameter displaced so that the gradient
    is off by `perturbation` linear ranges, in float64. The growth of the perturbation is the slope of the logarithm of
    its envelope over the later part of the run, as long as it has neither sunk to rounding nor grown a thousandfold
    (near an edge that opens gently there are small cycles, which would look like the edge). Runs that do not show
    whether they grow, because they turn round slowly or hardly change, are made 4 and 16 times as long. Neighboring
    curvatures of which one grows and the other dies out are bisected, 16 runs at a time. Nothing of it uses the
    linearization, but for the point and the scale of the scan.

    Args:
        optimizer: any component-wise optimizer.
        curvatures: those to start with, increasing [grid]; 32 per decade from 1e-4 to 1e2 over the learning rate at
            the resting point if None. Of two edges between neighboring ones both are missed.
        num_steps: length of a run.
        perturbation: initial displacement in units of the linear range. Runs beyond an edge start at 1e-3.
        beyond: how far beyond each edge, as factors, the end of runs is looked at (below it where the stable side is
            above).
        tolerance: relative width of the bracket at which bisection ends.
        point: where to start; the resting point if None.

    Returns:
        Growth against curvature, the edges, and what happens beyond them.

    Raises:
        ValueError: if there is no resting point, or a number is out of range.

    >>> from optoscope.optimizers import GradientDescent
    >>> found = measure_edge(GradientDescent(0.1), num_steps=200)
    >>> round(float(found.edges[0]), 2), Outcome(found.outcomes[0, 0]).message
    (20.0, 'diverges')
    """
    check_count("num_steps", num_steps, minimum=100, hint="4000 is the default")
    check_number("perturbation", perturbation, low=0, high=0.1, open_low=True, hint="1e-6 is the default")
    check_number("tolerance", tolerance, low=0, high=0.1, open_low=True, hint="1e-4 is the default")
    check_number("beyond", list(beyond), low=1, open_low=True, hint="use factors above 1, such as 1.05")
    at = find_resting_point(optimizer) if point is None else point
    runner = _Runner(to_float64(optimizer), at, perturbation, num_steps)
    if curvatures is None:
        rate = abs(at.D) or 1.0
        grid = np.geomspace(_SCAN_RANGE[0] / rate, _SCAN_RANGE[1] / rate, _SCAN_POINTS)
    else:
        grid = np.unique(np.asarray(curvatures, np.float64))
        check_number("curvatures", grid, low=0, open_low=True, hint="use positive curvatures")
    growth = runner.growth(grid)
    while True:
        changes = _changes(growth)
        brackets = grid[changes].reshape(-1, 2)
        # Between curvatures that were tried in between there is nothing but runs that neither grow nor die out.
        wide = brackets[(brackets[:, 1] / brackets[:, 0] - 1 > tolerance) & (np.diff(changes, axis=1)[:, 0] <= _TRIED)]
        if not len(wide):
            break
        more = np.concatenate([np.geomspace(low, high, _TRIED + 2)[1:-1] for low, high in wide])
        grid, growth = np.append(grid, more), np.append(growth, runner.growth(more))
        order = np.argsort(grid)
        grid, growth = grid[order], growth[order]
    below = growth[changes[:, 0]] < 0
    edges = np.sqrt(brackets.prod(1))
    factors = np.asarray(beyond, np.float64)
    places = np.where(below[:, None], edges[:, None] * factors, edges[:, None] / factors)
    outcomes, amplitudes, gradient_amplitudes, periods = (part.reshape(places.shape) for part in runner.ends(places))
    return EdgeMeasurement(
        curvatures=grid,
        growth=growth,
        edges=edges,
        brackets=brackets,
        stable_below=below,
        beyond=places,
        outcomes=outcomes.astype(int),
        amplitudes=amplitudes,
        gradient_amplitudes=gradient_amplitudes,
        periods=periods,
        linear_range=runner.linear_range,
        perturbation=perturbation * runner.unit,
        gradient=at.gradient,
        provenance=provenance(num_steps=num_steps, perturbation=perturbation, tolerance=tolerance),
    )


class _Runner:
    """Runs from one resting point, displaced by a small gradient."""

    def __init__(self, optimizer, at, perturbation, num_steps):
        self.optimizer, self.at, self.num_steps, self.perturbation = optimizer, at, num_steps, perturbation
        self.linear_range = _linear_range(optimizer, at)
        self.unit = self.linear_range if np.isfinite(self.linear_range) else 1.0
        # A state's deviation counts as the gradient that would bring it about in one step.
        self.state_unit = float(np.linalg.norm(at.B)) * self.unit or np.inf

    def run(self, curvatures, num_steps, perturbation):
        """Deviations of the gradient and of the state, in units of the linear range [run, step]."""
        chunk = _CHUNKS[len(curvatures) < _CHUNKS[0]]
        padded = np.append(curvatures, np.repeat(curvatures[-1:], -len(curvatures) % chunk))
        start = self.at.gradient + perturbation * self.unit
        parts = [
            _simulate(self.optimizer, padded[i : i + chunk], self.at.state, self.at.gradient, start, num_steps)
            for i in range(0, len(padded), chunk)
        ]
        gradients, states = (np.concatenate(column, axis=1)[:, : len(curvatures)].T for column in zip(*parts))
        with np.errstate(over="ignore", invalid="ignore"):
            gradients = gradients / self.unit
            return gradients, np.hypot(gradients, states / self.state_unit)

    def growth(self, curvatures):
        found = np.zeros(len(curvatures))
        left = np.arange(len(curvatures))
        for num_steps in (self.num_steps, self.num_steps * _LONGER, self.num_steps * _LONGER**2):
            _, sizes = self.run(curvatures[left], num_steps, self.perturbation)
            growth, error = np.array([_fit_growth(one) for one in sizes]).T
            is_clear = np.abs(growth) > _SIGNIFICANT * error
            found[left[is_clear]] = growth[is_clear]
            left = left[~is_clear]
            if not len(left):
                break
        return found

    def ends(self, curvatures):
        """Outcome, amplitude of x and of g, and period of longer and larger runs."""
        curvatures = curvatures.ravel()
        outcomes = np.full(len(curvatures), int(Outcome.UNDECIDED))
        if not len(curvatures):
            return outcomes, *np.full((3, 0), np.nan)
        grows = self.growth(curvatures) >= 0
        x_amplitudes, g_amplitudes, periods = np.full((3, len(curvatures)), np.nan)
        for num_steps in (self.num_steps, 8 * self.num_steps):
            left = np.flatnonzero(outcomes == Outcome.UNDECIDED)
            if not len(left):
                break
            for i, gradients, sizes in zip(left, *self.run(curvatures[left], num_steps, _START)):
                outcomes[i] = _outcome(gradients, sizes)
                if outcomes[i] == Outcome.DIES_OUT and grows[i]:
                    outcomes[i] = Outcome.UNDECIDED  # it is between two bursts
                late = gradients[-(num_steps // 4) :]
                if outcomes[i] in (Outcome.CIRCLES, Outcome.SETTLES_ELSEWHERE):
                    g_amplitudes[i] = np.abs(late).max() * self.unit
                    x_amplitudes[i] = g_amplitudes[i] / curvatures[i]
                if outcomes[i] == Outcome.CIRCLES:
                    periods[i] = _period(late)
        return outcomes, x_amplitudes, g_amplitudes, periods


@compiled(static_argnums=5)
def _simulate(optimizer, curvatures, state, gradient, first_gradient, num_steps):
    """Deviation of the gradient and distance of the state from the resting point, before each step [step, run]."""

    def step(carry, _):
        h, g = carry
        new_h, dx = optimizer.step_components(h, g)
        return (new_h, g + curvatures * dx), (g - gradient, jnp.linalg.norm(h - state, axis=1))

    start = (jnp.tile(state, (len(curvatures), 1)), jnp.full(len(curvatures), first_gradient))
    return jax.lax.scan(step, start, length=num_steps)[1]


def _linear_range(optimizer, at):
    """The smallest impulse of the gradient whose response in the next updates departs from the tangent's."""
    distances = np.geomspace(1e-9, 1e9, 289) * max(1.0, abs(at.gradient))
    both = np.concatenate([-distances, distances])
    responses = np.asarray(_responses(optimizer, at.state, at.gradient, both))
    tangent = at.impulse_response(_RESPONSE_STEPS)
    with np.errstate(over="ignore", invalid="ignore"):
        departure = np.linalg.norm(responses - at.update - both[:, None] * tangent, axis=1)
    rounding = 1e-13 * max(np.abs(at.C) @ np.abs(at.state), abs(at.update))
    departs = ~(departure <= _NONLINEAR * np.abs(both) * np.linalg.norm(tangent) + rounding)
    return float(np.abs(both[departs]).min(initial=np.inf))


@compiled()
def _responses(optimizer, state, gradient, impulses):
    """Updates [impulse, step] that follow an impulse added to a constant gradient."""

    def respond(impulse):
        gradients = gradient + impulse * (jnp.arange(_RESPONSE_STEPS) == 0)
        return jax.lax.scan(lambda h, g: optimizer.step(h, g), state, gradients)[1]

    return jax.vmap(respond)(impulses)


def _changes(growth):
    """Pairs [change, two] of indices, next to each other but for what is neither, of which one grows, one does not."""
    clear = np.flatnonzero(growth)
    found = np.flatnonzero((growth[clear[1:]] < 0) != (growth[clear[:-1]] < 0))
    return np.column_stack([clear[found], clear[found + 1]])


def _fit_growth(sizes):
    """Slope of the logarithm of an envelope over the later part of what is linear and above rounding, and its error."""
    usable = np.isfinite(sizes) & (sizes > _FLOOR * sizes[0]) & (sizes < _CEILING * sizes[0])
    length = len(sizes) if usable.all() else int(np.argmin(usable))
    if length < 4:  # gone within a few steps: to nothing, or away
        last = sizes[min(length, len(sizes) - 1)]
        return (-np.inf if last < sizes[0] else np.inf), 0.0
    logs = np.log(sizes[length // 2 if length == len(sizes) else length // 4 : length])
    # Maxima over windows follow the envelope of an oscillation, if no turn is longer than they are.
    peaks = np.flatnonzero((logs[1:-1] >= logs[:-2]) & (logs[1:-1] > logs[2:])) + 1
    turn = int(np.diff(peaks, prepend=0, append=len(logs)).max()) if len(peaks) else 1
    width = max(len(logs) // _WINDOWS, turn)
    number = len(logs) // width
    if len(peaks) and number < _FEWEST:
        return 0.0, np.inf
    steps = width * np.arange(float(number))
    logs = _maxima(logs, width)
    slope, offset = np.polyfit(steps, logs, 1)
    scatter = np.sqrt(((logs - offset - slope * steps) ** 2).sum() / max(number - 2, 1))
    error = scatter / np.sqrt(((steps - steps.mean()) ** 2).sum())
    return float(slope), float(max(error, _FAINTEST / (width * number)))


def _maxima(values, width):
    """The largest of each window, the last window ending where the values do."""
    number = len(values) // width
    return values[-number * width :].reshape(number, width).max(1)


def _outcome(gradients, sizes):
    """What a run ends in; its second half decides."""
    if not np.isfinite(sizes).all() or sizes.max() > _FAR:
        return Outcome.DIVERGES
    quarter = len(sizes) // 4
    earlier, late = sizes[-2 * quarter : -quarter].max(), sizes[-quarter:].max()
    if late < 0.5 * sizes[0] and late <= earlier:
        return Outcome.DIES_OUT
    turn = np.ptp(gradients[-quarter:])
    if turn < 1e-3 * late and sizes[-1] > 2 * sizes[0]:
        return Outcome.SETTLES_ELSEWHERE
    if 0.9 * earlier <= late <= 1.1 * earlier and late > 2 * sizes[0]:
        return Outcome.CIRCLES
    return Outcome.UNDECIDED


def _period(gradients):
    """Mean time between upward crossings of the middle, interpolated."""
    around = gradients - (gradients.max() + gradients.min()) / 2
    up = np.flatnonzero((around[:-1] < 0) & (around[1:] >= 0))
    if len(up) < 2:
        return np.nan
    times = up - around[up] / (around[up + 1] - around[up])
    return float((times[-1] - times[0]) / (len(times) - 1))
