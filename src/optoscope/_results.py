"""The common part of all results: frozen, labelled, saved without pickle."""

import dataclasses
import json
import os
import tempfile
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np


@dataclasses.dataclass(frozen=True)
class Result:
    """Base of every result class: a frozen dataclass whose fields are arrays or plain JSON data.

    The annotation of an array field names its axes (`Float[np.ndarray, "point state"]`); `to_xarray` uses them.
    """

    def save(self, path: str | os.PathLike) -> Path:
        """Write the result to one `.npz` file: its arrays, and the rest as JSON text. Never pickle.

        The file is written aside and renamed, so that an interrupted call leaves no partial file.

        Raises:
            ValueError: if `path` does not end in `.npz`.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"a result is saved as .npz, got {path.name!r}; name it {path.stem}.npz.")
        arrays, rest = {}, {"class": type(self).__name__, "fields": {}}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                arrays[field.name] = value
            else:
                rest["fields"][field.name] = value
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".npz")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, json=np.array(json.dumps(rest)), **arrays)
        os.replace(aside, path)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: if the file holds another class of result.
        """
        with np.load(path, allow_pickle=False) as archive:
            rest = json.loads(str(archive["json"]))
            if rest["class"] != cls.__name__:
                raise ValueError(f"{path} holds a {rest['class']}, not a {cls.__name__}; load it with that class.")
            arrays = {name: archive[name] for name in archive.files if name != "json"}
        return cls(**arrays, **rest["fields"])

    def to_xarray(self):
        """Return an `xarray.Dataset` with named axes; needs the extra `optoscope[xarray]`."""
        import xarray

        hints = typing.get_type_hints(type(self))
        variables, attributes = {}, {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                variables[field.name] = (_axes(hints[field.name], value.ndim), value)
            else:
                attributes[field.name] = json.dumps(value)
        return xarray.Dataset(variables, attrs=attributes)

    _unnamed: ClassVar[str] = "axis"


def _axes(annotation: Any, ndim: int) -> tuple[str, ...]:
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    for option in options:
        names = tuple(getattr(option, "dim_str", "").split())
        if len(names) == ndim:
            return names
    return tuple(f"{Result._unnamed}_{i}" for i in range(ndim))
