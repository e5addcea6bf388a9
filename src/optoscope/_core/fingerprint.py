"""A hash of everything that a computation depends on, so that what was kept is used for nothing else."""

import dataclasses
import functools
import hashlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_PACKAGES = {"builtins", "abc", "typing", "optoscope", "equinox", "optax", "jax", "numpy", "torch"}


def fingerprint(*things: Any) -> str:
    """Return a hash of values, arrays, modules, functions with all that they close over, and containers of these.

    Equal things give equal hashes in every process on the same version of Python; things that differ in any number that
    they hold give others. Global variables that a function reads are not followed.

    >>> fingerprint(0.1, "a") == fingerprint(0.1, "a"), fingerprint(0.1) == fingerprint(0.1000001)
    (True, False)
    """
    found = hashlib.sha256()
    for part in _parts(things, ()):
        found.update(part)
        found.update(b"\0")
    return found.hexdigest()


def _parts(thing: Any, path: tuple[int, ...]) -> Iterator[bytes]:
    if id(thing) in path:  # a function that refers to itself
        yield f"cycle {len(path) - path.index(id(thing))}".encode()
        return
    inside = (*path, id(thing))
    yield f"{type(thing).__module__}.{type(thing).__qualname__}".encode()
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes | np.dtype):
        yield repr(thing).encode()
    elif isinstance(thing, Mapping):
        for key, value in sorted(thing.items(), key=lambda item: repr(item[0])):
            yield from _parts(key, inside)
            yield from _parts(value, inside)
    elif isinstance(thing, list | tuple | set | frozenset):
        yield str(len(thing)).encode()
        for one in thing if isinstance(thing, list | tuple) else sorted(thing, key=repr):
            yield from _parts(one, inside)
    elif isinstance(thing, type | types.ModuleType | types.BuiltinFunctionType):
        yield f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', thing.__name__)}".encode()
    elif isinstance(thing, types.FunctionType):
        yield from _of_function(thing, inside)
    elif isinstance(thing, types.CodeType):
        yield thing.co_code
        yield from _parts((thing.co_consts, thing.co_names), inside)
    elif isinstance(thing, types.MethodType):
        yield from _parts((thing.__func__, thing.__self__), inside)
    elif isinstance(thing, functools.partial):
        yield from _parts((thing.func, thing.args, thing.keywords), inside)
    elif hasattr(thing, "__array__") and hasattr(thing, "dtype"):
        yield from _of_array(thing)
    elif dataclasses.is_dataclass(thing):
        yield from _of_class(type(thing), inside)
        for field in dataclasses.fields(thing):
            yield field.name.encode()
            yield from _parts(getattr(thing, field.name, None), inside)
    elif hasattr(thing, "__wrapped__"):  # what a decorator made, such as jax.jit
        yield from _parts(thing.__wrapped__, inside)
    else:
        yield from _parts(getattr(thing, "__dict__", None) or repr(thing), inside)


def _of_class(kind: type, path) -> Iterator[bytes]:
    """The code of a class that is nobody's package: of those, versions tell."""
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] not in _PACKAGES:
            methods = {name: value for name, value in vars(base).items() if isinstance(value, types.FunctionType)}
            yield from _parts(methods, path)


def _of_function(function: types.FunctionType, path) -> Iterator[bytes]:
    yield f"{function.__module__}.{function.__qualname__}".encode()
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # not filled yet
            cells.append("empty")
    yield from _parts((function.__code__, cells, function.__defaults__, function.__kwdefaults__), path)


def _of_array(array: Any) -> Iterator[bytes]:
    import jax

    if isinstance(array, jax.Array) and jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    values = np.ascontiguousarray(np.asarray(array))
    yield f"{values.dtype.str} {values.shape}".encode()
    yield values.tobytes() if values.dtype != object else repr(values.tolist()).encode()
