"""Which rule a recording shows: candidates are run on the recorded gradients and compared with the recorded updates."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope.recordings.reading import Recording
from optoscope.recordings.rules import Rule

#: Steps of the stretch that is looked at, at most, and the fewest that say anything.
_STEPS, _FEWEST = 128, 4
#: Share of the updates that must be explained before a rule counts as found, and before it is looked for a reset.
FOUND, _CLEAR = 0.98, 0.999
#: The smallest decay beside the gradient that is told, and how many standard errors it must have.
_LEAST_DECAY, _ERRORS = 1e-4, 10.0
#: A simpler candidate is kept unless another one leaves less than this share of what it leaves.
_BETTER = 0.5
#: Decays that are tried where the groups do not name them.
_DECAYS, _SLOW = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99), (0.9, 0.95, 0.98, 0.99, 0.999)
#: Names under which groups hold the decay of the memory.
_FIRST = ("betas.0", "b1", "momentum", "beta1", "decay")
#: Names under which optimizers keep what the rules call memory and mean square.
_MEMORIES = ("exp_avg", "momentum_buffer", "mu", "trace", "m")
_SQUARES = ("exp_avg_sq", "square_avg", "nu", "v")


#: Memory, mean square and step counter.
State = tuple[np.ndarray, np.ndarray, float]


@dataclasses.dataclass(frozen=True)
class Identified:
    """The rule that a recording shows, and how far it does.

    Attributes:
        rule: the best of the candidates.
        explained: share of the squared updates that it gives, groups counting alike.
        rates: fitted factor on the recorded learning rate, of each group; the learning rate itself where none was
            recorded. NaN for groups that do not move.
        decays: fitted decay of the parameters beside the gradient, over the learning rate, of each group.
        least_decays: what such a decay must be to be more than what the fit leaves.
        step_rates: fitted learning rate of each step of the stretch, the groups together.
        resets: steps of the run before which the memory was empty again.
        first, last: the stretch of steps that was looked at.
        unexplained: share of the squared updates of each step that the rule leaves.
        rounding: share of them that rounding of the parameters makes unknowable.
    """

    rule: Rule
    explained: float
    rates: Float[np.ndarray, " group"]
    decays: Float[np.ndarray, " group"]
    least_decays: Float[np.ndarray, " group"]
    step_rates: Float[np.ndarray, " step"]
    resets: tuple[int, ...]
    first: int
    last: int
    unexplained: Float[np.ndarray, " step"]
    rounding: float

    @property
    def own_decays(self) -> Float[np.ndarray, " group"]:
        """The decays that are more than what the fit leaves; 0 for the others."""
        return np.where(self.decays > self.least_decays, self.decays, 0.0)

    @property
    def is_found(self) -> bool:
        """Whether the rule explains nearly all."""
        return self.explained + self.rounding >= FOUND


class Stretch:
    """Consecutive steps of a recording with components, and where the optimizer's memory stood before them.

    Raises:
        ValueError: if there are too few.
    """

    def __init__(self, recording: Recording, updates: np.ndarray | None = None, *, has_rates: bool = True):
        windows = [w for w in recording.windows() if recording.stride == 1]
        window = max(windows, key=lambda w: min(w.stop - w.start, _STEPS), default=slice(0, 0))
        begins = window.start == 0 and recording.kept_steps[:1] == [0]
        rows, start = np.arange(window.start, window.stop), None
        known = np.flatnonzero(np.isfinite(recording.states[rows]).any((1, 2)))
        if not begins and len(known) and len(rows) - known[0] > _FEWEST:
            start = state_after(recording, int(rows[known[0]]))
            rows = rows[known[0] + 1 :]  # the state after that step is where it begins
        rows = rows[:_STEPS]
        if len(rows) < _FEWEST:
            raise ValueError(
                f"at least {_FEWEST} consecutive steps with components are needed to say which rule was run, the "
                f"recording has {len(rows)}; record every step (every=1), or let the run go on."
            )
        own = (recording.gradients, recording.x, recording.updates if updates is None else updates)
        gradients, x, moves = (array[rows] for array in own)
        there = np.isfinite(gradients).all(0) & np.isfinite(moves).all(0) & np.isfinite(x).all(0)
        self._take(recording, own[2], rows, there & (gradients != 0).any(0), start, has_rates)

    def further(self, recording: Recording, rows: np.ndarray, start: State | None) -> "Stretch":
        """Return other consecutive steps with the same components, and what is remembered before them.

        Args:
            recording: the same.
            rows: where in its kept steps they are.
            start: memory, mean square and counter of the components before them.
        """
        other = object.__new__(Stretch)
        other._take(recording, recording.updates, rows, self.there, None, self.has_rates)
        other.start = start
        return other

    def _take(self, recording, updates, rows, there, start, has_rates):
        self.there = there
        own = (recording.gradients, recording.x, updates)
        self.gradients, self.x, self.updates = (array[rows][:, there] for array in own)
        self.groups = recording.component_groups[there]
        self.start = None if start is None else (start[0][there], start[1][there], start[2])
        self.rows, self.steps = rows, recording.kept_steps[rows]
        rates = learning_rates(recording)[recording.kept_rows[rows]]
        self.has_rates = bool(has_rates and np.isfinite(rates).all() and (rates != 0).any())
        self.rates = (rates if self.has_rates else np.ones_like(rates))[:, self.groups]
        self.num_groups = rates.shape[1]
        decays = memory_decays(recording)
        is_scheduled = np.isfinite(decays).all() and np.ptp(decays) > 0
        self.decays = decays[recording.kept_rows[rows]] if is_scheduled else None

    def directions(
        self, rule: Rule, *, resets: tuple[int, ...] = (), gradients: np.ndarray | None = None
    ) -> Float[np.ndarray, "step component"]:
        """Return what a rule makes of the gradients, or of others in their place."""
        return self.run(rule, resets=resets, gradients=gradients)[0]

    def run(
        self, rule: Rule, *, resets: tuple[int, ...] = (), gradients: np.ndarray | None = None
    ) -> tuple[Float[np.ndarray, "step component"], State]:
        """Return the same, and what the rule remembers after the last step."""
        with np.errstate(all="ignore"):
            found, state = rule.run(
                self.gradients if gradients is None else gradients, self.x, start=self.start, resets=resets,
                decays=self.decays,
            )  # fmt: skip
        return np.nan_to_num(found), state

    @property
    def rounding(self) -> float:
        """Share of the squared updates that rounding of the parameters makes unknowable."""
        size = float(np.sum(self.updates**2))
        return float(np.sum((np.abs(self.x) * 2.0**-24) ** 2) / 3 / size) if size else 0.0


def remembers(recording: Recording, rule: Rule) -> bool:
    """Whether what a rule remembers was recorded beside what it did."""
    names = set(recording.state_names)
    has_memory = (rule.memory == "none" and rule.gain != "sign") or bool(names & set(_MEMORIES))
    return has_memory and (rule.gain not in ("mean square", "sum of squares") or bool(names & set(_SQUARES)))


def learning_rates(recording: Recording) -> Float[np.ndarray, "step group"]:
    """Return the learning rate of each group at each step, as the optimizer held it; NaN where it is not known."""
    for name in ("lr", "learning_rate"):
        if name in recording.setting_names:
            return recording.setting(name)
    return np.full(recording.settings.shape[:2], np.nan)


def memory_decays(recording: Recording) -> Float[np.ndarray, " step"]:
    """Return the decay of the memory of the first group at each step, as the optimizer held it; NaN if not known."""
    named = [name for name in _FIRST if name in recording.setting_names]
    return recording.setting(named[0])[:, 0] if named else np.full(len(recording.steps), np.nan)


def identify(
    recording: Recording, updates: Float[np.ndarray, "kept component"] | None = None, *, has_rates: bool = True
) -> Identified:
    """Say which rule was run, from what was recorded.

    Args:
        recording: with at least four consecutive steps.
        updates: other updates in place of the recorded ones, for the same gradients.
        has_rates: whether these go by the learning rates that were recorded; else those of each step are fitted.

    Returns:
        The rule that explains most.

    Raises:
        ValueError: if there are too few steps, or nothing moved.
    """
    data = Stretch(recording, updates, has_rates=has_rates)
    if not len(data.groups) or not data.updates.any():
        raise ValueError("no component that was recorded has gradients and moves, so no rule can be seen.")
    tried = [(rule, _fit(data, rule)) for rule in dict.fromkeys(_candidates(recording))]
    rule, best = tried[0]
    for other, fit in tried[1:]:
        if fit.left < _BETTER * best.left:
            rule, best = other, fit
    if best.left > 1 - FOUND and not _names_decays(recording):
        rule, best = _refined(data, rule, best)
    resets: tuple[int, ...] = ()
    if best.left > 1 - _CLEAR:
        borders = np.flatnonzero(np.diff(recording.sessions[recording.kept_rows[data.rows]])) + 1
        # What a rule that was reset does looks like any rule, if like one at all.
        others = [] if best.left <= 1 - FOUND else [one for one in tried if one[0] != rule]
        left = best.left
        for other, fit in [(rule, best), *others]:
            reset, found = _find_reset(data, other, fit, left, borders)
            if found is not None and found.left < _BETTER * best.left:
                rule, best, resets = other, found, (reset,)
        for other, fit in ((one, _fit(data, one, resets)) for one, _ in tried if resets):
            if fit.left < _BETTER * best.left:
                rule, best = other, fit
    return Identified(
        rule=rule,
        explained=1 - best.left,
        rates=best.rates,
        decays=best.decays,
        least_decays=best.least_decays,
        step_rates=best.step_rates,
        resets=tuple(int(data.steps[k]) for k in resets),
        first=int(data.steps[0]),
        last=int(data.steps[-1]),
        unexplained=best.of_steps,
        rounding=data.rounding,
    )


@dataclasses.dataclass(frozen=True)
class _Fit:
    left: float
    rates: np.ndarray
    decays: np.ndarray
    least_decays: np.ndarray
    step_rates: np.ndarray
    of_steps: np.ndarray


def _fit(data: Stretch, rule: Rule, resets: tuple[int, ...] = ()) -> _Fit:
    """Fit rate and decay of each group, by least squares."""
    directions = data.directions(rule, resets=resets)
    rates, decays, least, left = np.full((4, data.num_groups), np.nan)
    errors, sizes = np.zeros(len(data.steps)), np.zeros(len(data.steps))
    along, own = np.zeros(len(data.steps)), np.zeros(len(data.steps))
    for group in range(data.num_groups):
        mine = data.groups == group
        updates, rate = data.updates[:, mine], data.rates[:, mine]
        total = np.sum(updates**2)
        if not mine.any() or not total:
            continue
        here, u = -rate * data.x[:, mine], -rate * directions[:, mine]
        each = np.ones(len(data.steps))
        if not data.has_rates:  # the learning rate of each step is whatever fits best
            each = np.sum(updates * u, 1) / np.maximum(np.sum(u * u, 1), 1e-300)
            here, u = here * each[:, None], u * each[:, None]
        columns = np.stack([u.ravel(), here.ravel()], 1)
        scale = np.linalg.norm(columns, axis=0)
        found = np.linalg.lstsq(columns / np.where(scale, scale, 1), updates.ravel(), rcond=1e-10)[0]
        rates[group], decays[group] = found / np.where(scale, scale, 1)
        wrong = updates - rates[group] * u - decays[group] * here
        left[group] = np.sum(wrong**2) / total
        own_share = 1 - (columns[:, 0] @ columns[:, 1] / max(scale[0] * scale[1], 1e-300)) ** 2
        error = np.sqrt(np.mean(wrong**2) / max(own_share, 1e-12)) / max(scale[1], 1e-300)
        least[group] = max(_LEAST_DECAY, _ERRORS * error)
        errors += np.sum(wrong**2, 1) / total
        sizes += np.sum(updates**2, 1) / total
        moved = updates - decays[group] * here
        along -= np.sum(moved * directions[:, mine], 1) / total
        own += np.sum(directions[:, mine] ** 2, 1) / total
        if not data.has_rates:
            decays[group] /= rates[group] or 1.0
            least[group] /= abs(rates[group]) or 1.0
            rates[group] = np.median(each) * rates[group]
    with np.errstate(all="ignore"):
        return _Fit(float(np.nanmean(left)), rates, decays, least, along / own, errors / sizes)


def _candidates(recording: Recording) -> Iterator[Rule]:
    """Rules to try, the simplest first, with the decays that the groups name, if they do."""

    def named(*names: str) -> float | None:
        for name in names:
            values = recording.setting(name)
            if np.isfinite(values).any():
                return float(values[np.isfinite(values)][0])
        return None

    decay = named("weight_decay") or 0.0
    coupled = (0.0, decay) if decay else (0.0,)
    own = named(*_FIRST)
    firsts = dict.fromkeys(_DECAYS if own is None else (0.0, own))
    seconds = _only(named("betas.1", "b2", "alpha", "beta2"), _SLOW)
    eps = _only(named("eps"), (1e-8,))
    for extra in coupled:
        yield Rule(coupled=extra)
        for b1 in firsts:
            if b1:
                yield Rule("sum", b1, coupled=extra)
                yield Rule("sum", b1, nesterov=True, coupled=extra)
                yield Rule("average", b1, coupled=extra)
        for b1, b2 in itertools.product(firsts, seconds):
            yield Rule("average", b1, gain="sign", b2=b2, coupled=extra)
        for small in eps:
            yield Rule(gain="sum of squares", eps=small, coupled=extra)
        for b1, b2, small in itertools.product(firsts, seconds, eps):
            memory = "average" if b1 else "none"
            for clock in ("runs", "none", "stands still"):
                yield Rule(memory, b1, gain="mean square", b2=b2, eps=small, clock=clock, coupled=extra)
            if b1:
                for after in (False, True):
                    yield Rule("sum", b1, gain="mean square", b2=b2, eps=small, coupled=extra, after=after)


def _only(value: float | None, others: tuple[float, ...]) -> tuple[float, ...]:
    return others if value is None else (value,)


def _names_decays(recording: Recording) -> bool:
    return bool({"betas.0", "momentum"} & set(recording.setting_names))


def _refined(data: Stretch, rule: Rule, fit: _Fit) -> tuple[Rule, _Fit]:
    """Decays between those that were tried."""
    from scipy.optimize import minimize

    if rule.memory == "none" and rule.gain == "none":
        return rule, fit
    logit = lambda p: np.log(p / (1 - p))
    decays = lambda z: 1 / (1 + np.exp(-z))

    def at(z: Any) -> Rule:
        b1, b2 = decays(np.clip(z, -12, 12)).tolist()
        return dataclasses.replace(rule, b1=b1 if rule.b1 else 0.0, b2=b2 if rule.b2 else 0.0)

    start = logit(np.clip([rule.b1, rule.b2], 0.01, 0.9999))
    found = minimize(
        lambda z: _fit(data, at(z)).left, start, method="Nelder-Mead", options={"maxfev": 80, "xatol": 1e-4}
    )
    better = _fit(data, at(found.x))
    return (at(found.x), better) if better.left < fit.left else (rule, fit)


def _find_reset(data: Stretch, rule: Rule, fit: _Fit, left: float, borders: np.ndarray) -> tuple[int, _Fit | None]:
    """The step before which the memory was lost, where forgetting it there explains most of what is left."""
    if rule.memory == "none" and rule.gain == "none":
        return 0, None
    order = sorted(range(1, len(data.steps)), key=lambda k: -fit.of_steps[k] + fit.of_steps[k - 1])[:8]
    tried = [(k, _fit(data, rule, (k,))) for k in dict.fromkeys([*borders.tolist(), *order])]
    best, found = min(tried, key=lambda one: one[1].left)
    return (best, found) if found.left < _BETTER**2 * left else (0, None)


def state_after(recording: Recording, row: int) -> State:
    """Return memory, mean square and counter of all components after a kept step, as far as they were recorded."""
    size = recording.states.shape[1]
    find = lambda names: next(
        (
            np.nan_to_num(recording.states[row, :, recording.state_names.index(n)])
            for n in names
            if n in recording.state_names
        ),
        np.zeros(size),
    )
    clocks = recording.clocks[recording.kept_rows[row]]
    known = clocks[np.isfinite(clocks)]
    clock = float(known[0]) if len(known) else float(recording.kept_steps[row] + 1)
    return find(_MEMORIES), find(_SQUARES), clock
