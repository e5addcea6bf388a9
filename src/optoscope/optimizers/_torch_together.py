"""Many states of a whole torch optimizer stepped at once, by torch's `vmap`."""

import collections
from collections.abc import Callable
from typing import Any

import numpy as np

from optoscope.optimizers._image import Path, reachable
from optoscope.optimizers.torch_host import Live

#: Functions that make tensors of their own, into which an optimizer may write.
_MAKERS = ("empty", "zeros", "ones", "full", "tensor", "eye", "new_zeros", "new_empty", "new_ones", "new_full")


def step_together(
    live: Live,
    replaced: dict[Path, Any],
    first: np.ndarray,
    own: np.ndarray,
    gradients: list[np.ndarray],
    results: Callable[[], list[Any]],
    *,
    everything: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Take one step from each of many states.

    Args:
        live: the optimizer, which is left with batched tensors in it: put an image back afterwards.
        replaced: tensors of its memory, each with an axis of states before its own.
        first: where the first entry of the first tensor is in each state.
        own: its gradients.
        gradients: of all tensors.
        results: returns scalar tensors of the memory afterwards.
        everything: whether the other tensors have that axis as well, as they must if their updates depend on it.

    Returns:
        These [state, result], and the update of the first entry of the first tensor [state].

    Raises:
        Exception: whatever torch raises, where `vmap` does not get through, as where numbers decide what is done.
    """
    import torch

    originals, olds = list(live.tensors), [live.read(path) for path in replaced]
    spread = lambda x: x.detach().expand(len(own), *x.shape).clone()
    params = [spread(x) if i == 0 or everything else x.detach().clone() for i, x in enumerate(originals)]
    gs = [torch.tensor(np.ascontiguousarray(g), dtype=live.dtype) for g in gradients]
    gs = [spread(g) if i == 0 or everything else g for i, g in enumerate(gs)]
    for tensor, values in ((params[0], first), (gs[0], own)):
        tensor.reshape(len(own), -1)[:, 0] = torch.tensor(values).to(live.dtype)
    axes = [0 if i == 0 or everything else None for i in range(len(params))]

    def one(params, memory, gs):
        start = params[0].clone()
        _exchange(live.stack, dict(zip(map(id, [*originals, *olds]), [*params, *memory])))
        live.tensors[:] = list(params)
        for x, g in zip(params, gs):
            x.grad = g
        with _one_by_one()(params[0].reshape(-1)[0] * 0):
            live.stack.step()
        found = [value.double() for value in results()]
        dx = (params[0] - start).reshape(-1)[0].double()
        return torch.stack(found) if found else torch.zeros(0), dx

    try:
        with live.surroundings():
            found, dx = torch.func.vmap(one, in_dims=(axes, 0 if replaced else None, axes))(
                params, list(replaced.values()), gs
            )
    finally:
        live.tensors[:] = originals
    return found.detach().numpy(), dx.detach().numpy()


def _exchange(root: Any, instead: dict[int, Any]) -> None:
    """Put other tensors in the place of some, in every container that can be reached."""
    swap = lambda value: instead.get(id(value), value)
    for entry in list(reachable([root])):
        if isinstance(entry, dict):
            contents = {swap(key): swap(value) for key, value in entry.items()}
            entry.clear()
            entry.update(contents)
        elif isinstance(entry, list | collections.deque):
            contents = [swap(value) for value in entry]
            entry.clear()
            entry.extend(contents)
        elif hasattr(entry, "__dict__") and not hasattr(entry, "detach"):
            vars(entry).update({name: swap(value) for name, value in vars(entry).items() if id(value) in instead})


def _one_by_one() -> Any:
    """The mode in which functions of lists of tensors, and ones that write into others, become plain ones."""
    import torch
    from torch.overrides import TorchFunctionMode

    class OneByOne(TorchFunctionMode):
        """Rewrites what `vmap` has no rule for."""

        def __init__(self, zero):
            super().__init__()
            self.zero = zero

        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = dict(kwargs or {})
            name = getattr(func, "__name__", "")
            if name.startswith("_foreach_"):
                return _for_each(name.removeprefix("_foreach_"), args, kwargs)
            if kwargs.get("out") is not None:
                return kwargs.pop("out").copy_(func(*args, **kwargs))
            made = func(*args, **kwargs)
            if name in _MAKERS and isinstance(made, torch.Tensor) and made.is_floating_point():
                return made + self.zero.to(made.dtype)  # now it has the axis of states
            return made

    return OneByOne


def _for_each(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any] | None:
    import torch

    first, *_ = args
    bound = {"maximum": "clamp_min", "minimum": "clamp_max"}  # of a number they have another name
    if len(args) > 1 and isinstance(args[1], int | float):
        name = next((other + name.removeprefix(key) for key, other in bound.items() if name.startswith(key)), name)
    method = torch.linalg.vector_norm if name == "norm" else getattr(torch.Tensor, name)
    pick = lambda value, i: value[i] if isinstance(value, list | tuple) else value
    found = [
        method(*(pick(value, i) for value in args), **{key: pick(value, i) for key, value in kwargs.items()})
        for i in range(len(first))
    ]
    return None if name.endswith("_") else found
