"""The common part of all results: frozen, labelled, saved without pickle."""

import dataclasses
import io
import json
import math
import os
import struct
import typing
import zipfile
import zlib
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from optoscope._core.annotations import check_annotations
from optoscope._core.files import DamagedFileError, digest_of_array, parse_json, sealed, unsealed, write_whole
from optoscope._core.shown import Shown, axes_of

R = TypeVar("R", bound="Result")
#: What reading a damaged archive of arrays can end in.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, LookupError, TypeError, AttributeError,
           ValueError, MemoryError, RuntimeError, NotImplementedError, SyntaxError, OverflowError)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Result(Shown):
    """Base of every result that is one file: a frozen dataclass whose fields are arrays or plain JSON data.

    The annotation of an array field names its axes (`Float[np.ndarray, "point state"]`); `to_xarray` uses them.
    """

    def save(self, path: str | os.PathLike) -> Path:
        """Write the result to one `.npz` file: its arrays, and the rest as JSON text. Never pickle.

        The file is written aside and renamed, so that an interrupted call leaves no partial file.

        Raises:
            TypeError: if a field is neither an array of numbers or text nor JSON data.
            ValueError: if `path` does not end in `.npz`.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"a result is saved as .npz, got {path.name!r}; name it {path.stem}.npz.")
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays, rest = {}, {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            (arrays if isinstance(value, np.ndarray) else rest)[field.name] = value
        hashes = {name: digest_of_array(array) for name, array in arrays.items()}
        text = json.dumps(sealed({"class": type(self).__name__, "fields": rest, "arrays": hashes}))
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, json=np.array(text), **arrays)
        write_whole(path, content.getvalue())
        return path

    @classmethod
    def load(cls: type[R], path: str | os.PathLike) -> R:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file holds another class of result, is damaged, or is no result at all.
        """
        try:
            arrays = _read_arrays(Path(path))
            data = unsealed(parse_json(str(arrays.pop("json")).encode(), "its JSON"), "its JSON")
            kind, fields, hashes = data["class"], data["fields"], data["arrays"]
            if hashes != {name: digest_of_array(array) for name, array in arrays.items()}:
                raise DamagedFileError("the hash of an array is another one")
        except FileNotFoundError:
            raise
        except _DAMAGE as error:
            why = str(error)[:200] or type(error).__name__
            raise DamagedFileError(
                f"{path} is not a result of optoscope, or damaged ({why}); write it again."
            ) from None
        if kind != cls.__name__:
            raise ValueError(f"{path} holds a {kind}, not a {cls.__name__}; load it with that class.")
        found, expected = {*arrays, *fields}, {field.name for field in dataclasses.fields(cls)}
        if found != expected:
            raise ValueError(
                f"{path} was written by another version of {cls.__name__}: it has the fields {sorted(found)}, "
                f"expected {sorted(expected)}; make it again."
            )
        check_annotations(cls, {**arrays, **fields}, str(path))
        return cls(**arrays, **fields)

    def to_xarray(self):
        """Return an `xarray.Dataset` with named axes; needs the extra `optoscope[xarray]`.

        An axis that an array has twice (rows and columns of a matrix on states) is named `state` and `state_2`.
        """
        import xarray

        hints = typing.get_type_hints(type(self))
        variables, attributes = {}, {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                variables[field.name] = (axes_of(field.name, hints[field.name], value.ndim), value)
            else:
                attributes[field.name] = value if isinstance(value, int | float | str) else json.dumps(value)
        return xarray.Dataset(variables, attrs=attributes)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an archive of arrays, of which none claims to hold more than there is."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > path.stat().st_size:
                raise DamagedFileError(f"{member.filename} is compressed, which optoscope never does")
            with archive.open(member) as file:
                read_header = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}[read_magic(file)]
                shape, _, dtype = read_header(file)
                if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
                    raise DamagedFileError(f"{member.filename} has a header that does not fit what it holds")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
