"""One component of a whole torch optimizer among others: its numbers are those that its gradient changes."""

import contextlib
import threading
from typing import Any, Literal, NamedTuple

import numpy as np

from optoscope.optimizers._image import Path, name_of
from optoscope.optimizers._leaks import LEAK_TOLERANCE, PROBE_SCALES, worst_leak
from optoscope.optimizers._torch_rule import ClockKind, Skeleton, differences
from optoscope.optimizers._torch_together import step_together
from optoscope.optimizers.context import TRIED_FACTORS, Context, gradients_to_visit, unless_chaotic
from optoscope.optimizers.torch_host import CannotRun, Live, find_door

#: Own numbers at most: what one component moves must be something that can be looked at.
_MOST = 160
_NUM_STEPS = 40
#: Rows from which on stepping them at once is worth it; so many are compared with steps one after another.
_WORTH_IT = 4
_CHECKED_STEPS = 64
_TOLERANCE = {"float64": LEAK_TOLERANCE, "float32": 1e-3}
AtOnce = Literal["first", "all", "nothing"]
_MOMENTS = (*range(1, 41), 64, 100, 199, 200, 201)


class Number(NamedTuple):
    """One number of the optimizer's memory: where it lies, and its place in the tensor there (None: no tensor)."""

    path: Path
    place: int | None

    @property
    def name(self) -> str:
        """A short name."""
        owner = next((key for kind, key in reversed(self.path[:-1]) if kind == "item" and isinstance(key, int)), None)
        place = "" if self.place is None else f"[{self.place}]"
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
        moved: where tensors lie that the component's gradient changes, its own numbers or not.
        at_once: what is made one for each state where many are stepped at once: the "first" tensor alone, "all" of
            them; "nothing" where that does not give the same. None if it was not tried yet.
    """

    forward_mode = None

    def __init__(self, factory: Any, door: Any, context: Context, own: list[Number], *, carries_parameter: bool):
        self.factory, self.door, self.context, self.own = factory, door, context, own
        self.carries_parameter = carries_parameter
        self.clock: ClockKind = "step"
        self.moved = frozenset(number.path for number in own if number.place is not None)
        can = door.mode == "plain" and all(number.place is not None for number in own)
        self.at_once: AtOnce | None = None if can else "nothing"
        self._lock = threading.Lock()
        self._skeleton = Skeleton(factory, door, door.dtype, context.start(), context.gradient)

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
        if frozen is not None or not self.num_clocks:
            moments = np.full(len(rows), int(frozen[0]) if frozen else 1)
        else:
            moments = np.maximum(np.round(rows[:, self.num_own]), 0).astype(int)
        with self._lock:
            for moment in np.unique(moments):
                chosen = np.flatnonzero(moments == moment)
                found = self._steps(rows[chosen, : self.num_own], int(moment), rows[chosen, -1])
                out[chosen, : self.num_own], out[chosen, -1] = found[:, :-1], found[:, -1]
        if frozen is None and self.num_clocks:
            out[:, self.num_own] = 1.0 if self.clock == "started" else moments + 1.0
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

    def keep_what_matters(self) -> None:
        """Leave out the numbers that no update of the component depends on, now or later."""
        row, rows = np.append(self.initial_row(), 0.0)[None], []
        for g in gradients_to_visit():
            row[:, -1] = g
            rows.append(row[0].copy())
            row = self.advance(row)
        rows = np.array(rows[2:])
        expected = self.advance(rows)
        influences = []
        for column in range(len(self.own)):
            moved = rows.copy()
            moved[:, column] *= TRIED_FACTORS
            changed = ~_close(self.advance(moved), expected).all(0)
            influences.append(changed)
        if not influences:
            return
        influences = np.array(influences)
        kept = influences[:, -1] | (influences[:, self.num_own - 1] if self.carries_parameter else False)
        while (more := (influences[:, : len(self.own)] & kept).any(1) & ~kept).any():
            kept |= more
        self.own = [number for number, keep in zip(self.own, kept) if keep]

    def _steps(self, values, steps, g) -> np.ndarray:
        """Own numbers [row, number] one step later, and the update."""
        if len(g) < _WORTH_IT:
            return self._one_by_one(values, steps, g)
        if self.at_once is None:
            self.at_once = self._what_works_at_once(values[:_WORTH_IT], steps, g[:_WORTH_IT])
        if self.at_once != "nothing":
            with contextlib.suppress(Exception):  # vmap does not get through at this moment
                return self._step_together(values, steps, g, self.at_once)
        return self._one_by_one(values, steps, g)

    def _one_by_one(self, values, steps, g):
        return np.array([self._step(*row, steps) for row in zip(values, g)])

    def _what_works_at_once(self, values, steps, g) -> AtOnce:
        expected = self._one_by_one(values, steps, g)
        tried: tuple[AtOnce, ...] = ("first", "all")
        for what in tried:
            with contextlib.suppress(Exception):
                found = self._step_together(values, steps, g, what)
                if worst_leak(found, expected, range(len(g)))[0] <= _TOLERANCE[self.door.dtype]:
                    return what
        return "nothing"

    def _step_together(self, values, steps, g, at_once):
        import torch

        live, steps = self._set_to(steps)
        replaced, paths = {}, self.moved
        if at_once == "all":
            paths = paths | {path for path, x in live.numbers().items() if _is_array_of_floats(x)}
        for path in paths:
            if (old := live.read(path)) is None:
                continue
            if not isinstance(old, torch.Tensor):
                raise TypeError("a number that is no tensor")
            new = old.detach().expand(len(g), *old.shape).clone()
            for column, number in enumerate(self.own):
                if number.path == path and number.place is not None and number.place < old.numel():
                    column_values = torch.tensor(values[:, column])
                    whole = not old.is_floating_point() and not old.is_complex()
                    column_values = (column_values.round() if whole else column_values).to(old.dtype)
                    new.reshape(len(g), -1)[:, number.place] = column_values
            replaced[path] = new
        before = values[:, -1] if self.carries_parameter else np.zeros(len(g))
        read = lambda: [_scalar(live, number) for number in self.own]
        gradients = self.context.gradient(steps)
        own, dx = step_together(live, replaced, before, g, gradients, read, everything=at_once == "all")
        return np.column_stack([own, *[before + dx] * self.carries_parameter, dx])

    def _set_to(self, steps):
        if steps not in self._skeleton.images and steps > self._skeleton.taken + 4000:
            self._skeleton.jump(steps, {number.path for number in self.own}, most=2000)
        steps = min(steps, 1) if self.clock == "started" else steps
        return self._skeleton.set_to(steps), steps

    def _step(self, values, g, steps):
        live, steps = self._set_to(steps)
        for number, value in zip(self.own, values):
            _set_number(live, number, value)
        x = live.tensors[0].data
        before = float(values[-1]) if self.carries_parameter else 0.0
        x[0, 0] = before
        before = float(x[0, 0])
        dx = live.step(self.context.gradient(steps, float(g)), hold=True)[0][0, 0]
        own = [_number(live, number) for number in self.own]
        return [*own, *[before + dx] * self.carries_parameter, dx]


def find_context_rule(factory: Any, context: Context) -> TorchContextRule:
    """Take one component of a whole torch optimizer out of it, with the others under a stationary stimulus.

    Raises:
        CannotRun: if the optimizer cannot be made or stepped on these shapes; the message says what it asks for.
        ValueError: if one gradient changes more numbers than can be looked at, or the component's updates are not
            those of the whole optimizer on fresh gradients.
    """
    door = find_door(factory, context.shapes)
    carries = _copies_its_parameter(factory, door, context)
    own = _numbers_moved_by(factory, door, context, moves=carries)
    if len(own) > _MOST:
        raise CannotRun(
            f"one gradient among {context.others} others changes {len(own)} numbers of its memory, more than {_MOST}; "
            "give a smaller context"
        )
    rule = TorchContextRule(factory, door, context, own, carries_parameter=carries)
    sequences, labels = _sequences()
    expected = _real(rule, sequences)
    for rule.clock in ("none", "started", "step"):
        leak, where = worst_leak(_updates(rule, sequences[:2, :24]), expected[:2, :24], labels[:2])
        if leak <= _TOLERANCE[door.dtype]:
            break
    rule.keep_what_matters()
    if rule.clock != "step" and _moments_matter(rule):
        rule.clock = "step"
    found = _updates(rule, sequences)
    leak, where = worst_leak(found, expected, labels)
    if leak > _TOLERANCE[door.dtype] and rule.at_once != "nothing":  # as where a factorization has no fixed sign
        rule.at_once = "nothing"
        found = _updates(rule, sequences)
        leak, where = worst_leak(found, expected, labels)
    if leak > _TOLERANCE[door.dtype]:
        found = unless_chaotic(found, expected, _real(rule, sequences * (1 + 1e-13)), _TOLERANCE[door.dtype])
        leak, where = worst_leak(found, expected, labels)
    if leak > _TOLERANCE[door.dtype]:
        raise ValueError(
            f"the component taken out does not do what the whole optimizer does: {where}, their updates differ by a "
            f"relative {leak:.2g}"
        )
    return rule


def _run(factory, door, context, sequence, *, moves, start=0.0):
    """The optimizer itself after each step, with the component's update; the others' parameters stay in place."""
    places = context.start()
    places[0][0, 0] = start
    live = Live(factory, door, places)
    for t, g in enumerate(sequence):
        dx = live.step(context.gradient(t, g), hold=True)[0][0, 0]
        if moves:
            live.tensors[0].data[0, 0] += dx
        yield live, dx


def _sequences() -> tuple[np.ndarray, list[str]]:
    """Gradients [sequence, step] that played no part in finding the rule."""
    rng = np.random.default_rng(11)
    sequences, labels = [], []
    for scale in (1.0, 1e-2, 30.0, *PROBE_SCALES[-2:]):
        sequences.append(scale * rng.standard_normal(_CHECKED_STEPS))
        labels.append(f"at gradients of scale {scale:g}")
    sequences.append(rng.uniform(0.5, 1.5, _CHECKED_STEPS))
    sequences.append(rng.standard_normal(_CHECKED_STEPS) * (rng.random(_CHECKED_STEPS) < 0.2))
    return np.array(sequences), [*labels, "at gradients of one sign", "at gradients that are mostly 0"]


def _real(rule, sequences):
    run = lambda g: _run(rule.factory, rule.door, rule.context, g, moves=rule.carries_parameter)
    return np.array([[dx for _, dx in run(sequence)] for sequence in sequences])


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
        for _ in range(6):
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


def _numbers_moved_by(factory, door, context, *, moves: bool) -> list[Number]:
    """The numbers that a change of the component's gradient changes."""
    sequences = np.random.default_rng(3).standard_normal((3, _NUM_STEPS))
    histories = [
        [_flat_numbers(live) for live, _ in _run(factory, door, context, sequence, moves=moves)]
        for sequence in sequences
    ]
    found: dict[Number, None] = {}
    for other in histories[1:]:
        for first, second in zip(histories[0], other):
            for path, (value, is_array) in first.items():
                moved, _ = second.get(path, (value, is_array))
                if moved.shape == value.shape:
                    for index in np.flatnonzero(~_close(moved, value)):
                        found[Number(path, int(index) if is_array else None)] = None
    return list(found)


def _copies_its_parameter(factory, door, context) -> bool:
    """Whether a number follows the parameter: where the run starts elsewhere, it is elsewhere by as much."""
    low, high = (
        [_flat_numbers(live) for live, _ in _run(factory, door, context, [1.0, 1.0], moves=False, start=start)]
        for start in (0.25, 0.75)
    )

    def follows(path, step):
        pair = [run[step][path][0] if path in run[step] else np.zeros(0) for run in (low, high)]
        return np.abs(pair[1] - pair[0] - 0.5) < 0.1 if pair[0].shape == pair[1].shape else np.zeros(len(pair[0]), bool)

    with np.errstate(invalid="ignore"):  # a decay may make a difference as large in the first step
        both = ((follows(path, 0), follows(path, 1)) for path in low[0])
        return any(len(a) == len(b) and bool((a & b).any()) for a, b in both)


def _flat_numbers(live) -> dict[Path, tuple[np.ndarray, bool]]:
    return {
        path: (_flat(value), hasattr(value, "detach") or isinstance(value, np.ndarray))
        for path, value in live.numbers().items()
    }


def _close(a, b):
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _flat(value) -> np.ndarray:
    if hasattr(value, "detach"):
        return value.detach().double().numpy().reshape(-1).copy()
    return np.asarray(value, np.float64).reshape(-1).copy()


def _number(live, number) -> float:
    value = live.read(number.path)
    if value is None:
        return 0.0
    if number.place is None:
        return float(value)
    flat = value.reshape(-1)
    return float(flat[number.place]) if number.place < len(flat) else 0.0


def _is_array_of_floats(value) -> bool:
    return hasattr(value, "detach") and value.ndim > 0 and value.is_floating_point()


def _scalar(live, number):
    import torch

    value = live.read(number.path)
    flat = torch.zeros(1) if value is None else value.reshape(-1)
    return flat[number.place] if number.place < len(flat) else torch.zeros(())


def _set_number(live, number, value) -> None:
    old = live.read(number.path)
    if old is None:
        return
    if number.place is None:
        live.write(number.path, type(old)(value) if not isinstance(old, int) else type(old)(round(float(value))))
    elif number.place < (old.numel() if hasattr(old, "numel") else old.size):
        data = old.data if hasattr(old, "detach") else old
        place = np.unravel_index(number.place, tuple(data.shape))
        whole = hasattr(data, "is_floating_point") and not data.is_floating_point() and not data.is_complex()
        data[tuple(int(i) for i in place)] = round(float(value)) if whole else float(value)
