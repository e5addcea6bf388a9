"""An optimizer of one component as data that a page can run: its program, its initial state, its settings."""

import contextlib
import dataclasses
import itertools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optoscope._core.types import Scalar
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.explorer.program import translate
from optoscope.optimizers import AbstractOptimizer
from optoscope.optimizers.optax_context import with_everything

#: How far the slider of a positive setting goes, as a factor each way; what the slider of a share ends with.
_REACH, _NEAREST_ONE = 100.0, 0.9999
#: What stands before the name of a setting among a program's inputs.
_PREFIX = "setting_"


def runnable(rule: AbstractOptimizer, pool: dict[str, str]) -> dict[str, Any]:
    """Return a rule as JSON data: a program of (h, g, settings) to (h', dx, -d(dx)/dg).

    With settings there is another one, `derivatives`, to (dh'/dh, dh'/dg, d(dx)/dh, d(dx)/dg): what is linear near a
    state follows the settings.

    Args:
        rule: any component-wise optimizer.
        pool: takes the program's constants.

    Raises:
        UntranslatableError: if the rule uses an operation that the page does not know, such as a call of torch.

    >>> from optoscope.optimizers import Momentum
    >>> data = runnable(Momentum(0.1, 0.9), {})
    >>> [setting["name"] for setting in data["settings"]]
    ['learning_rate', 'decay']
    """
    settings = settings_of(rule)
    initial = _initial(rule)
    inputs = {f"{_PREFIX}{one['name']}": one["value"] for one in settings}

    def with_values(values):
        return _with_settings(to_float64(rule), {name.removeprefix(_PREFIX): x for name, x in values.items()})

    def step(h, g, **values):
        (new, update), (_, slope) = jax.jvp(lambda g: with_values(values).step(h, g), (g,), (jnp.ones_like(g),))
        return new, update, -slope

    def derivatives(h, g, **values):
        (A, B), (C, D) = jax.jacfwd(with_values(values).step, argnums=(0, 1))(h, g)
        return A, B, C, D

    found = {"program": translate(step, h=initial, g=0.0, **inputs).to_json(pool), "initial": initial.tolist()}
    if settings:
        found["derivatives"] = translate(derivatives, h=initial, g=0.0, **inputs).to_json(pool)
    return found | {"settings": settings}


def runnable_whole(tx: optax.GradientTransformation, shape: tuple[int, int], pool: dict[str, str]) -> dict[str, Any]:
    """Return a whole optimizer on one matrix as JSON data: a program of (h, g, x) to (h', dx), all flat.

    Args:
        tx: shaped like optax; its state, whose counters count, lies in `h`.
        shape: of the matrix.
        pool: takes the program's constants.

    Raises:
        UntranslatableError: if it uses an operation that the page does not know.
    """
    with jax.enable_x64(True):
        leaves, structure = jax.tree.flatten(tx.init(jnp.zeros(shape)))
        sizes = [int(np.size(leaf)) for leaf in leaves]
        start = np.concatenate([np.zeros(0), *(np.asarray(leaf, np.float64).ravel() for leaf in leaves)])
    ends = np.cumsum([0, *sizes])

    def step(h, g, x):
        parts = [h[low:high] for low, high in itertools.pairwise(ends)]
        state = [part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in zip(parts, leaves)]
        update = with_everything(tx)
        updates, new = update(g.reshape(shape), jax.tree.unflatten(structure, state), x.reshape(shape))
        flat = [leaf.ravel().astype(h.dtype) for leaf in jax.tree.leaves(new)]
        return jnp.concatenate([h[:0], *flat]), updates.ravel()

    zeros = np.zeros(shape).ravel()
    program = translate(step, h=start, g=zeros, x=zeros)
    return {"program": program.to_json(pool), "initial": start.tolist()}


def settings_of(rule: AbstractOptimizer) -> list[dict[str, Any]]:
    """Return the settings of a rule that can be moved, each with its value and how far a slider goes.

    Settings are the fields that are one number by declaration; weights are not.
    """
    found = []
    for field in dataclasses.fields(cast(Any, rule)):
        if field.type != Scalar:
            continue
        value = float(getattr(rule, field.name))
        if _accepts(rule, field.name, 1.5):
            found.append(_setting(field.name, value, value / _REACH, value * _REACH, "positive"))
        else:
            found.append(_setting(field.name, value, 0.0, max(_NEAREST_ONE, value), "share"))
    return found


def _setting(name: str, value: float, low: float, high: float, kind: str) -> dict[str, Any]:
    return {"name": name, "value": value, "low": low, "high": high, "kind": kind}


def _accepts(rule: AbstractOptimizer, name: str, value: float) -> bool:
    with contextlib.suppress(ValueError):
        dataclasses.replace(cast(Any, rule), **{name: value})
        return True
    return False


def _with_settings(rule: AbstractOptimizer, values: dict[str, Any]) -> AbstractOptimizer:
    """Replace fields without their checks, which need numbers and not what stands for them."""
    if not values:
        return rule
    leaves, structure = jax.tree.flatten_with_path(rule)
    named = [values.get(str(getattr(path[0], "name", "")), leaf) for path, leaf in leaves]
    return jax.tree.unflatten(structure, named)


@in_float64
def _initial(rule: AbstractOptimizer) -> np.ndarray:
    return np.asarray(rule.initial_state(), np.float64)
