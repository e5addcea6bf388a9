"""What a torch optimizer remembers, wherever it keeps it: taken, put back, and its numbers read and written by path.

Nothing is known of any optimizer: whatever can be reached from it is followed, through dictionaries, lists, deques,
attributes and closures. A step counter in a group, a buffer in a list of the instance and the epoch of a scheduler are
all found alike.
"""

import collections
import contextlib
import functools
import random
import types
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

#: Objects that are followed at most; an optimizer that reaches more is tied to something larger than itself.
_LIMIT = 200_000
#: Packages whose objects are no optimizer's memory.
_FOREIGN = ("logging", "threading", "_thread", "weakref", "builtins", "_io", "concurrent", "multiprocessing")

#: One step on the way from the optimizer to a number: the kind of a container and the key in it.
Path = tuple[tuple[str, Any], ...]


class Image:
    """What everything that can be reached from `roots` holds at this moment; `put_back` makes it hold that again.

    Args:
        roots: where to begin.
        random_of: an object whose attribute `random` is the state of the random numbers that belong to them.
    """

    def __init__(self, roots: list[Any], random_of: Any = None):
        self._contents = [(entry, _contents(entry)) for entry in reachable(roots)]
        self._random_of, self._random = random_of, getattr(random_of, "random", None)

    def put_back(self) -> None:
        """Let every object hold again what it held when the image was taken."""
        for entry, contents in self._contents:
            _fill(entry, contents)
        if self._random_of is not None:
            self._random_of.random = self._random


def numbers(roots: dict[str, Any], parameters: list[Any]) -> dict[Path, Any]:
    """Return every tensor, array and Python number that can be reached, by its path; parameters themselves excepted.

    An object that is reached on two paths is listed under the shorter one.
    """
    known = {id(x): i for i, x in enumerate(parameters)}
    found: dict[Path, Any] = {}
    seen = set(known)
    queue: collections.deque[tuple[Path, Any]] = collections.deque(
        ((("root", name),), root) for name, root in roots.items()
    )
    while queue:
        path, value = queue.popleft()
        if _is_number(value):
            found[path] = value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if _is_array(value):
            found[path] = value
            continue
        for kind, key, child in _children(value):
            queue.append(((*path, (kind, known.get(id(key), key) if kind == "item" else key)), child))
    return found


def read(roots: dict[str, Any], parameters: list[Any], path: Path) -> Any:
    """Return what lies at a path; None if there is nothing."""
    value = roots[path[0][1]]
    for kind, key in path[1:]:
        try:
            value = _get(value, kind, _actual(key, kind, value, parameters))
        except (KeyError, IndexError, AttributeError, TypeError, ValueError):
            return None
    return value


def write(roots: dict[str, Any], parameters: list[Any], path: Path, value: Any) -> None:
    """Put a value where a path leads; where nothing lies there, nothing is written."""
    container = read(roots, parameters, path[:-1]) if len(path) > 1 else None
    if container is None:
        return
    kind, key = path[len(path) - 1]
    key = _actual(key, kind, container, parameters)
    if kind == "attribute":
        setattr(container, str(key), value)
    elif kind == "cell":
        container.__closure__[key].cell_contents = value
    elif kind == "index":
        if isinstance(container, tuple):
            parent = list(container)
            parent[key] = value
            write(roots, parameters, path[:-1], tuple(parent))
        elif key < len(container):
            container[key] = value
    elif key in container:
        container[key] = value


def name_of(path: Path) -> str:
    """Return a short name: the last word on the path, with the places in lists behind it."""
    words = [key for kind, key in path if isinstance(key, str)]
    places = []
    for _, key in reversed(path):
        if isinstance(key, str):
            break
        places.append(f"[{key}]")
    return (words[-1] if words else "number") + "".join(reversed(places))


def _actual(key, kind, container, parameters):
    """A parameter stands in a path as its place among the parameters."""
    if kind == "item" and isinstance(key, int) and key not in container and key < len(parameters):
        return parameters[key]
    return key


def _get(value, kind, key):
    if kind == "attribute":
        return getattr(value, key)
    if kind == "cell":
        return value.__closure__[key].cell_contents
    return value[key]


def reachable(roots: list[Any]) -> Iterator[Any]:
    """Yield everything that can change and can be reached, each object once."""
    seen: set[int] = set()
    stack = list(reversed(roots))
    while stack:
        value = stack.pop()
        if id(value) in seen or _is_number(value):
            continue
        seen.add(id(value))
        if len(seen) > _LIMIT:
            raise ValueError(f"it reaches more than {_LIMIT:,} objects; what it remembers cannot be told from them")
        children = [child for _, _, child in _children(value)]
        if children or _is_changeable(value):
            yield value
        stack.extend(reversed(children))


def _children(value: Any) -> list[tuple[str, Any, Any]]:
    """What a container holds: the kind of place, its key, and what is there."""
    if isinstance(value, dict):
        return [("item", key, child) for key, child in value.items()]
    if isinstance(value, list | tuple | collections.deque):
        return [("index", i, child) for i, child in enumerate(value)]
    if isinstance(value, functools.partial):
        return [("attribute", name, getattr(value, name)) for name in ("func", "args", "keywords")]
    if isinstance(value, types.MethodType):
        return [("attribute", "__self__", value.__self__), ("attribute", "__func__", value.__func__)]
    if isinstance(value, types.FunctionType):
        cells = []
        for i, cell in enumerate(value.__closure__ or ()):
            with contextlib.suppress(ValueError):  # an empty cell
                cells.append(("cell", i, cell.cell_contents))
        return cells
    if _has_attributes(value):
        return [("attribute", name, child) for name, child in vars(value).items()]
    return []


def _has_attributes(value):
    if isinstance(value, type | types.ModuleType | weakref.ref) or not hasattr(value, "__dict__"):
        return False
    return type(value).__module__.split(".")[0] not in _FOREIGN


def _contents(value: Any) -> Any:
    if _is_tensor(value):
        return value.data, value.detach().clone(), dict(vars(value))
    if isinstance(value, np.ndarray):
        return value.copy()
    if _is_generator(value):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, dict):
        return dict(value), dict(vars(value)) if _has_attributes(value) else None
    if isinstance(value, list | collections.deque | set):
        return list(value)
    if isinstance(value, types.FunctionType):
        cells = value.__closure__ or ()
        return [(cells[i], child) for _, i, child in _children(value)]
    if _has_attributes(value) and not isinstance(value, types.MethodType | functools.partial):
        return dict(vars(value))
    return None


def _fill(value: Any, contents: Any) -> None:
    if contents is None:
        return
    if _is_tensor(value):
        data, saved, attributes = contents
        value.data = data
        value.data.copy_(saved)
        if vars(value) != attributes:
            vars(value).clear()
            vars(value).update(attributes)
    elif isinstance(value, np.ndarray):
        value[...] = contents
    elif _is_generator(value):
        value.set_state(contents)
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = contents
    elif isinstance(value, random.Random):
        value.setstate(contents)
    elif isinstance(value, dict):
        value.clear()
        value.update(contents[0])
        if contents[1] is not None:
            vars(value).update(contents[1])
    elif isinstance(value, list):
        value[:] = contents
    elif isinstance(value, collections.deque):
        value.clear()
        value.extend(contents)
    elif isinstance(value, set):
        value.clear()
        value.update(contents)
    elif isinstance(value, types.FunctionType):
        for cell, child in contents:
            cell.cell_contents = child
    else:
        attributes = vars(value)
        for name in [name for name in attributes if name not in contents]:
            del attributes[name]
        attributes.update(contents)


def _is_changeable(value):
    return (
        _is_array(value)
        or _is_generator(value)
        or isinstance(value, dict | list | set | collections.deque | np.random.Generator | random.Random)
        or _has_attributes(value)
    )


def _is_array(value):
    return isinstance(value, np.ndarray) or _is_tensor(value)


def _is_number(value):
    return isinstance(value, int | float | complex | np.number)


def _is_tensor(value):
    import torch

    return isinstance(value, torch.Tensor)


def _is_generator(value):
    import torch

    return isinstance(value, torch.Generator)


def random_state() -> tuple[Any, ...]:
    """The state of the random numbers that torch, NumPy and Python share among all their users."""
    import torch

    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def set_random_state(state: tuple[Any, ...]) -> None:
    """Put back what `random_state` returned."""
    import torch

    torch.set_rng_state(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    random.setstate(state[2])


def same_random_state(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether nothing was drawn between two states."""
    same_arrays = np.array_equal(one[0].numpy(), other[0].numpy()) and np.array_equal(one[1][1], other[1][1])
    return same_arrays and one[1][2:] == other[1][2:] and one[2] == other[2]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch, NumPy and Python draw from this seed inside, and from where they were afterwards."""
    import torch

    before = random_state()
    try:
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        yield
    finally:
        set_random_state(before)
