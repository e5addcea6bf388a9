"""Argument checks: each says what is allowed, what was received and what to do.

Checks run when an object is constructed from concrete values. Values that JAX is tracing (inside `jit`, `vmap`
or `grad`) are let through, because their numbers do not exist yet.
"""

from typing import Any

import numpy as np
from jax.core import Tracer

from optoscope._core.choices import check_choice as check_choice


def check_number(
    name: str, value: Any, *, low: float | int = -np.inf, high: float | int = np.inf, open_low: bool = False, hint: str
) -> None:
    """Check that every entry of `value` is finite and lies in [low, high), or (low, high) if `open_low`.

    Raises:
        TypeError: if `value` is not numeric.
        ValueError: if it lies outside the interval; the message ends with `hint`.
    """
    if isinstance(value, Tracer):
        return
    try:
        array = np.asarray(value)
        magnitudes = np.abs(array) if np.iscomplexobj(array) else array.astype(float)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a number or an array of numbers, got {value!r}; {hint}.") from None
    inside = (magnitudes > low if open_low else magnitudes >= low) & (magnitudes < high)
    if not np.all(inside & np.isfinite(magnitudes)):
        bracket = "(" if open_low else "["
        raise ValueError(f"`{name}` must lie in {bracket}{low:g}, {high:g}), got {_short(value)}; {hint}.")


def check_count(name: str, value: Any, *, minimum: int = 1, hint: str = "use a whole number") -> int:
    """Return `value` as an int after checking that it is a whole number of at least `minimum`.

    Raises:
        ValueError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"`{name}` must be a whole number of at least {minimum}, got {_short(value)}; {hint}.")
    return int(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
