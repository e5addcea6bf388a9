"""Which components are recorded, and what an array of parameters is for."""

from collections.abc import Sequence

import numpy as np

#: Words in the name of a module, or of a parameter, that say what it is for.
_NORMALIZATIONS = ("norm", "ln_", "layernorm", "batchnorm", "rmsnorm")


def choose_components(
    sizes: Sequence[int], groups: Sequence[int], components: int, *, seed: int
) -> tuple[list[int], list[int]]:
    """Choose as many components in each group, spread evenly over its arrays, at random places.

    Args:
        sizes: of each array of parameters.
        groups: of each array, the group that it belongs to.
        components: how many in each group; all, where a group has fewer.
        seed: of the choice.

    Returns:
        Of each component, its array and its place there, in order.
    """
    rng = np.random.default_rng(seed)
    owners, places = [], []
    for group in sorted(set(groups)):
        members = [i for i, one in enumerate(groups) if one == group]
        left = np.array([sizes[i] for i in members])
        share = np.zeros(len(members), int)
        while share.sum() < components and left.any():
            free = np.flatnonzero(left)
            each = (components - int(share.sum())) // len(free)
            some = free if each else rng.permutation(free)[: components - int(share.sum())]
            taken = np.minimum(left[some], max(each, 1))
            share[some] += taken
            left[some] -= taken
        for i, number in zip(members, share.tolist()):
            owners += [i] * number
            places += np.sort(_distinct(rng, sizes[i], number)).tolist()
    order = np.lexsort((places, owners))
    return np.array(owners)[order].tolist(), np.array(places)[order].tolist()


def _distinct(rng: np.random.Generator, size: int, number: int) -> np.ndarray:
    """So many different numbers below a size, which may be huge."""
    if size < 4 * number:
        return rng.permutation(size)[:number]
    found = np.unique(rng.integers(size, size=number))
    while len(found) < number:
        found = np.unique(np.append(found, rng.integers(size, size=number - len(found))))
    return found


def role_of(name: str, owner: str, ndim: int) -> str:
    """Return what an array of parameters is for.

    Args:
        name: of the array, such as "blocks.0.norm.weight".
        owner: class of the module that holds it; empty if that is not known.
        ndim: its number of axes.

    >>> role_of("head.weight", "Linear", 2), role_of("norm.weight", "LayerNorm", 1), role_of("a.bias", "Linear", 1)
    ('weight', 'normalization', 'bias')
    """
    last, where = name.rpartition(".")[2].lower(), f"{owner} {name}".lower()
    if ndim <= 1 and any(word in where for word in _NORMALIZATIONS):
        return "normalization"
    if last in ("bias", "b") or last.endswith("_bias"):
        return "bias"
    if "embedding" in where and ndim == 2:
        return "embedding"
    return "weight"


def in_words(num_bytes: float) -> str:
    """Return a size for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.3g} {unit}"
    return f"{num_bytes:.0f} bytes"
