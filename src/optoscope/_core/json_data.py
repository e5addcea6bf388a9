"""The one way in which results become JSON data."""

import dataclasses
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def to_json(value: Any) -> Any:
    """Return a value as JSON data.

    Arrays and tuples become lists, complex numbers pairs [real, imaginary], what is not finite null, dataclasses and
    mappings objects; whatever has a `to_json` of its own is asked.

    >>> to_json({"decay": 0.9 + 0.1j, "loss": float("inf")})
    {'decay': [0.9, 0.1], 'loss': None}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    import numpy as np

    array = np.asarray(value)
    if array.ndim:
        return [to_json(v) for v in array]
    if np.iscomplexobj(array):
        return [to_json(np.real(array)), to_json(np.imag(array))]
    number = array.item()
    return None if isinstance(number, float) and not np.isfinite(number) else number
