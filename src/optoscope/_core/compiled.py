"""Functions of optimizers, compiled; what was compiled for one optimizer alone is dropped when others were used since.

Most rules differ from each other in numbers, which are arguments of a compiled program: rules of one kind share it. A
rule that holds functions, such as an optax transformation or a torch optimizer, is a constant of its programs: each one
that is made has programs of its own, and JAX would keep them for as long as the process lives.
"""

import collections
import functools
from collections.abc import Callable, Hashable
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax

#: So many optimizers keep the programs that are theirs alone.
NUM_KEPT = 4

_kept: collections.OrderedDict[Hashable, dict[Hashable, Callable]] = collections.OrderedDict()


def compiled(jit: Callable[..., Callable] = jax.jit, **options: Any) -> Callable[[Callable], Callable]:
    """Compile a function some of whose arguments are optimizers, or hold them.

    Args:
        jit: `jax.jit`, with whole numbers static; or `equinox.filter_jit`, with everything static that is not an array.
        options: those of `jit`.
    """
    kinds = (jax.Array, np.ndarray, np.generic, *([float] if jit is jax.jit else []))

    def decorate(function):
        shared = jit(function, **options)

        @functools.wraps(function)
        def call(*arguments):
            owner = _functions(arguments)
            if not owner:
                return shared(*arguments)
            programs = _kept.setdefault(owner, {})
            _kept.move_to_end(owner)
            while len(_kept) > NUM_KEPT:
                _kept.popitem(last=False)
            leaves, structure = jax.tree.flatten(arguments)
            arrays, fixed = eqx.partition(leaves, lambda leaf: isinstance(leaf, kinds))
            key = (call, structure, *((type(leaf), leaf) for leaf in fixed))
            if key not in programs:
                # A function of its own, which sees arrays only: what JAX keeps for it goes with it and holds no rule.
                programs[key] = jax.jit(lambda arrays: function(*structure.unflatten(eqx.combine(arrays, fixed))))
            return programs[key](arrays)

        return call

    return decorate


def _functions(tree: Any) -> tuple[Hashable, ...]:
    """What holds functions in a pytree: transformations, and the constants of optimizers that `holds` names."""
    found = []
    for leaf in jax.tree.leaves(tree, is_leaf=_holds_functions):
        if isinstance(leaf, optax.GradientTransformation):
            found.append(leaf)
        elif _holds_functions(leaf):
            found.append(leaf.functions)
    return tuple(found)


def _holds_functions(node: Any) -> bool:
    return isinstance(node, optax.GradientTransformation) or getattr(node, "functions", None) is not None
