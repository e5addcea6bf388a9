"""What is taken of the tensors of a step, where they are: a sample of their components, and their norms."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np

#: Norms of parameters and updates of arrays above this size are estimated from so many places, with so many neighbors
#: each: as many as come into a processor's cache together.
WHOLE, PLACES, NEIGHBORS = 2**17, 256, 16


@final
class Sample:
    """Components at the same places of some arrays at every step.

    Args:
        arrays: of which components are taken.
        owners: of each component, its array, in order.
        places: of each component, where in the array it is, flattened.
    """

    def __init__(self, arrays: Sequence[Any], owners: Sequence[int], places: Sequence[int]):
        import torch

        parts = [[] for _ in arrays]
        for owner, place in zip(owners, places):
            parts[owner].append(place)
        self._places = [
            torch.tensor(part, dtype=torch.int64, device=x.device) if part else None for x, part in zip(arrays, parts)
        ]
        self._blanks = [
            None if where is None else torch.full(where.shape, float("nan"), device=where.device)
            for where in self._places
        ]

    def of(self, arrays: Sequence[Any]) -> Any:
        """Return the components of all arrays as one tensor; NaN where there is no array."""
        import torch

        some = [
            blank if x is None else torch.take(x.detach(), where)
            for x, where, blank in zip(arrays, self._places, self._blanks)
            if where is not None and blank is not None
        ]
        if len({one.device for one in some}) > 1:
            some = [one.cpu() for one in some]
        return torch.cat(some)


def numbers(tensor: Any) -> np.ndarray:
    """Return a tensor as numbers that are recorded."""
    return tensor.float().cpu().numpy()


def dense(gradient: Any) -> Any:
    """Return a gradient that is not sparse."""
    return gradient.to_dense() if gradient is not None and gradient.is_sparse else gradient


def thinned(arrays: Sequence[Any]) -> list[Any]:
    """Return arrays as they are if they are not large, and of others views of some components, evenly spread."""
    return [x if x.numel() <= WHOLE else _few(x.detach().reshape(-1)) for x in arrays]


def thinned_scales(arrays: Sequence[Any]) -> np.ndarray:
    """Return what norms of `thinned` arrays are to be multiplied by."""
    return np.sqrt([max(x.numel() / (PLACES * NEIGHBORS), 1) if x.numel() > WHOLE else 1 for x in arrays])


def norms(arrays: Sequence[Any]) -> np.ndarray:
    """Return the norm of each array; NaN where there is none."""
    import torch

    found = np.full(len(arrays), np.nan, np.float32)
    some = [i for i, x in enumerate(arrays) if x is not None]
    if some:
        each = torch._foreach_norm([arrays[i] for i in some], 2, torch.float32)
        if len({one.device for one in each}) > 1:
            each = [one.cpu() for one in each]
        found[some] = torch.stack(list(each)).cpu().numpy()
    return found


def _few(flat: Any) -> Any:
    apart = flat.numel() // PLACES
    return flat[: apart * PLACES].view(PLACES, apart)[:, :NEIGHBORS]
