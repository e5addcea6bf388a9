"""Record a torch training run: one line before the loop, nothing in it."""

import atexit
import os
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, final

import numpy as np

from optoscope._core.allowed import SEED, Allowed, check_setting, settings_of
from optoscope._core.progress import Announce, silent
from optoscope._core.provenance import provenance
from optoscope.recordings._components import choose_components, in_words, role_of
from optoscope.recordings._torch_samples import Sample, dense, norms, numbers, thinned, thinned_scales
from optoscope.recordings._torch_watch import find_around, listen, stop_listening, unwrapped
from optoscope.recordings.files import Writer

#: Steps, counted from the first one seen, before which it is looked for schedulers and scalers.
_LOOK = (0, 1, 8)
#: What the optimizer keeps for each component is kept once in so many recorded steps; the rest follows from it.
_STATES = 16
#: Gradients that differ from one factor times the raw ones by more than this share were not multiplied by one.
_ONE_FACTOR = 1e-3


def record(
    optimizer: Any,
    directory: str | os.PathLike,
    *,
    model: Any = None,
    every: Annotated[int, Allowed(1, 1_000_000)] = 1,
    components: Annotated[int, Allowed(8, 100_000)] = 256,
    seed: Annotated[int, SEED] = 0,
    megabytes: Annotated[float, Allowed(0.01, 1e6)] = 256.0,
    announce: Announce = silent,
) -> "Recorder":
    """Record what a torch optimizer does to a model; the training loop is not changed.

    Of every step it keeps the loss, the numbers in the optimizer's groups, and norms; of a sample of components their
    parameter, their gradient as the backward pass left it and as the optimizer got it, their update, and, every 16
    steps, what the optimizer keeps for them. Norms of parameters and updates of arrays of more than 131,072 components
    are estimated from about 4,096 of those. Files of at most `megabytes` are kept on disk: beyond it, steps in the
    middle lose their components, then every second of those goes. `repr` says what it takes before it starts.

    A directory that holds a recording of the same model is gone on with, as a new session.

    Args:
        optimizer: any `torch.optim.Optimizer`, or what wraps one in `accelerate` or Lightning.
        directory: where to write; made if it is not there.
        model: the module that is trained, for the names of its parameters.
        every: record each step (1), or every so many.
        components: how many of each parameter group's components are sampled.
        seed: of the sample.
        megabytes: largest size on disk, of all processes together.
        announce: told what it will take, before it starts.

    Returns:
        The recorder; it stops with `close`, at the end of a `with` block, or when Python ends.

    Raises:
        TypeError: if it is no torch optimizer, or `model` no module.
        ValueError: if a number is not allowed, the bound is too small, or the directory holds something else.

    >>> import tempfile, torch
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> from optoscope.recordings import read_recording
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     with record(optimizer, directory, model=model):
    ...         model(torch.ones(2, 3)).square().mean().backward()
    ...         optimizer.step()
    ...     read_recording(directory).headline
    'SGD in torch: steps 0 to 0, 1 of them with 4 components of 2 arrays of parameters'
    """
    hints = settings_of(record)
    for name, value in {"every": every, "components": components, "seed": seed, "megabytes": megabytes}.items():
        check_setting(name, value, hints[name])
    recorder = Recorder(
        _checked(optimizer), Path(directory), model, every=every, components=components, seed=seed,
        megabytes=megabytes,
    )  # fmt: skip
    announce(repr(recorder))
    return recorder


@final
class Recorder:
    """A recording at work; `record` makes it.

    Attributes:
        optimizer, directory, every: what is recorded, where, and how often.
        bound, memory: largest number of bytes on disk, of all processes, and what it takes of memory.
    """

    def __init__(
        self, optimizer: Any, directory: Path, model: Any, *, every: int, components: int, seed: int, megabytes: float
    ):

        self.optimizer, self.directory, self.every = optimizer, directory, every
        self._params = [x for group in optimizer.param_groups for x in group["params"]]
        parameters = _described(optimizer, model)
        groups = [one["group"] for one in parameters]
        owners, places = choose_components([x.numel() for x in self._params], groups, components, seed=seed)
        self._sample, self._scales = Sample(self._params, owners, places), thinned_scales(self._params)
        self._about = {
            "framework": "torch",
            "optimizer": type(optimizer).__name__,
            "parameters": parameters,
            "components": {"parameter": owners, "index": places},
            "setting_names": _setting_names(optimizer),
            "state_types": {},
            "provenance": provenance(every=every, components=components, seed=seed, megabytes=megabytes),
        }
        process, world = _process()
        numbers = len(groups) and (4 + 4) * len(owners) + 3 * len(parameters)  # four states, at most, are counted
        row_bytes = 4 * numbers + 8 * (12 + len(set(groups)) * (len(self._about["setting_names"]) + 1))
        self.bound = int(megabytes * 1e6)
        self.memory = sum(x.numel() * x.element_size() for x in thinned(self._params)) + 128 * row_bytes
        self._writer = Writer(directory, self._about, process=process, bound=self.bound // world, row_bytes=row_bytes)
        self._count, self._start = self._writer.next_step, time.monotonic()
        self._first, self._is_open = self._count, True
        self._heard: list[Any] = []
        self._passes, self._depth, self._passes_before = 0, 0, 0
        self._seen = [_stamp(x.grad) for x in self._params]
        self._raw: Any = None
        self._before: list[Any] | None = None
        self._x: Any = None
        self._row: dict[str, Any] | None = None
        self._scheduler = self._scaler = None
        me = weakref.ref(self)
        self._hooks = [  # those of the optimizer keep the recorder alive, whether or not somebody else does
            optimizer.register_step_pre_hook(lambda _, args, kwargs: self._begin(args, kwargs)),
            optimizer.register_step_post_hook(lambda _, args, kwargs: self._end(args, kwargs)),
        ]
        listen(self)
        self._at_exit = lambda: _call(me, "close")
        atexit.register(self._at_exit)

    def __repr__(self) -> str:
        kind = "each step" if self.every == 1 else f"one of {self.every} steps"
        return (
            f"Recorder({self._about['optimizer']}: {kind}, {len(self._about['components']['index'])} components of "
            f"{sum(x.numel() for x in self._params):,}; at most {in_words(self.bound)} on disk in {self.directory}, "
            f"{in_words(self.memory)} of memory)"
        )

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_is_open", False):
            self.close()

    def close(self) -> None:
        """Write what is left, and leave the optimizer as it was."""
        if not self._is_open:
            return
        self._is_open = False
        for hook in self._hooks:
            hook.remove()
        stop_listening(self)
        atexit.unregister(self._at_exit)
        self._finish_row()
        self._writer.close()

    def flush(self) -> None:
        """Write all steps that have been taken, so that they can be read while the run goes on."""
        self._finish_row()
        self._writer.flush()

    def margin(self, closure: Callable[[], Any] | Sequence[Callable[[], Any]], **settings: Any) -> Any:
        """Measure the margin to the optimizer's edge now, and keep it in the recording.

        Args:
            closure: computes the loss of the present parameters, without `backward`; or several, one a batch.
            settings: as for `optoscope.margin`.

        Returns:
            As `optoscope.margin`.
        """
        from optoscope.recordings.torch_margin import torch_margin

        factor = 1.0 if self._row is None else float(np.nan_to_num(self._row["each.clip_factor"], nan=1.0))
        names = [one["name"] for one in self._about["parameters"]]
        found = torch_margin(closure, self.optimizer, names=names, clip_factor=factor, **settings)
        if self._row is not None:
            self._row["each.margin"] = found.margin
        return found

    def heard(self, loss: Any) -> None:
        """Take note of a backward pass, if it reached these parameters."""
        before, self._seen = self._seen, [_stamp(x.grad) for x in self._params]
        if not any(map(_changed, before, self._seen)):
            return
        self._passes += 1
        if self._is_due():
            self._raw = self._sample.of([dense(x.grad) for x in self._params])
            if getattr(loss, "numel", lambda: 0)() == 1:
                self._heard.append(loss.detach())

    def _is_due(self) -> bool:
        return self._count % self.every == 0

    def _begin(self, args: tuple, kwargs: dict[str, Any]) -> None:
        """Before a step: keep the parameters and the gradients."""
        import torch

        if self._depth and self._passes == self._passes_before:  # a step that calls the step it overrides
            self._depth += 1
            return
        self._depth, self._passes_before = 1, self._passes
        self._finish_row()
        if not self._is_due():
            return
        if self._count - self._first in _LOOK:
            scheduler, scaler = find_around(self.optimizer)
            self._scheduler, self._scaler = self._scheduler or scheduler, self._scaler or scaler
        with torch.no_grad():
            thin = thinned(self._params)
            if self._before is None:
                self._before = [torch.empty_like(x) for x in thin]
            torch._foreach_copy_(self._before, thin)
            self._x = self._sample.of(self._params)
            self._row = {
                "each.step": np.int64(self._count),
                "each.session": np.int64(self._writer.session),
                "each.second": time.monotonic() - self._start,
                "each.settings": np.array(
                    [[_number(group, name) for name in self._about["setting_names"]] for group in self._groups]
                ),
                "each.scheduler_step": float(getattr(self._scheduler, "last_epoch", np.nan)),
                "each.loss_scale": 1.0 if self._scaler is None else float(self._scaler.get_scale()),
                "kept.x": numbers(self._x),
                "kept.parameter_norms": (norms(self._before) * self._scales).astype(np.float32),
            }
            if not args and kwargs.get("closure") is None:  # a closure makes the gradients anew
                self._take_gradients()

    def _take_gradients(self) -> None:
        assert self._row is not None
        given = getattr(self.optimizer, "grad_scale", None)  # of optimizers that unscale for themselves
        gradients = [dense(x.grad) for x in self._params]
        if given is not None:
            gradients = [None if one is None else one / given for one in gradients]
        self._row["kept.gradient"] = numbers(self._sample.of(gradients))
        self._row["kept.gradient_norms"] = norms(gradients)

    def _end(self, args: tuple, kwargs: dict[str, Any]) -> None:
        """After a step: keep what it did."""
        del args, kwargs
        import torch

        self._depth -= 1
        if self._depth:
            return
        row, self._count = self._row, self._count + 1
        passes, self._passes, heard, self._heard = self._passes, 0, self._heard, []
        raw, self._raw = self._raw, None
        if row is None or self._before is None or row["each.step"] != self._count - 1:
            return
        with torch.no_grad():
            if "kept.gradient" not in row:
                self._take_gradients()
            torch._foreach_sub_(self._before, thinned(self._params))  # minus the updates
            row["kept.update_norms"] = (norms(self._before) * self._scales).astype(np.float32)
            row["kept.update"] = numbers(self._sample.of(self._params) - self._x)
            for name in self._state_names() if (self._count - 1 - self._first) // self.every % _STATES == 0 else ():
                row[f"kept.state.{name}"] = numbers(self._sample.of([self._state(x, name) for x in self._params]))
        scale = row["each.loss_scale"]
        row["each.loss"] = sum(float(one) for one in heard) / scale if heard else np.nan
        row["each.backward_passes"] = float(passes) if passes else np.nan
        row["each.clock"] = np.array([self._clock(group) for group in self._groups])
        row["kept.raw"] = row["kept.gradient"] if raw is None else numbers(raw) / scale
        row["each.clip_factor"] = _one_factor(row["kept.raw"], row["kept.gradient"])
        for kind in ("gradient", "update", "parameter"):
            row[f"each.{kind}_norm"] = float(np.sqrt(np.nansum(row[f"kept.{kind}_norms"].astype(np.float64) ** 2)))

    def _finish_row(self) -> None:
        """Hand the last step over; until then a margin may still be added to it."""
        row, self._row = self._row, None
        if row is not None and "each.clock" in row:
            row.setdefault("each.margin", np.nan)
            self._writer.add(row)

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups[: len({one["group"] for one in self._about["parameters"]})]

    def _state_names(self) -> list[str]:
        """What the optimizer keeps for each component; described in the header when it is first seen."""
        if not self._about["state_types"]:
            for x in self._params:
                for name, value in self.optimizer.state.get(x, {}).items():
                    if getattr(value, "shape", None) == x.shape and x.ndim and value.is_floating_point():
                        self._about["state_types"].setdefault(name, str(value.dtype).removeprefix("torch."))
            if self._about["state_types"]:
                self._writer.describe(self._about)
        return list(self._about["state_types"])

    def _state(self, x: Any, name: str) -> Any:
        value = self.optimizer.state.get(x, {}).get(name)
        return value if getattr(value, "shape", None) == x.shape else None

    def _clock(self, group: dict[str, Any]) -> float:
        for x in group["params"]:
            if x in self.optimizer.state and "step" in self.optimizer.state[x]:
                return float(self.optimizer.state[x]["step"])
        return float(group["step"]) if isinstance(group.get("step"), int | float) else np.nan


def _call(me: Any, method: str, *args: Any) -> None:
    """Call a method of what a weak reference points to, if it is still there."""
    recorder = me()
    if recorder is not None:
        getattr(recorder, method)(*args)


def _checked(optimizer: Any) -> Any:
    """The optimizer of torch that is meant."""
    import torch

    found = unwrapped(optimizer)
    if not isinstance(found, torch.optim.Optimizer):
        raise TypeError(
            f"`record` takes a torch optimizer, got {type(optimizer).__name__}; for optax use `optoscope.recorded`."
        )
    return found


def _described(optimizer: Any, model: Any) -> list[dict[str, Any]]:
    """Name, shape, group and role of each array of parameters, in the optimizer's order."""
    names, owners = {}, {}
    if model is not None and not hasattr(model, "named_modules"):
        raise TypeError(f"`model` must be the torch module that is trained, got a {type(model).__name__}.")
    for path, module in [] if model is None else model.named_modules():
        for name, x in module.named_parameters(recurse=False):
            names.setdefault(id(x), f"{path}.{name}".lstrip("."))
            owners[id(x)] = type(module).__name__
    return [
        {
            "name": (name := names.get(id(x), f"group {g}, array {n}")),
            "shape": list(x.shape),
            "group": g,
            "role": role_of(name, owners.get(id(x), ""), x.ndim),
        }
        for g, group in enumerate(optimizer.param_groups)
        for n, x in enumerate(group["params"])
    ]


def _setting_names(optimizer: Any) -> list[str]:
    """Numbers in the groups: `lr`, `betas.0` ..."""
    names = {}
    for group in optimizer.param_groups:
        for name, value in group.items():
            if name in ("params", "step") or isinstance(value, str) or value is None:
                continue
            if isinstance(value, tuple | list):
                names |= {f"{name}.{i}": None for i, one in enumerate(value) if isinstance(one, int | float)}
            elif isinstance(value, int | float) or getattr(value, "shape", None) == ():
                names[name] = None
    return list(names)


def _number(group: dict[str, Any], name: str) -> float:
    name, _, place = name.partition(".")
    value = group.get(name)
    if place:
        value = value[int(place)] if isinstance(value, tuple | list) and len(value) > int(place) else None
    return np.nan if value is None or isinstance(value, str) else float(value)


def _stamp(gradient: Any) -> tuple[Any, int]:
    """What is another one when a gradient has changed."""
    return (None, 0) if gradient is None else (weakref.ref(gradient), gradient._version)


def _changed(before: tuple[Any, int], now: tuple[Any, int]) -> bool:
    return now[0] is not None and not (now[0] is before[0] and now[1] == before[1])


def _one_factor(raw: np.ndarray, used: np.ndarray) -> float:
    """The one factor from raw gradients to those used; NaN if there is none."""
    there = np.isfinite(raw) & np.isfinite(used)
    a, b = raw[there].astype(np.float64), used[there].astype(np.float64)
    if not a.any():
        return np.nan
    factor = float(a @ b / (a @ a))
    return factor if np.linalg.norm(b - factor * a) <= _ONE_FACTOR * np.linalg.norm(b) else np.nan


def _process() -> tuple[int, int]:
    """Number of this process, and how many there are."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
