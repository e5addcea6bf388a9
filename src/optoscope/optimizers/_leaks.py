"""What the adapters share: at which gradients foreign optimizers are probed, and how a leak is measured."""

import numpy as np

PROBE_SCALES = (0.0, 1e-6, 1e-3, 1e-1, 1.0, 1e1, 1e3, 1e6)
#: Probes run in float64; rules that keep part of their state in fewer bits round a little differently each way.
LEAK_TOLERANCE = 1e-6


def worst_leak(values, others, labels, *, rounding=0.0):
    """Return the largest relative difference over everything but the first axis, and the label of its row.

    Args:
        values, others: arrays of one shape.
        labels: a name for each index of the first axis.
        rounding: absolute differences up to this are no leak.
    """
    values, others = (np.asarray(array, np.float64).reshape(len(array), -1) for array in (values, others))
    same = (values == others) | (np.isnan(values) & np.isnan(others))
    with np.errstate(all="ignore"):
        same |= np.abs(values - others) <= rounding
        leaks = np.abs(values - others) / np.maximum(np.abs(values), np.abs(others))
    leaks = np.where(same, 0.0, np.where(np.isfinite(leaks), leaks, np.inf))
    per_row = leaks.max(axis=1, initial=0.0)
    return per_row.max(), labels[int(per_row.argmax())]


def first_line(error: BaseException) -> str:
    """Return the class of an error and the first line of its message."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
