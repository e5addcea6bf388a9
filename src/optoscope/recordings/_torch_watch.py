"""What happens around a torch optimizer: backward passes, the scheduler that moves it, the scale of mixed precision."""

import functools
import gc
import weakref
from typing import Any

#: Recorders that want to know of backward passes.
_LISTENERS: "weakref.WeakSet[Any]" = weakref.WeakSet()
_ORIGINAL: list[Any] = []


def listen(recorder: Any) -> None:
    """Tell a recorder of every backward pass: its `heard(loss)` is called after each.

    torch has no hook for it, so `torch.autograd.backward`, which `Tensor.backward` calls, is wrapped as long as anybody
    listens.
    """
    import torch

    _LISTENERS.add(recorder)
    if _ORIGINAL:
        return
    original = torch.autograd.backward
    _ORIGINAL.append(original)

    @functools.wraps(original)
    def backward(tensors, *args, **kwargs):
        result = original(tensors, *args, **kwargs)
        for one in tuple(_LISTENERS):
            one.heard(tensors)
        return result

    torch.autograd.backward = backward


def stop_listening(recorder: Any) -> None:
    """Tell it no more; the last one to leave puts torch back."""
    import torch

    _LISTENERS.discard(recorder)
    if not _LISTENERS and _ORIGINAL:
        torch.autograd.backward = _ORIGINAL.pop()


def unwrapped(optimizer: Any) -> Any:
    """Return the optimizer of torch inside what a trainer wrapped around it."""
    import torch

    while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = inner
    return optimizer


def find_around(optimizer: Any) -> tuple[Any, Any]:
    """Return what else acts on an optimizer; None for what is not there.

    Returns:
        The scheduler that moves it, the outermost if several stand together, and the gradient scaler whose `step` is
        calling the optimizer's.
    """
    import torch

    schedulers = (torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    objects = _objects((*schedulers, torch.amp.GradScaler))
    scalers = [
        one
        for one in objects
        if isinstance(one, torch.amp.GradScaler)
        and one.is_enabled()
        and id(optimizer) in getattr(one, "_per_optimizer_states", {})
    ]
    found = [
        one
        for one in objects
        if isinstance(one, schedulers) and unwrapped(getattr(one, "optimizer", None)) is optimizer
    ]
    inner = {id(part) for one in found for part in getattr(one, "_schedulers", ())}
    return next((one for one in found if id(one) not in inner), None), next(iter(scalers), None)


def _objects(kinds: tuple[type, ...]) -> list[Any]:
    """Objects of some classes, wherever they are; their types are compared, which is fast and asks no object."""
    wanted = set(kinds)
    while more := {below for one in wanted for below in type.__subclasses__(one)} - wanted:
        wanted |= more
    return [one for one in gc.get_objects() if type(one) in wanted]
