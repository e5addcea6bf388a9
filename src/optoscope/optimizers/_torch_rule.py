"""A torch optimizer run as a pure function of packed states: where its state lies, one step, and its derivatives."""

import contextlib
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

#: Used for derivatives where torch's forward mode does not get through an optimizer: central differences of 4th order.
_DIFFERENCE, _FLOOR = 1e-3, 1e-3
#: So many steps are run at either end when a clock is set forward.
_WINDOW = 64
_WEIGHTS = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))


#: Settings of torch's optimizers that choose an implementation, and the one that forward mode gets through.
_PLAIN = {"differentiable": True, "fused": False, "foreach": False}


class Variable(NamedTuple):
    """One entry of an optimizer's state: of each component, or one that all components share.

    Attributes:
        name: its key.
        place: "state" (`optimizer.state[parameter]`) or "group" (`optimizer.param_groups[0]`).
        shared: whether all components share it.
        shape: what follows the component axis; empty if shared.
        kind: the dtype of a tensor (None: that of the parameters), or the type of a Python number.
        fill: its value where it is left out of the state.
    """

    name: str
    place: str
    shared: bool
    shape: tuple[int, ...]
    kind: Any
    fill: float

    @property
    def width(self) -> int:
        """Number of columns that it takes in a packed state."""
        return int(np.prod(self.shape, dtype=int))


class TorchRule:
    """Steps packed states with the optimizer that `factory` makes; what its state is, the probes have found.

    A packed row is: the component's own variables, then the shared ones ("clocks"), then whether the optimizer has
    started, if its first step is a special one. Nothing here knows any optimizer by name.
    """

    def __init__(self, factory: Callable[[list], Any], variables: list[Variable], constants: dict[str, Any]):
        self.factory = factory
        self.variables = variables
        self.constants = constants
        self.left_out: frozenset[Variable] = frozenset()
        self.has_start_flag = False
        self.forward_mode: str | None = None
        self.initial_values: dict[Variable, Any] = {}
        self._lock = threading.Lock()
        self._made: dict[Any, tuple[Any, Any]] = {}

    def __repr__(self) -> str:
        try:
            import torch

            optimizer = self.factory([torch.zeros(1)])
            settings = {k: v for k, v in optimizer.param_groups[0].items() if k != "params" and v not in (None, False)}
            return f"{type(optimizer).__name__}({', '.join(f'{k}={v}' for k, v in settings.items())})"
        except Exception:
            return f"TorchRule({self.factory!r})"

    @property
    def own(self) -> list[Variable]:
        """The variables of a component by itself."""
        return [v for v in self.variables if not v.shared and v not in self.left_out]

    @property
    def clocks(self) -> list[Variable]:
        """The variables that all components share."""
        return [v for v in self.variables if v.shared and v not in self.left_out]

    @property
    def num_own(self) -> int:
        return sum(v.width for v in self.own)

    @property
    def num_clocks(self) -> int:
        return len(self.clocks) + self.has_start_flag

    def initial_row(self) -> np.ndarray:
        """The packed state before the first gradient, clocks included."""
        parts = [np.broadcast_to(self.initial_values.get(v, 0.0), (v.width,)) for v in [*self.own, *self.clocks]]
        return np.concatenate([np.zeros(0), *parts, np.zeros(int(self.has_start_flag))])

    def advance(self, rows: np.ndarray, frozen: tuple[float, ...] | None = None) -> np.ndarray:
        """Advance rows [component, state + 1], whose last column is the gradient; the last column returned is `dx`.

        Args:
            rows: float32 or float64.
            frozen: the values of the clocks, which are then not in the rows.
        """
        out = np.empty_like(rows)
        for chosen, clocks in self._by_clocks(rows, frozen):
            part = rows[chosen]
            own, g = self._tensors(part[:, : self.num_own]), _tensor(part[:, -1])
            with self._lock:
                new, new_clocks, dx = self._step(own, clocks, g)
                columns = [value.reshape(len(part), -1).to(g.dtype) for value in new]
            result = np.empty_like(part)
            start = 0
            for column in columns:
                result[:, start : start + column.shape[1]] = column.detach().numpy()
                start += column.shape[1]
            if frozen is None:
                result[:, self.num_own : -1] = new_clocks
            result[:, -1] = dx.detach().numpy()
            out[chosen] = result
        return out

    def linearize(self, rows: np.ndarray, frozen: tuple[float, ...] | None = None) -> np.ndarray:
        """Return the derivatives [component, out, in] of `advance`, taken in float64; clocks are constants."""
        rows = np.asarray(rows, np.float64)
        if self.forward_mode is None:
            return self._differences(rows, frozen, floor=_FLOOR)
        derivatives, moving = np.zeros((*rows.shape, rows.shape[1])), self._moving(rows)
        for chosen, clocks in self._by_clocks(rows, frozen):
            derivatives[np.ix_(chosen, moving, moving)] = self._forward_mode(rows[chosen][:, moving], clocks)
        return derivatives

    def _moving(self, rows):
        """Every column but those of the clocks."""
        return [*range(self.num_own), rows.shape[1] - 1]

    def _differences(self, rows, frozen, *, floor):
        derivatives, moving = np.zeros((*rows.shape, rows.shape[1])), self._moving(rows)
        for column in moving:
            width = _DIFFERENCE * np.maximum(np.abs(rows[:, column]), floor)
            for offset, weight in _WEIGHTS:
                moved = rows.copy()
                moved[:, column] += offset * width
                difference = weight * self.advance(moved, frozen) / width[:, None]
                derivatives[:, moving, column] += difference[:, moving]
        return derivatives

    def clock_after(self, num_steps: int) -> tuple[float, ...]:
        """Return the clocks after so many steps without gradients.

        Clocks that count, beside others that have come to rest, are set forward; the last steps are run, and all steps
        if that shows anything else.
        """
        row, clocks, done = np.append(self.initial_row(), 0.0)[None], slice(self.num_own, -1), 0
        while done < num_steps:
            some = min(_WINDOW, num_steps - done)
            before, row = row, self._coast(row, some)
            done += some
            rates = (row - before)[0, clocks] / some
            left = num_steps - done
            if left > _WINDOW and np.isin(rates, (0.0, 1.0)).all():
                ahead = row.copy()
                ahead[0, clocks] += rates * (left - _WINDOW)
                end = self._coast(ahead, _WINDOW)
                if np.array_equal(end[0, clocks], row[0, clocks] + rates * left):
                    return tuple(end[0, clocks].tolist())
        return tuple(row[0, clocks].tolist())

    def _coast(self, row, num_steps):
        for _ in range(num_steps):
            row = self.advance(row)
            row[:, -1] = 0.0
        return row

    def _forward_mode(self, values, clocks):
        """Derivatives [component, out, in] by dual numbers: one step of as many copies as there are directions."""
        import torch
        from torch.autograd import forward_ad

        num, size = values.shape
        copies = np.repeat(values, size, axis=0)
        directions = np.tile(np.eye(size), (num, 1))
        with self._lock, forward_ad.dual_level():
            duals = [
                forward_ad.make_dual(value, direction.to(value.dtype)) if value.is_floating_point() else value
                for value, direction in zip(self._tensors(copies[:, :-1]), self._tensors(directions[:, :-1]))
            ]
            g = forward_ad.make_dual(_tensor(copies[:, -1]), _tensor(directions[:, -1]))
            new, _, dx = self._step(duals, clocks, g, differentiate=True)
            columns = []
            for value in [*new, dx]:
                value, tangent = forward_ad.unpack_dual(value)
                tangent = torch.zeros_like(value) if tangent is None else tangent
                columns.append(tangent.reshape(len(copies), -1).to(torch.float64).detach().numpy())
        return np.concatenate(columns, axis=1).reshape(num, size, size).transpose(0, 2, 1)

    def _by_clocks(self, rows, frozen):
        """The rows that can be stepped together, and their clocks."""
        if not len(rows):
            return
        if frozen is not None:
            yield np.arange(len(rows)), np.array(frozen)
            return
        clocks = rows[:, self.num_own : -1]
        if np.array_equal(clocks, np.broadcast_to(clocks[:1], clocks.shape), equal_nan=True):
            yield np.arange(len(rows)), clocks[0]
            return
        distinct, members = np.unique(clocks, axis=0, return_inverse=True)
        for i, values in enumerate(distinct):
            yield np.flatnonzero(members.reshape(-1) == i), values

    def _tensors(self, values):
        """One tensor for each own variable from columns."""
        tensors, start = [], 0
        for v in self.own:
            tensor = _tensor(values[:, start : start + v.width].reshape(len(values), *v.shape))
            if v.kind is not None:
                tensor = (tensor if v.kind.is_floating_point else tensor.round()).to(v.kind)
            tensors.append(tensor)
            start += v.width
        return tensors

    def _optimizer(self, dtype):
        import torch

        if dtype not in self._made:
            x = torch.zeros(1, dtype=dtype)
            self._made[dtype] = x, self.factory([x])
        return self._made[dtype]

    def _step(self, own, clocks, g, *, differentiate=False):
        """One step of plain tensors at parameters that are zero, so that they end as the update to the last bit."""
        import torch

        x, optimizer = self._optimizer(g.dtype)
        x.data = torch.zeros(g.shape, dtype=g.dtype)
        x.grad = g
        group = optimizer.param_groups[0]
        optimizer.state.clear()
        state = dict(self.constants)
        values = iter(own)
        for v in self.variables:
            if v.shared:
                continue
            kind = v.kind or g.dtype
            state[v.name] = torch.full((len(g), *v.shape), v.fill, dtype=kind) if v in self.left_out else next(values)
        values = iter(clocks)
        for v in self.variables:
            if v.shared:
                value = v.fill if v in self.left_out else next(values)
                (group if v.place == "group" else state)[v.name] = _shared(v, value, differentiate)
        if not self.has_start_flag or next(values) > 0.5:
            optimizer.state[x] = state
        plain = _PLAIN if differentiate and self.forward_mode == "plain" else {}
        before = {name: group[name] for name in plain if name in group}
        group.update({name: plain[name] for name in before})
        try:
            optimizer.step()
        finally:
            x.grad = None
            group.update(before)
        state = optimizer.state[x]
        new_clocks = [float((group if v.place == "group" else state)[v.name]) for v in self.clocks]
        return [state[v.name] for v in self.own], [*new_clocks, *[1.0] * self.has_start_flag], x

    def choose_derivatives(self, rows: np.ndarray) -> None:
        """Take torch's forward mode if it agrees with differences at these rows, else differences for good.

        An optimizer that works on `.data` or `.detach()` loses its derivatives without an error.
        """
        wide, narrow = (self._differences(rows, None, floor=floor) for floor in (_FLOOR, 1e-9))
        certain = np.isclose(wide, narrow, rtol=1e-3, atol=1e-7)  # neither rounding nor a jump nearby
        for mode in ("as it is", "plain"):
            self.forward_mode = mode
            with warnings.catch_warnings(), contextlib.suppress(Exception):
                warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, when forward mode is first used
                found = self.linearize(rows)
                if np.isclose(found, wide, rtol=2e-3, atol=1e-7)[certain].mean() > 0.99:  # kinks may spoil a few
                    return
        self.forward_mode = None


def _tensor(array):
    import torch

    return torch.from_numpy(np.array(array, order="C"))


def _shared(variable, value, differentiate):
    import torch

    kind = variable.kind
    if isinstance(kind, torch.dtype):
        exact = torch.float64 if differentiate and kind.is_floating_point else kind
        return torch.tensor(float(value), dtype=torch.float64).to(exact)
    return kind(round(float(value)) if kind is not float else value)
