"""Whether the rule that the first steps show holds to the end of a recording, and what happened where it does not."""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

from optoscope.recordings.identify import Identified, State, Stretch, remembers, state_after
from optoscope.recordings.reading import Recording
from optoscope.recordings.rules import Rule

#: Steps that are compared at once, and the most changes that are told.
_STEPS, _MOST = 128, 4
#: Share of the squared updates that is left over where the rule is another one: this, and so many times what was left
#: where it was found, and what is rounding.
_LEFT, _TIMES = 2e-3, 4.0
#: Consecutive steps that are judged together.
_FEW = 8
#: Places at which a change is looked for.
_PLACES = 8

Change = Literal["memory lost", "counter stands still", "counter lost", "other updates"]


@dataclasses.dataclass(frozen=True)
class Departure:
    """A step from which on a run was not what it was before.

    Attributes:
        step: the first one.
        change: what happened: memory and all were empty again; the counter of the bias corrections does not move any
            more, or began again; or none of these.
        left: share of the squared updates that the rule left there.
    """

    step: int
    change: Change
    left: float


@dataclasses.dataclass(frozen=True)
class Followed:
    """How far a rule was followed.

    Attributes:
        last: the last step that was compared.
        compared: number of steps that were.
        departures: where it was left, at most four.
        steps: those compared after the ones in which the rule was found.
        unexplained: share of the squared updates that is left over of each of them.
    """

    last: int
    compared: int
    departures: tuple[Departure, ...]
    steps: np.ndarray
    unexplained: np.ndarray


def follow(recording: Recording, found: Identified) -> Followed:
    """Compare a rule with all steps after those in which it was found.

    Where steps are missing in between, it goes on from the optimizer's state, if that was recorded; else it ends there.

    Args:
        recording: the run.
        found: its rule.
    """
    head = Stretch(recording)
    resets = tuple(int(np.searchsorted(head.steps, step)) for step in found.resets)
    rule = found.rule
    state: State | None = head.run(rule, resets=resets)[1]
    last, compared, departures = int(head.steps[-1]), len(head.steps), []
    steps, unexplained = [np.zeros(0, int)], [np.zeros(0)]
    allowed = _LEFT + _TIMES * max(1 - found.explained, 0.0)
    for rows in _pieces(recording, int(head.rows[-1]) + 1):
        if recording.kept_steps[rows[0]] != recording.kept_steps[rows[0] - 1] + recording.stride:
            state = None
        if state is None:
            rows, state = _from_recorded(recording, rule, rows, head)
            if state is None or not len(rows):
                continue
        data = head.further(recording, rows, state)
        if not _is_whole(data) or not data.updates.any():
            state = None
            continue
        errors, new = _errors(data, found, rule)
        if _worst(data, errors) > allowed:
            wrong, size = errors
            change, k, rule, errors, new = _explained(recording, data, found, rule, allowed)
            departures.append(Departure(int(data.steps[k]), change, _share((wrong[k:], size[k:]))))
        state, last, compared = new, int(data.steps[-1]), compared + len(rows)
        steps.append(data.steps)
        unexplained.append(errors[0] / np.where(errors[1], errors[1], 1.0))
        if len(departures) == _MOST or (departures and departures[-1].change == "other updates"):
            break
    return Followed(last, compared, tuple(departures), np.concatenate(steps), np.concatenate(unexplained))


def _pieces(recording: Recording, first: int) -> Iterator[np.ndarray]:
    for window in recording.windows():
        for start in range(max(window.start, first), window.stop, _STEPS):
            yield np.arange(start, min(start + _STEPS, window.stop))


def _from_recorded(
    recording: Recording, rule: Rule, rows: np.ndarray, head: Stretch
) -> tuple[np.ndarray, State | None]:
    """The steps after the first whose state was recorded, and that state."""
    known = np.flatnonzero(np.isfinite(recording.states[rows]).any((1, 2)))
    if not len(known) or not remembers(recording, rule):
        return rows, None
    m, v, t = state_after(recording, int(rows[known[0]]))
    return rows[known[0] + 1 :], (m[head.there], v[head.there], t)


def _is_whole(data: Stretch) -> bool:
    return all(bool(np.isfinite(part).all()) for part in (data.gradients, data.x, data.updates))


def _errors(
    data: Stretch,
    found: Identified,
    rule: Rule,
    resets: tuple[int, ...] = (),
    then: tuple[int, Rule, bool] | None = None,
) -> tuple[tuple[np.ndarray, np.ndarray], State]:
    """Squares of what is left and of the updates, by step, and what is remembered after the last.

    Args:
        data: the steps.
        found: its rates and decays are taken.
        rule: the rule.
        resets: steps before which all is forgotten.
        then: a step, the rule from there on, and whether its counter begins again there.
    """
    directions, state = data.run(rule, resets=resets)
    if then is not None:
        k, other, begins = then
        before = data.run(rule)[0][:k]
        half = rule.run(data.gradients[:k], data.x[:k], start=data.start, decays=_part(data.decays, slice(None, k)))[1]
        half = (half[0], half[1], 0.0 if begins else half[2])
        after, state = other.run(
            data.gradients[k:], data.x[k:], start=half, decays=_part(data.decays, slice(k, None))
        )  # fmt: skip
        directions = np.nan_to_num(np.concatenate([before, after]))
    rates, decays = (np.nan_to_num(part)[data.groups] for part in (found.rates, found.decays))
    along = -data.rates * (rates * directions + decays * data.x)
    if not data.has_rates:
        along /= np.where(rates, rates, 1.0)
        each = np.sum(data.updates * along, 1) / np.maximum(np.sum(along * along, 1), 1e-300)
        along = along * each[:, None]
    return (np.sum((data.updates - along) ** 2, 1), np.sum(data.updates**2, 1)), state


def _part(values: np.ndarray | None, which: slice) -> np.ndarray | None:
    return None if values is None else values[which]


def _worst(data: Stretch, errors: tuple[np.ndarray, np.ndarray]) -> float:
    """The largest share that is left over of some consecutive steps, beside what rounding of the parameters makes."""
    rounding = _TIMES * np.sum((np.abs(data.x) * 2.0**-24) ** 2, 1) / 3
    few = min(_FEW, len(rounding))
    wrong, size, rounded = (np.convolve(part, np.ones(few), "valid") for part in (*errors, rounding))
    return float(np.max((wrong - rounded) / np.maximum(size, 1e-300)))


def _share(errors: tuple[np.ndarray, np.ndarray]) -> float:
    return float(np.sum(errors[0]) / max(np.sum(errors[1]), 1e-300))


def _explained(recording: Recording, data: Stretch, found: Identified, rule: Rule, allowed: float):
    """What happened in these steps, where, the rule after that, what it leaves, and what it remembers."""
    (wrong, size), state = _errors(data, found, rule)
    shares = wrong / np.where(size, size, 1.0)
    first = int(np.argmax(shares > allowed))
    borders = np.flatnonzero(np.diff(recording.sessions[recording.kept_rows[data.rows]])) + 1
    jumps = np.argsort(-np.diff(shares, prepend=0.0))[:_PLACES]
    places = list(dict.fromkeys([*borders.tolist(), first, *jumps.tolist()]))
    made: list[tuple[Change, int, Rule, tuple[np.ndarray, np.ndarray], State]] = []
    for k in places:
        made.append(("memory lost", k, rule, *_errors(data, found, rule, (k,))))
        if rule.clock == "runs":
            still = dataclasses.replace(rule, clock="stands still")
            made.append(("counter stands still", k, still, *_errors(data, found, rule, then=(k, still, True))))
            made.append(("counter lost", k, rule, *_errors(data, found, rule, then=(k, rule, True))))
    best = min(made, key=lambda one: _worst(data, one[3]))
    if _worst(data, best[3]) <= allowed:
        return best
    return "other updates", first, rule, (wrong, size), state
