"""What a torch optimizer does to its parameters, measured: what it keeps, what it reads, what it mixes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from optoscope.optimizers._leaks import LEAK_TOLERANCE, PROBE_SCALES, first_line, worst_leak
from optoscope.optimizers._torch_rule import TorchRule, Variable

_SEED = 0
_NUM_STEPS = 8
_SHAPES = ((), (3,), (2, 2))
_SIZE = 8
#: A packed state must give what the optimizer itself gives, up to how a vector and a number are rounded.
_SAME = 1e-9
#: Values at which it is tried whether a shared variable matters.
_COUNTS = (1, 2, 3, 7, 50, 1000, 100_000)


def find_rule(factory: Callable[[list], Any]) -> TorchRule:
    """Find the rule of one component inside a torch optimizer, by running it.

    Raises:
        ValueError: if there is none; the message gives the leak that was measured.
    """
    rng = np.random.default_rng(_SEED)
    scales = np.array([*PROBE_SCALES, 1.0])
    gradients = scales[:, None, None] * rng.standard_normal((len(scales), _NUM_STEPS, _SIZE))
    gradients[-1, _NUM_STEPS // 2, 0] = np.inf  # must not touch the other components
    labels = [*(f"at gradients of scale {scale:g}" for scale in PROBE_SCALES), "where one gradient is infinite"]
    _refuse_what_cannot_be_made(factory, gradients)
    try:
        rule = _layout(factory, gradients[4])
        _refuse_leaks(factory, rule, gradients, labels, rng)
    except Refusal:
        raise
    except Exception as error:
        raise refusal(
            f"it needs more than gradients, or fails on them ({first_line(error)}); values, closures and loss "
            "functions are not part of a component's rule"
        ) from error
    return rule


def _refuse_what_cannot_be_made(factory, gradients):
    import torch

    try:
        factory([torch.zeros(3)])
        return
    except Exception as error:
        reason = first_line(error)
    try:
        together = np.array([_run(factory, np.zeros(4), g[:, :4], [(2, 2)])[0] for g in gradients[4:6]])
        alone = [[_run(factory, np.zeros(1), g[:, i : i + 1], [(1, 1)])[0] for i in range(4)] for g in gradients[4:6]]
    except Exception:
        raise ValueError(f"`factory` fails on parameters ({reason}); check the settings that it gives.") from None
    leak, _ = worst_leak(together, np.array(alone)[..., 0].transpose(0, 2, 1), ["", ""])
    raise refusal(
        f"it cannot be made for a vector of parameters ({reason}), and in a matrix the update of a component differs "
        f"from its update alone by a relative leak of {leak:.2g}"
    )


def _layout(factory, gradients):
    """The variables of the state: those that come in one row for each component, and those that do not."""
    small, large = (_states(factory, gradients[:, :num], (num,)) for num in (3, 5))
    matrix = _states(factory, gradients[:, :6], (2, 3))
    changing = [key for key in small[0] if any(not _equal(step[key], small[0][key]) for step in small[1:])]
    variables, constants = [], {}
    for key, value in small[-1].items():
        place, name = key
        if place == "group" and key not in changing:
            continue
        other = large[-1][key]
        if not _is_tensor(value):
            if _is_number(value) and key in changing:
                variables.append(Variable(name, place, True, (), type(value), float(small[1][key])))
            elif _is_number(value) or value is None or isinstance(value, str):
                constants[name] = value
            else:
                raise refusal(f"its state keeps {name!r} as a {type(value).__name__}, not one row for each component")
            continue
        if value.shape[:1] == (3,) and other.shape == (5, *value.shape[1:]):
            kind = None if str(value.dtype) == "torch.float64" else value.dtype
            variables.append(Variable(name, place, False, tuple(value.shape[1:]), kind, 0.0))
        elif value.numel() == other.numel() == 1:
            variables.append(Variable(name, place, True, (), value.dtype, float(small[1][key])))
        else:
            raise refusal(
                f"its state for 3 components has {name!r} of shape {tuple(value.shape)}, not one row for each"
            )
    width = sum(v.width for v in variables if not v.shared and v.place == "state")
    tensors = [value for (place, _), value in matrix[-1].items() if place == "state" and _is_tensor(value)]
    kept = sum(value.numel() for value in tensors if value.numel() > 1)
    if kept != 6 * width:
        raise refusal(
            f"for a matrix of shape (2, 3) it keeps {kept} state variables, where as many single components have "
            f"{6 * width}: it treats rows and columns as wholes"
        )
    return TorchRule(factory, variables, constants)


def _states(factory, gradients, shape):
    """All entries of the state and of the group, by (place, name), before and after each step."""
    import torch

    x = torch.zeros(shape, dtype=torch.float64)
    optimizer = factory([x])

    def entries():
        others = [key for key in optimizer.state if key is not x]
        if others:
            raise refusal(f"it keeps state that belongs to no parameter, under {others[0]!r}")
        found = {("state", k): _copied(v) for k, v in optimizer.state.get(x, {}).items()}
        group = optimizer.param_groups[0]
        return found | {("group", k): _copied(v) for k, v in group.items() if k != "params" and _is_number(v)}

    history = [entries()]
    for g in gradients:
        x.grad = torch.from_numpy(g.reshape(shape).copy())
        optimizer.step()
        history.append(entries())
    history[0] = {key: history[0].get(key, history[1].get(key)) for key in history[1]}
    if set(history[1]) != set(history[-1]):
        raise refusal(f"its state has other entries after {len(gradients)} steps than after one")
    return history


def _run(factory, start, gradients, shapes):
    """Updates [step, component] at parameters that are put back after each step, and the optimizer with its tensors."""
    import torch

    ends = np.cumsum([int(np.prod(shape, dtype=int)) for shape in shapes])
    split = lambda vector: [
        torch.from_numpy(part.reshape(shape).copy()) for part, shape in zip(np.split(vector, ends[:-1]), shapes)
    ]
    parameters = split(start)
    optimizer = factory(parameters)
    updates = []
    for g in gradients:
        for x, value, part in zip(parameters, split(start), split(g)):
            x.copy_(value)
            x.grad = part
        optimizer.step()
        moved = torch.cat([x.detach().reshape(-1) for x in parameters]).numpy()
        updates.append(moved - start)
    return np.array(updates), optimizer, parameters


def _refuse_leaks(factory, rule, gradients, labels, rng):
    nowhere, somewhere = np.zeros(_SIZE), rng.standard_normal((2, _SIZE))
    together, here, there = (
        np.array([_run(factory, start, g, _SHAPES)[0] for g in gradients]) for start in (nowhere, *somewhere)
    )
    again = np.array([_run(factory, nowhere, g, _SHAPES)[0] for g in gradients[3:6]])
    alone, ends = np.empty_like(together), []
    for i, g in enumerate(gradients):
        for component in range(_SIZE):
            own = slice(component, component + 1)
            alone[i, :, component : component + 1], optimizer, (x,) = _run(factory, nowhere[own], g[:, own], [(1,)])
            if i < len(PROBE_SCALES):
                ends.append(_shared_values(rule, optimizer, x))
    finite = slice(0, len(PROBE_SCALES))
    leak, where = worst_leak(together[3:6], again, labels[3:6])
    if leak > 0:
        raise refusal(f"it draws random numbers: {where}, two runs differ by a relative {leak:.2g}")
    for rows in (finite, slice(None)):  # a leak at finite gradients is the better explanation
        leak, where = worst_leak(here[rows], there[rows], labels, rounding=64 * np.finfo(float).eps)
        if leak > LEAK_TOLERANCE:
            raise refusal(
                f"it reads the parameters: {where}, its updates at two different sets of parameters differ by a "
                f"relative leak of {leak:.2g}. Leave out weight decay, trust ratios and projections"
            )
        leak, where = worst_leak(together[rows], alone[rows], labels)
        if leak > LEAK_TOLERANCE:
            raise refusal(
                f"{where}, the update of a component together with others differs from its update alone by a relative "
                f"leak of {leak:.2g}. Leave out norms over several components"
            )
    ends = np.array(ends).reshape(len(PROBE_SCALES), _SIZE, -1)
    leak, where = worst_leak(ends, np.broadcast_to(ends[0, 0], ends.shape), labels)
    if leak > LEAK_TOLERANCE:
        raise refusal(
            f"a variable that all components share depends on their gradients: {where}, it differs from its value "
            f"without gradients by a relative leak of {leak:.2g}"
        )
    _find_start(rule, gradients[finite], alone[finite])


def _shared_values(rule, optimizer, x):
    places = {"group": optimizer.param_groups[0], "state": optimizer.state[x]}
    return [float(places[v.place][v.name]) for v in rule.variables if v.shared]


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


def _find_start(rule, gradients, expected):
    """Find the state before the first step, and leave out of it what influences no update."""
    import torch

    x = torch.zeros(5, dtype=torch.float64)
    optimizer = rule.factory([x])
    optimizer.state[x] = recorder = _Recorder(optimizer.state.get(x, {}))
    group = dict(optimizer.param_groups[0])
    x.grad = torch.from_numpy(gradients[4, 0, :5].copy())
    optimizer.step()
    for v in rule.variables:
        first = group[v.name] if v.place == "group" else recorder.first.get(v.name, 0.0)
        values = np.asarray(first, np.float64).reshape(-1 if v.shared else (-1, v.width))
        constant = len(values) == 1 or np.all(values == values[:1])  # else it was made from the gradient
        rule.initial_values[v] = values[0] if constant and values.ndim else 0.0

    def hidden(leak, where):
        return refusal(
            f"it keeps something outside of its state and its group: at step {where}, put back into the same state it "
            f"takes another update, by a relative {leak:.2g}"
        )

    leak, where, visited = _deviation(rule, gradients, expected)
    if leak > _SAME:
        rule.has_start_flag = True
        leak, where, visited = _deviation(rule, gradients, expected)
    if leak > _SAME:
        raise hidden(leak, where)
    rule.left_out = _without_influence(rule, visited)
    moderate = gradients[3:6], expected[3:6]
    leak, where, visited = _deviation(rule, *moderate)  # once more: nothing may have remained from before
    if leak > _SAME:
        raise hidden(leak, where)
    rule.choose_derivatives(visited[2:6].reshape(-1, visited.shape[-1]))


def _deviation(rule, gradients, expected):
    """The worst relative error of updates of the packed rule, its step, and the rows [step, row, state + 1]."""
    g, dx = (array.transpose(1, 0, 2).reshape(_NUM_STEPS, -1) for array in (gradients, expected))
    rows = np.tile(np.append(rule.initial_row(), 0.0), (g.shape[1], 1))
    visited, found = [], []
    for k in range(_NUM_STEPS):
        rows[:, -1] = g[k]
        visited.append(rows)
        rows = rule.advance(rows)
        found.append(rows[:, -1].copy())
    leak, where = worst_leak(np.array(found), dx, list(range(1, _NUM_STEPS + 1)))
    return leak, where, np.array(visited)


def _without_influence(rule, visited):
    """The variables that no update depends on, now or later."""
    rows = visited[2:].reshape(-1, visited.shape[-1])
    widths = [v.width for v in [*rule.own, *rule.clocks]]
    starts = dict(zip([*rule.own, *rule.clocks], zip(np.cumsum([0, *widths]), np.cumsum(widths))))
    expected = rule.advance(rows)

    def changes(moved):
        """Which variables, and at last whether the update, come out otherwise."""
        same = (moved == expected) | (np.isnan(moved) & np.isnan(expected))
        return {v for v, (start, stop) in starts.items() if not same[:, start:stop].all()}, not same[:, -1].all()

    influences = {}
    for v, (start, stop) in starts.items():
        tries = []
        column = rows[:, start:stop]
        if v.shared:
            whole = np.all(column == np.round(column))
            tries.extend([np.full_like(column, c) for c in _COUNTS] if whole else [0.5 * column, 2 * column])
        else:
            tries.extend([np.roll(column, shift, axis=0) for shift in (1, 5, 64)])
        influences[v] = set(), False
        for other in tries:
            moved = rows.copy()
            moved[:, start:stop] = other
            seen, update = changes(rule.advance(moved))
            influences[v] = influences[v][0] | (seen - {v}), influences[v][1] or update
    kept = {v for v, (_, update) in influences.items() if update}
    while more := {v for v, (seen, _) in influences.items() if v not in kept and seen & kept}:
        kept |= more
    influenced = set().union(*(seen for seen, _ in influences.values()))
    still = {v for v in kept - influenced if v.shared and np.all(visited[1:, :, slice(*starts[v])] == v.fill)}
    return frozenset(starts) - kept | still


class Refusal(ValueError):
    """An optimizer is not the rule of one component."""


def refusal(reason: str) -> Refusal:
    """The error that gives the reason, as measured."""
    return Refusal(
        "`from_torch` takes only optimizers that treat every component by itself, and this one does not: "
        f"{reason}. torch runs it as it is."
    )


def _is_tensor(value):
    import torch

    return isinstance(value, torch.Tensor)


def _is_number(value):
    return isinstance(value, int | float) or (_is_tensor(value) and value.ndim == 0)


def _copied(value):
    return value.detach().clone() if _is_tensor(value) else value


def _equal(a, b):
    if _is_tensor(a) and _is_tensor(b):
        return a.shape == b.shape and bool((a == b).all())
    return type(a) is type(b) and a == b
