"""What happens around a torch optimizer: backward passes, the scheduler that moves it, the scale of mixed precision."""

import gc
import weakref
from typing import Any

#: Recorders that want to know of backward passes.
_LISTENERS: "weakref.WeakSet[Any]" = weakref.WeakSet()
_ORIGINAL: list[Any] = []


def listen(recorder: Any) -> None:
    """Tell a recorder of every backward pass: its `heard(loss)` is called after each.

    torch has no hook for it, so `torch.Tensor.backward` is wrapped as long as anybody listens.
    """
    import torch

    _LISTENERS.add(recorder)
    if _ORIGINAL:
        return
    original = torch.Tensor.backward
    _ORIGINAL.append(original)

    def backward(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        for one in tuple(_LISTENERS):
            one.heard(self)
        return result

    backward.__doc__, backward.__name__ = original.__doc__, original.__name__
    torch.Tensor.backward = backward  # pyright: ignore[reportAttributeAccessIssue]


def stop_listening(recorder: Any) -> None:
    """Tell it no more; the last one to leave puts torch back."""
    import torch

    _LISTENERS.discard(recorder)
    if not _LISTENERS and _ORIGINAL:
        torch.Tensor.backward = _ORIGINAL.pop()


def find_scheduler(optimizer: Any) -> Any:
    """Return the scheduler that moves an optimizer; None if there is none, the outermost if several stand together."""
    import torch

    kinds = (torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    found = [one for one in _objects(kinds) if getattr(one, "optimizer", None) is optimizer]
    inner = {id(part) for one in found for part in getattr(one, "_schedulers", ())}
    return next((one for one in found if id(one) not in inner), None)


def find_scaler(optimizer: Any) -> Any:
    """Return the gradient scaler whose `step` is calling an optimizer's; None if there is none."""
    import torch

    for one in _objects((torch.amp.GradScaler,)):
        if one.is_enabled() and id(optimizer) in getattr(one, "_per_optimizer_states", {}):
            return one
    return None


def _objects(kinds: tuple[type, ...]) -> list[Any]:
    """Objects of a class, wherever they are; `type` is asked, because some objects answer `isinstance` with work."""
    return [one for one in gc.get_objects() if issubclass(type(one), kinds)]
