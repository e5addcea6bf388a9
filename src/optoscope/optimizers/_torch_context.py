"""One component of a whole torch optimizer among others: its numbers are those that a change of its gradient changes."""

import threading
from typing import Any, NamedTuple

import numpy as np

from optoscope.optimizers._leaks import LEAK_TOLERANCE, PROBE_SCALES, worst_leak
from optoscope.optimizers._memory import Path, name_of
from optoscope.optimizers._torch_rule import ClockKind, Skeleton, differences
from optoscope.optimizers.context import Context
from optoscope.optimizers.torch_host import CannotRun, Live, find_door

#: Own numbers at most: what one component moves must be something that can be looked at.
_MOST = 160
_NUM_STEPS = 40
_CHECKED_STEPS = 64
_TOLERANCE = {"float64": LEAK_TOLERANCE, "float32": 1e-3}
_MOMENTS = (*range(1, 41), 64, 100, 199, 200, 201)


class Number(NamedTuple):
    """One number of the optimizer's memory: where it lies, and its place in the tensor there (None: no tensor)."""

    path: Path
    index: int | None

    @property
    def name(self) -> str:
        """A short name."""
        owner = next((key for kind, key in reversed(self.path[:-1]) if kind == "item" and isinstance(key, int)), None)
        place = "" if self.index is None else f"[{self.index}]"
        return f"{name_of(self.path)}{place}" + ("" if owner is None else f" of {owner}")


class TorchContextRule:
    """Steps packed states of one component of a whole optimizer, one after the other.

    What a change of its gradient changes is its state, shared numbers (a norm's average) included; everything else is
    what it was in a run of the context, and is put back before each step.

    Attributes:
        factory: makes the optimizer.
        door: how it is made and stepped.
        context: the others.
        own: the component's numbers.
        carries_parameter: whether the parameter is part of the state.
        clock: what the number of steps does.
    """

    forward_mode = None

    def __init__(self, factory: Any, door: Any, context: Context, own: list[Number], *, carries_parameter: bool):
        self.factory, self.door, self.context, self.own = factory, door, context, own
        self.carries_parameter = carries_parameter
        self.clock: ClockKind = "step"
        self._lock = threading.Lock()
        self._skeleton = _skeleton(factory, door, context, hold=not carries_parameter)

    def __repr__(self) -> str:
        return f"{self.factory!r}, one component {self.context.describe()}"

    @property
    def own_names(self) -> list[str]:
        """The name of each column but the clock's."""
        return [*(number.name for number in self.own), *["parameter"] * self.carries_parameter]

    @property
    def num_own(self) -> int:
        """Columns of a packed row before the clock and the gradient."""
        return len(self.own) + self.carries_parameter

    @property
    def num_clocks(self) -> int:
        """Columns of the clock: none or one."""
        return int(self.clock != "none")

    def initial_row(self) -> np.ndarray:
        """The packed state before the first gradient, clock included."""
        self._skeleton.set_to(0)
        values = [_number(self._skeleton.live, number) for number in self.own]
        return np.array([*values, *[0.0] * self.carries_parameter, *[0.0] * self.num_clocks])

    def advance(self, rows: np.ndarray, frozen: tuple[float, ...] | None = None) -> np.ndarray:
        """Advance rows [row, state + 1], whose last column is the gradient; the last column returned is `dx`."""
        out = np.empty_like(rows)
        with self._lock:
            for i, row in enumerate(rows):
                if frozen is not None or not self.num_clocks:
                    steps = int(frozen[0]) if frozen else 1
                else:
                    steps = int(max(round(float(row[self.num_own])), 0))
                own, dx = self._step(row[: self.num_own], steps, float(row[-1]))
                out[i, : self.num_own] = own
                if frozen is None and self.num_clocks:
                    out[i, self.num_own] = 1.0 if self.clock == "started" else steps + 1.0
                out[i, -1] = dx
        return out

    def linearize(self, rows: np.ndarray, frozen: tuple[float, ...] | None = None) -> np.ndarray:
        """Return the derivatives [row, out, in] of `advance` by central differences; clocks are constants."""
        rows = np.asarray(rows, np.float64)
        moving = [*range(self.num_own), rows.shape[1] - 1]
        return differences(lambda moved: self.advance(moved, frozen), rows, moving)

    def clock_after(self, num_steps: int) -> tuple[float, ...]:
        """Return the clock after so many steps, for `frozen`."""
        if self.clock == "none":
            return ()
        self._skeleton.jump(num_steps, {number.path for number in self.own}, most=2000)
        return (float(min(num_steps, 1) if self.clock == "started" else num_steps),)

    def _step(self, values, steps, g):
        if steps not in self._skeleton.images and steps > self._skeleton.taken + 4000:
            self._skeleton.jump(steps, {number.path for number in self.own}, most=2000)
        steps = min(steps, 1) if self.clock == "started" else steps
        live = self._skeleton.set_to(steps)
        for number, value in zip(self.own, values):
            _set_number(live, number, value)
        x = live.tensors[0].data
        before = float(values[-1]) if self.carries_parameter else 0.0
        x[0, 0] = before
        before = float(x[0, 0])
        dx = live.step(self.context.gradient(steps, g))[0][0, 0]
        own = [_number(live, number) for number in self.own]
        return [*own, *[before + dx] * self.carries_parameter], dx


def find_context_rule(factory: Any, context: Context) -> TorchContextRule:
    """Take one component of a whole torch optimizer out of it, with the others under a stationary stimulus.

    Raises:
        CannotRun: if the optimizer cannot be made or stepped on these shapes; the message says what it asks for.
        ValueError: if one gradient changes more numbers than can be looked at, or the component's updates are not
            those of the whole optimizer on fresh gradients.
    """
    door = find_door(factory, context.shapes)
    copies = _numbers_moved_by(factory, door, context, parameter=True)
    carries = bool(copies)
    own = _numbers_moved_by(factory, door, context, hold=not carries)
    if len(own) > _MOST:
        raise CannotRun(
            f"one gradient among {context.others} others changes {len(own)} numbers of its memory, more than {_MOST}; "
            "give a smaller context"
        )
    rule = TorchContextRule(factory, door, context, own, carries_parameter=carries)
    sequences, labels = _sequences()
    expected = _real(rule, sequences)
    for rule.clock in ("none", "started", "step"):
        leak, where = worst_leak(_updates(rule, sequences[:4]), expected[:4], labels[:4])
        if leak <= _TOLERANCE[door.dtype]:
            break
    if rule.clock != "step" and _moments_matter(rule):
        rule.clock = "step"
    leak, where = worst_leak(_updates(rule, sequences), expected, labels)
    if leak > _TOLERANCE[door.dtype]:
        raise ValueError(
            f"the component taken out does not do what the whole optimizer does: {where}, their updates differ by a "
            f"relative {leak:.2g}"
        )
    return rule


def _skeleton(factory, door, context, *, hold):
    return Skeleton(factory, door, door.dtype, context.start(), context.gradient, hold=hold)


def _sequences() -> tuple[np.ndarray, list[str]]:
    """Gradients [sequence, step] that played no part in finding the rule."""
    rng = np.random.default_rng(11)
    sequences, labels = [], []
    for scale in (1.0, 1e-2, 30.0, *PROBE_SCALES[-2:]):
        sequences.append(scale * rng.standard_normal(_CHECKED_STEPS))
        labels.append(f"at gradients of scale {scale:g}")
    sequences.append(rng.standard_normal(_CHECKED_STEPS) * (rng.random(_CHECKED_STEPS) < 0.2))
    return np.array(sequences), [*labels, "at gradients that are mostly 0"]


def _real(rule, sequences):
    found = []
    for sequence in sequences:
        live = Live(rule.factory, rule.door, rule.context.start())
        hold = not rule.carries_parameter
        found.append([live.step(rule.context.gradient(t, g), hold=hold)[0][0, 0] for t, g in enumerate(sequence)])
    return np.array(found)


def _updates(rule, sequences):
    rows = np.tile(np.append(rule.initial_row(), 0.0), (len(sequences), 1))
    found = []
    for g in sequences.T:
        rows[:, -1] = g
        rows = rule.advance(rows)
        found.append(rows[:, -1].copy())
    return np.array(found).T


def _moments_matter(rule) -> bool:
    """Whether a state goes on otherwise at another moment: a change that begins late is seen so."""
    rng = np.random.default_rng(12)
    kept, rule.clock = rule.clock, "step"
    try:
        row = np.append(rule.initial_row(), 0.0)[None]
        for t in range(6):
            row[:, -1] = rng.standard_normal()
            row = rule.advance(row)
        row[:, -1] = rng.standard_normal()
        results = []
        for moment in _MOMENTS:
            row[:, rule.num_own] = moment
            results.append(np.delete(rule.advance(row), rule.num_own, axis=1))
        return any(not np.array_equal(result, results[0], equal_nan=True) for result in results)
    finally:
        rule.clock = kept


def _numbers_moved_by(factory, door, context, *, parameter=False, hold=True) -> list[Number]:
    """The numbers that a change of the component's gradient changes; with `parameter`, those that copy its parameter."""
    rng = np.random.default_rng(3)
    own = rng.standard_normal((1 if parameter else 3, _NUM_STEPS))
    runs = []
    for sequence in own if not parameter else (own[0], own[0]):
        start = context.start()
        if parameter:
            start[0][0, 0] = 0.75 if runs else 0.25
        live = Live(factory, door, start)
        history = []
        for t, g in enumerate(sequence[:1] if parameter else sequence):
            live.step(context.gradient(t, g), hold=hold and not parameter)
            history.append({path: _flat(value) for path, value in live.numbers().items()})
        runs.append(history)
    found: dict[Number, None] = {}
    for other in runs[1:]:
        for first, second in zip(runs[0], other):
            for path, value in first.items():
                if path in second and second[path].shape == value.shape:
                    moved = second[path] - value
                    changed = np.abs(moved - 0.5) < 0.1 if parameter else ~(_close(second[path], value))
                    for index in np.flatnonzero(changed):
                        found[Number(path, int(index))] = None
    live_numbers = live.numbers()
    return [
        Number(number.path, number.index if _is_array(live_numbers.get(number.path, 0.0)) else None) for number in found
    ]


def _close(a, b):
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _flat(value) -> np.ndarray:
    if hasattr(value, "detach"):
        return value.detach().double().numpy().reshape(-1).copy()
    return np.asarray(value, np.float64).reshape(-1).copy()


def _is_array(value):
    return hasattr(value, "detach") or isinstance(value, np.ndarray)


def _number(live, number) -> float:
    value = live.read(number.path)
    if value is None:
        return 0.0
    if number.index is None:
        return float(value)
    flat = value.reshape(-1)
    return float(flat[number.index]) if number.index < len(flat) else 0.0


def _set_number(live, number, value) -> None:
    old = live.read(number.path)
    if old is None:
        return
    if number.index is None:
        live.write(number.path, type(old)(value) if not isinstance(old, int) else type(old)(round(float(value))))
    elif number.index < (old.numel() if hasattr(old, "numel") else old.size):
        data = old.data if hasattr(old, "detach") else old
        place = np.unravel_index(number.index, tuple(data.shape))
        whole = hasattr(data, "is_floating_point") and not data.is_floating_point() and not data.is_complex()
        data[tuple(int(i) for i in place)] = round(float(value)) if whole else float(value)
