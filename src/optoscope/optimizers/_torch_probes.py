"""What a torch optimizer keeps for each component and what it shares, found by changing one gradient."""

import functools
from typing import Any

import numpy as np

from optoscope.optimizers._agreement import Sequences, fresh_sequences, refuse_disagreement
from optoscope.optimizers._image import Path, name_of
from optoscope.optimizers._leaks import LEAK_TOLERANCE, first_line
from optoscope.optimizers._torch_rule import TorchRule, Variable
from optoscope.optimizers.torch_host import CannotRun, Live, NoOptimizerError, Refusal, find_door, refusal

_SEED = 0
#: Components of the vectors on which the layout of the memory is read off.
_FEW, _MORE = 3, 5
#: Steps of the runs in which one gradient is changed: longer than any accumulation or delay that is looked for.
_NUM_STEPS = 40
#: Steps after which a state is met that may be met at any moment.
_EARLY = 12
#: A packed state must give what the optimizer itself gives, up to how a vector and a number are rounded.
_SAME = {"float64": 1e-9, "float32": 1e-4}
#: Numbers of steps between which it is tried whether they matter.
_MOMENTS = (*range(1, 73), 100, 199, 200, 201, 300, 500, 1000)


def find_rule(factory: Any, *, reads_parameters: bool = False) -> TorchRule:
    """Find the rule of one component inside a torch optimizer, by running it.

    Args:
        factory: makes the optimizer of a list of parameters.
        reads_parameters: whether the rule may read its own parameter, which then stays at 0.

    Raises:
        Refusal: if there is none; the message gives what was measured.
        CannotRun: if the optimizer cannot be made or stepped; the message says what it asks for.
    """
    try:
        rule = _candidate(factory)
        sequences = fresh_sequences(_SEED)
        refuse_disagreement(rule, sequences, reads_parameters=reads_parameters)
        visited = _visited(rule, sequences)[2:6, sequences.moderate]
        rule.choose_derivatives(visited.reshape(-1, visited.shape[-1]))
        return rule
    except (Refusal, CannotRun, NoOptimizerError):
        raise
    except Exception as error:
        raise refusal(f"it fails on gradients ({first_line(error)})") from error


@functools.lru_cache(maxsize=1)  # one that reads its parameter is asked for twice
def _candidate(factory):
    """The rule of a component as it is if there is one, before it is compared with the whole optimizer."""
    door = find_door(factory)
    try:
        Live(factory, door, [np.zeros(_FEW)]).step([np.ones(_FEW)])
    except Exception as error:
        raise refusal(f"it cannot be made for a vector of parameters, or stepped ({first_line(error)})") from error
    sequences = fresh_sequences(_SEED)
    variables = _variables(factory, door)
    copies = _copies_of_the_parameter(factory, door, variables)
    rule = _sorted_out(TorchRule(factory, door, variables, carries_parameter=bool(copies)), sequences)
    if copies and copies <= rule.left_out and _agrees_alone(rule, sequences.firsts()):
        rule = _sorted_out(TorchRule(factory, door, variables), sequences)
    return rule


def _agrees_alone(rule, sequences) -> bool:
    return bool(sequences.leak(sequences.updates_of(rule), sequences.alone(rule))[0] <= LEAK_TOLERANCE)


def _sorted_out(rule, sequences):
    """The rule with its initial values, its clock, and without what influences no update."""
    rule.initial_values = _initial_values(rule)
    _find_clock(rule, sequences.firsts())
    rule.left_out = _without_influence(rule, _visited(rule, sequences))
    return rule


def _variables(factory, door) -> list[Variable]:
    """The arrays that have a row for each component, in the order in which they were made."""
    few, more = (_numbers(factory, door, num) for num in (_FEW, _MORE))
    found = []
    for path, value in few.items():
        other = more.get(path)
        if not hasattr(value, "detach") or other is None or value.shape[:1] != (_FEW,):
            continue
        if tuple(other.shape) == (_MORE, *value.shape[1:]):
            kind = None if str(value.dtype) in (f"torch.{door.dtype}", "torch.float64") else value.dtype
            found.append(Variable(name_of(path), path, tuple(value.shape[1:]), kind))
    return found


def _numbers(factory, door, num) -> dict[Path, Any]:
    rng = np.random.default_rng(_SEED)
    live = Live(factory, door, [np.zeros(num)])
    found = {}
    for _ in range(_NUM_STEPS):
        live.step([rng.standard_normal(num)], hold=True)
        found |= live.numbers()  # some are there only now and then
    return found


def _copies_of_the_parameter(factory, door, variables) -> frozenset[Variable]:
    """The variables that follow the parameter: where the run starts elsewhere, they are elsewhere by as much."""
    ends = []
    for start in (0.25, 0.75):
        live = Live(factory, door, [np.full(_FEW, start)])
        for _ in range(2):  # a decay may make a difference as large in the first
            live.step([np.ones(_FEW)], hold=True)
            ends.append([_copied(live.read(v.path)) for v in variables])
    follows = lambda low, high: np.allclose((high.double() - low.double()).numpy(), 0.5, atol=0.1)
    return frozenset(
        v
        for v, low, low_later, high, high_later in zip(variables, *ends)
        if low is not None and follows(low, high) and follows(low_later, high_later)
    )


class _Recorder(dict):
    """A parameter's state that remembers the first value of each of its entries."""

    def __init__(self, entries):
        super().__init__(entries)
        self.first = {k: _copied(v) for k, v in entries.items()}

    def __setitem__(self, key, value):
        self.first.setdefault(key, _copied(value))
        super().__setitem__(key, value)

    def update(self, *args, **kwargs):
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key, default=None):
        if key not in self:
            self[key] = default
        return self[key]


def _initial_values(rule) -> dict[Variable, np.ndarray]:
    """What each variable holds before the first gradient, where it does not depend on the gradient."""
    live = Live(rule.factory, rule.door, [np.zeros(_FEW)])
    found = {v: _copied(live.read(v.path)) for v in rule.variables}
    stack = getattr(live.stack, "optimizer", live.stack)
    recorder = None
    if isinstance(getattr(stack, "state", None), dict):
        recorder = _Recorder(stack.state.get(live.tensors[0], {}))
        stack.state[live.tensors[0]] = recorder
    live.step([np.array([1.0, -2.0, 3.0])])
    values = {}
    for v in rule.variables:
        value = found[v]
        if value is None and recorder is not None:
            value = recorder.first.get(v.path[-1][1])
        if value is None or not hasattr(value, "detach"):
            continue
        rows = value.detach().double().numpy().reshape(len(value), -1) if value.ndim else np.zeros((0, 0))
        if rows.shape == (_FEW, v.width) and np.all(rows == rows[:1]):
            values[v] = rows[0]
    return values


def _find_clock(rule: TorchRule, sequences: Sequences) -> None:
    """Find out what the steps taken so far do, from the weakest explanation on; the strongest is kept if none holds."""
    dtype = rule.door.dtype
    expected = sequences.alone(rule)
    for rule.clock in ("none", "started", "step"):
        found = sequences.updates_of(rule)
        if rule.clock == "step" or sequences.leak(found, expected)[0] <= _SAME[dtype]:
            break
    if rule.clock == "step" or not _moments_matter(rule, sequences):
        return
    rule.clock = "step"


def _moments_matter(rule, sequences) -> bool:
    """Whether states met at one moment go on otherwise at another one: a change that begins late is seen so."""
    kept, rule.clock = rule.clock, "step"
    try:
        rows = _visited(rule, sequences)[3, sequences.moderate]
        expected = None
        for moment in _MOMENTS:
            rows[:, rule.num_own] = moment
            moved = np.delete(rule.advance(rows), rule.num_own, axis=1)
            if expected is None:
                expected = moved
            elif not np.array_equal(moved, expected, equal_nan=True):
                return True
        return False
    finally:
        rule.clock = kept


def _visited(rule, sequences) -> np.ndarray:
    """Rows [step, sequence, state + 1] along the probes, from the rule itself.

    Where the number of steps matters, what is kept may show itself late: it is followed as long as it was looked for.
    """
    rows = np.tile(np.append(rule.initial_row(), 0.0), (sequences.gradients.shape[0], 1))
    visited = []
    for g in sequences.gradients.T[: _NUM_STEPS if rule.clock == "step" else _EARLY]:
        rows[:, -1] = g
        visited.append(rows.copy())
        rows = rule.advance(rows)
    return np.array(visited)


def _without_influence(rule, visited) -> frozenset[Variable]:
    """The variables that no update depends on, now or later."""
    early, late = visited[2:_EARLY], visited[_EARLY:, ::_EARLY]  # of late moments a few rows are enough
    rows = np.concatenate([part.reshape(-1, visited.shape[-1]) for part in (early, late)])
    widths = [v.width for v in rule.own]
    places = dict(zip(rule.own, zip(np.cumsum([0, *widths]), np.cumsum(widths))))
    expected = rule.advance(rows)
    influences = {}
    for v, (start, stop) in places.items():
        seen, update = set(), False
        for shift in (1, 5, 64):
            moved = rows.copy()
            moved[:, start:stop] = np.roll(rows[:, start:stop], shift, axis=0)
            result = rule.advance(moved)
            same = (result == expected) | (np.isnan(result) & np.isnan(expected))
            seen |= {w for w, (a, b) in places.items() if not same[:, a:b].all()}
            update |= not same[:, -1].all() or (rule.carries_parameter and not same[:, sum(widths)].all())
        influences[v] = seen - {v}, update
    kept = {v for v, (_, update) in influences.items() if update}
    while more := {v for v, (seen, _) in influences.items() if v not in kept and seen & kept}:
        kept |= more
    return frozenset(rule.own) - kept


def _copied(value):
    return value.detach().clone() if hasattr(value, "detach") else value
