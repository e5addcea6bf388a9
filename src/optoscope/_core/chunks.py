"""Many rows in calls of one shape: a compiled function is compiled once, however many rows there are."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

#: Pairs of a state and a gradient, and runs, in one compiled call.
PAIRS, RUNS = 1024, 256


def in_chunks(function: Callable[..., Any], size: int, *rows: np.ndarray) -> Any:
    """Call a function with `size` rows at a time, and put together what it returns.

    Args:
        function: takes arrays [row, ...], returns a pytree of arrays [row, ...]; rows do not see each other.
        size: rows of one call; the last row stands in for those that are missing.
        rows: arrays with as many rows each.

    >>> in_chunks(lambda x: 2 * x, 2, np.arange(3)).tolist()
    [0, 2, 4]
    """
    number = len(rows[0])
    places = [
        np.minimum(np.arange(start, start + size), max(number - 1, 0)) for start in range(0, max(number, 1), size)
    ]
    if not number:
        rows = tuple(np.zeros((1, *part.shape[1:]), part.dtype) for part in rows)
    parts = [jax.tree.map(np.asarray, function(*(part[place] for part in rows))) for place in places]
    return jax.tree.map(lambda *found: (found[0] if len(found) == 1 else np.concatenate(found))[:number], *parts)


def num_before_padding(rows: np.ndarray) -> int:
    """Return the number of rows without the copies of the last one with which they are filled up.

    >>> num_before_padding(np.array([[1.0], [2.0], [2.0]]))
    2
    """
    if len(rows) < 2:
        return len(rows)
    words = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    others = np.flatnonzero((words != words[-1:]).any(1))
    return int(others[-1]) + 2 if len(others) else 1
