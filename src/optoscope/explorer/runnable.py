"""An optimizer of one component as data that a page can run: its program, its initial state, its settings."""

import contextlib
import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.types import Scalar
from optoscope.dynamics import Modes
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.explorer.program import translate
from optoscope.optimizers import AbstractOptimizer

#: How far the slider of a positive setting goes, as a factor each way; what the slider of a share ends with.
_REACH, _NEAREST_ONE = 100.0, 0.9999
#: What stands before the name of a setting among a program's inputs.
_PREFIX = "setting_"


def runnable(rule: AbstractOptimizer, pool: dict[str, str]) -> dict[str, Any]:
    """Return a rule as JSON data: a program of (h, g, settings) to (h', dx, -d(dx)/dg).

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

    def step(h, g, **values):
        changed = _with_settings(to_float64(rule), {name.removeprefix(_PREFIX): x for name, x in values.items()})
        (new, update), (_, slope) = jax.jvp(lambda g: changed.step(h, g), (g,), (jnp.ones_like(g),))
        return new, update, -slope

    program = translate(step, h=initial, g=0.0, **inputs)
    return {"program": program.to_json(pool), "initial": initial.tolist(), "settings": settings}


def runnable_modes(modes: Modes, pool: dict[str, str]) -> dict[str, Any]:
    """Return the linear optimizer that modes make as JSON data, with a setting for each of `units()`: 1 keeps it.

    Args:
        modes: those of a linearized optimizer.
        pool: takes the program's constants.
    """
    parts = [modes.as_optimizer(unit) for unit in modes.units()]
    initial = [_initial(part) for part in parts]
    places = np.cumsum([0] + [len(part) for part in initial])
    settings = [_setting(f"mode_{i + 1}", 1.0, 0.0, 1.0, "switch") for i in range(len(parts))]

    def step(h, g, **kept):
        states, update = [], -modes.direct * g
        for i, part in enumerate(parts):
            state, dx = to_float64(part).step(h[places[i] : places[i + 1]], g)
            states.append(state)
            update = update + kept[f"{_PREFIX}mode_{i + 1}"] * dx
        return jnp.concatenate([h[:0], *states]), update, jnp.zeros(())

    inputs = {f"{_PREFIX}{one['name']}": one["value"] for one in settings}
    start = np.concatenate([np.zeros(0), *initial])
    program = translate(step, h=start, g=0.0, **inputs)
    return {"program": program.to_json(pool), "initial": start.tolist(), "settings": settings}


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
