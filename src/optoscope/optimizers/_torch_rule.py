"""The rule of one component inside a torch optimizer, as a function of packed states: one step, and its derivatives."""

import contextlib
import math
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from optoscope.optimizers._image import Image, Path
from optoscope.optimizers.torch_host import Door, Live

#: Used for derivatives where torch's forward mode does not get through an optimizer: central differences of 4th order.
_DIFFERENCE, _FLOOR = 1e-3, 1e-3
_WEIGHTS = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))
#: So many steps are really run before and after a clock is set forward.
_WINDOW = 64
#: Settings of torch's optimizers that choose an implementation, and the one that forward mode gets through.
_PLAIN = {"differentiable": True, "fused": False, "foreach": False}

#: What the steps taken so far do to a component's rule: nothing, something at the first step alone, or at any step.
ClockKind = Literal["none", "started", "step"]


class Variable(NamedTuple):
    """One entry of the optimizer's memory that has a row for each component.

    Attributes:
        name: short, for people.
        path: where it lies.
        shape: what follows the component axis.
        kind: the dtype of the tensor; None for that of the parameters.
    """

    name: str
    path: Path
    shape: tuple[int, ...]
    kind: Any

    @property
    def width(self) -> int:
        """Number of columns that it takes in a packed state."""
        return math.prod(self.shape)


class Skeleton:
    """All that an optimizer remembers beside one component's own variables, after any number of steps.

    It is run once, and an image is kept of every step.

    Args:
        factory: makes the optimizer.
        door: how it is made and stepped.
        dtype: of the parameters.
        start: the parameters; one of a single component if None.
        gradient: the gradients at each step; ones if None.
        hold: whether parameters are put back after each step.
    """

    def __init__(
        self, factory: Any, door: Door, dtype: str, start: Any = None, gradient: Any = None, hold: bool = True
    ):
        door = Door(door.form, door.mode, dtype, door.draws)
        self.live = Live(factory, door, [np.zeros(1)] if start is None else start)
        self.gradient, self.hold = gradient or (lambda step: [np.ones(1)]), hold
        self.images: dict[int, Image] = {0: self.live.image()}
        self.taken = 0

    def set_to(self, num_steps: int) -> Live:
        """Return the optimizer as it is after so many steps."""
        while self.taken < num_steps and num_steps not in self.images:
            self.images[self.taken].put_back()
            self.live.step(self.gradient(self.taken), hold=self.hold)
            self.taken += 1
            self.images[self.taken] = self.live.image()
        self.images[num_steps].put_back()
        return self.live

    def jump(self, num_steps: int, own: set[Path], *, most: int | None = None) -> None:
        """Make the image after very many steps, by setting forward what counts.

        All steps are run if anything else changes; with `most`, so many are, and the rest is taken to have settled.
        """
        run = min(num_steps, most or 2 * _WINDOW)
        before, after = ({k: _value(v) for k, v in self.set_to(run - back).numbers().items()} for back in (_WINDOW, 0))
        if run == num_steps:
            return
        counted = {}
        for path, value in after.items():
            if path in own or np.array_equal(
                value, np.asarray(before.get(path, np.nan)), equal_nan=value.dtype.kind == "f"
            ):
                continue
            rate = (np.asarray(value, float) - np.asarray(before.get(path, np.nan), float)) / _WINDOW
            if np.isin(rate, (0.0, 1.0)).all():
                counted[path] = rate * (num_steps - run)
            elif most is None:
                self.set_to(num_steps)
                return
        live = self.set_to(run)
        for path, more in counted.items():
            old = live.read(path)
            live.write(path, old + type(old)(more) if not hasattr(old, "dtype") else old + _like(old, more))
        self.images[num_steps] = live.image()


class TorchRule:
    """Steps packed states of many components at once; what the states are, the probes have found.

    A packed row is: the component's own variables, then the parameter if it is part of the state, then the number of
    steps taken, if it matters (or whether any has been). Nothing here knows any optimizer by name.

    Attributes:
        factory: makes the optimizer.
        door: how it is made and stepped.
        variables: the component's own ones.
        clock: what the number of steps does.
        left_out: variables that no update depends on.
        carries_parameter: whether the parameter is part of the state: the optimizer keeps copies of it.
        forward_mode: how torch's forward mode gets through the optimizer: "as it is", "plain"; None if it does not.
        initial_values: of the variables, before the first gradient; 0 where not listed.
    """

    def __init__(self, factory: Any, door: Door, variables: list[Variable], *, carries_parameter: bool = False):
        self.factory, self.door, self.variables = factory, door, variables
        self.carries_parameter = carries_parameter
        self.clock: ClockKind = "none"
        self.left_out: frozenset[Variable] = frozenset()
        self.forward_mode: str | None = None
        self.initial_values: dict[Variable, Any] = {}
        self._lock = threading.Lock()
        self._skeletons: dict[str, Skeleton] = {}

    def __repr__(self) -> str:
        return repr(self.factory)

    @property
    def own(self) -> list[Variable]:
        """The variables of a component by itself."""
        return [v for v in self.variables if v not in self.left_out]

    @property
    def own_names(self) -> list[str]:
        """The name of each column but the clock's."""
        names = [v.name if v.width == 1 else f"{v.name}[{i}]" for v in self.own for i in range(v.width)]
        return [*names, *["parameter"] * self.carries_parameter]

    @property
    def num_own(self) -> int:
        """Columns of a packed row before the clock and the gradient."""
        return sum(v.width for v in self.own) + self.carries_parameter

    @property
    def num_clocks(self) -> int:
        """Columns of the clock: none or one."""
        return int(self.clock != "none")

    def initial_row(self) -> np.ndarray:
        """The packed state before the first gradient, clock included."""
        parts = [np.broadcast_to(self.initial_values.get(v, 0.0), (v.width,)) for v in self.own]
        return np.concatenate([np.zeros(0), *parts, np.zeros(int(self.carries_parameter) + self.num_clocks)])

    def advance(self, rows: np.ndarray, frozen: tuple[float, ...] | None = None) -> np.ndarray:
        """Advance rows [component, state + 1], whose last column is the gradient; the last column returned is `dx`.

        Args:
            rows: float32 or float64.
            frozen: the number of steps taken, which is then not in the rows.
        """
        out = np.empty_like(rows)
        for chosen, steps in self._by_clock(rows, frozen):
            part = rows[chosen]
            with self._lock:
                columns = [
                    value.detach().reshape(len(part), -1).to(_dtype(rows)).numpy()
                    for value in self._step(self._tensors(part[:, : self.num_own]), steps, _tensor(part[:, -1]))
                ]
            result = np.empty_like(part)
            result[:, : self.num_own] = np.concatenate([np.empty((len(part), 0), rows.dtype), *columns[:-1]], axis=1)
            if frozen is None and self.num_clocks:
                result[:, self.num_own] = 1.0 if self.clock == "started" else steps + 1.0
            result[:, -1] = columns[-1][:, 0]
            out[chosen] = result
        return out

    def linearize(self, rows: np.ndarray, frozen: tuple[float, ...] | None = None) -> np.ndarray:
        """Return the derivatives [component, out, in] of `advance`, taken in float64; clocks are constants."""
        rows = np.asarray(rows, np.float64)
        moving = [*range(self.num_own), rows.shape[1] - 1]
        if self.forward_mode is None:
            return differences(lambda moved: self.advance(moved, frozen), rows, moving, floor=_FLOOR)
        derivatives = np.zeros((*rows.shape, rows.shape[1]))
        for chosen, steps in self._by_clock(rows, frozen):
            derivatives[np.ix_(chosen, moving, moving)] = self._forward_mode(rows[chosen][:, moving], steps)
        return derivatives

    def clock_after(self, num_steps: int) -> tuple[float, ...]:
        """Return the clock after so many steps, for `frozen`."""
        if self.clock == "none":
            return ()
        for dtype in ("float32", "float64"):
            self._skeleton(dtype).jump(num_steps, {v.path for v in self.variables})
        return (float(min(num_steps, 1) if self.clock == "started" else num_steps),)

    def choose_derivatives(self, rows: np.ndarray) -> None:
        """Take torch's forward mode if it agrees with differences at these rows, else differences for good.

        An optimizer that works on `.data` or `.detach()` loses its derivatives without an error.
        """
        if self.door.dtype == "float32" or self.door.mode != "plain":
            return
        moving = [*range(self.num_own), rows.shape[1] - 1]
        wide, narrow = (differences(self.advance, rows, moving, floor=floor) for floor in (_FLOOR, 1e-9))
        certain = np.isclose(wide, narrow, rtol=1e-3, atol=1e-7)  # neither rounding nor a jump nearby
        for mode in ("as it is", "plain"):
            self.forward_mode = mode
            with warnings.catch_warnings(), contextlib.suppress(Exception):
                warnings.simplefilter("ignore")
                found = self.linearize(rows)
                if np.isclose(found, wide, rtol=2e-3, atol=1e-7)[certain].mean() > 0.98:  # kinks may spoil a few
                    return
        self.forward_mode = None

    def _forward_mode(self, values, steps):
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
            columns = []
            for value in self._step(duals, steps, g, differentiate=True):
                value, tangent = forward_ad.unpack_dual(value)
                tangent = torch.zeros_like(value) if tangent is None else tangent
                columns.append(tangent.reshape(len(copies), -1).to(torch.float64).detach().numpy())
        return np.concatenate(columns, axis=1).reshape(num, size, size).transpose(0, 2, 1)

    def _by_clock(self, rows: np.ndarray, frozen: tuple[float, ...] | None) -> Iterator[tuple[np.ndarray, int]]:
        """The rows that can be stepped together, and the steps that they have taken."""
        if not len(rows):
            return
        if frozen is not None or not self.num_clocks:
            yield np.arange(len(rows)), int(frozen[0]) if frozen else 1
            return
        steps = np.maximum(np.round(rows[:, self.num_own]), 0).astype(int)
        for each in np.unique(steps):
            yield np.flatnonzero(steps == each), int(min(each, 1) if self.clock == "started" else each)

    def _tensors(self, values):
        """One tensor for each own variable from columns."""
        tensors, start = [], 0
        for v in self.own:
            tensor = _tensor(values[:, start : start + v.width].reshape(len(values), *v.shape))
            if v.kind is not None:
                tensor = (tensor if v.kind.is_floating_point else tensor.round()).to(v.kind)
            tensors.append(tensor)
            start += v.width
        return [*tensors, _tensor(values[:, start])] if self.carries_parameter else tensors

    def _skeleton(self, dtype: str) -> Skeleton:
        if dtype not in self._skeletons:
            self._skeletons[dtype] = Skeleton(self.factory, self.door, dtype)
        return self._skeletons[dtype]

    def _step(self, own, steps, g, *, differentiate=False):
        """One step: the own variables, the parameter if it is carried, and at last the update.

        A parameter that is not carried is zero before, so that it ends as the update to the last bit.
        """
        import torch

        dtype = "float32" if self.door.dtype == "float32" or g.dtype == torch.float32 else "float64"
        skeleton = self._skeleton(dtype)
        if steps not in skeleton.images and steps > skeleton.taken + 4 * _WINDOW:
            skeleton.jump(steps, {v.path for v in self.variables})
        live = skeleton.set_to(steps)
        x = live.tensors[0]
        start = own[-1].to(live.dtype) if self.carries_parameter else torch.zeros(g.shape, dtype=live.dtype)
        x.data = start.detach().clone() if not differentiate or not self.carries_parameter else start.clone()
        values = iter(own)
        for v in self.variables:
            left_out = v in self.left_out
            nothing = torch.zeros((len(g), *v.shape), dtype=v.kind or live.dtype) if left_out else None
            live.write(v.path, next(values) if nothing is None else nothing)
        group = getattr(live.stack, "param_groups", [{}])[0]
        plain = _PLAIN if differentiate and self.forward_mode == "plain" else {}
        group.update({name: plain[name] for name in plain if name in group})
        live.step_tensors([g.to(live.dtype)])
        found = [live.read(v.path) for v in self.own]
        found = [torch.zeros(len(g), *v.shape) if value is None else value for v, value in zip(self.own, found)]
        if self.carries_parameter:
            return [*found, x, x - start]
        return [*found, x]


def differences(function, rows: np.ndarray, moving: list[int], *, floor: float = _FLOOR) -> np.ndarray:
    """Derivatives [component, out, in] of a function of rows by central differences of fourth order."""
    derivatives = np.zeros((*rows.shape, rows.shape[1]))
    for column in moving:
        width = _DIFFERENCE * np.maximum(np.abs(rows[:, column]), floor)
        for offset, weight in _WEIGHTS:
            moved = rows.copy()
            moved[:, column] += offset * width
            difference = weight * function(moved) / width[:, None]
            derivatives[:, moving, column] += difference[:, moving]
    return derivatives


def _dtype(rows):
    import torch

    return torch.float32 if rows.dtype == np.float32 else torch.float64


def _tensor(array):
    import torch

    return torch.from_numpy(np.array(array, order="C"))


def _value(value):
    return value.detach().double().numpy().copy() if hasattr(value, "detach") else np.array(value)


def _like(tensor, values):
    import torch

    if isinstance(tensor, torch.Tensor):
        return torch.as_tensor(values).to(tensor.dtype).reshape(tensor.shape)
    return np.asarray(values, tensor.dtype)
