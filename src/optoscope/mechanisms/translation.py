"""Settings of one optimizer under which it is another: what the other's are called here, and which switches."""

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from optoscope.artifacts.as_optimizer import AnyOptimizer, as_rule
from optoscope.artifacts.spec import find_target, is_torch_class, parse_spec
from optoscope.mechanisms.explanation.rule import ExplainedOptimizer
from optoscope.optimizers import AbstractOptimizer, from_optax, from_torch

#: What settings are called by optax, torch and here, by what they do; those of a pair have a place in it.
ROLES: dict[str, tuple[str, ...]] = {
    "rate": ("learning_rate", "lr"),
    "momentum": ("momentum", "b1", "betas[0]"),
    "squares": ("b2", "betas[1]", "alpha", "rho", "decay"),
    "eps": ("eps",),
    "dampening": ("dampening",),
    "start": ("initial_accumulator_value", "initial_scale"),
}
#: Switches that say how something is computed, or turn the direction: no translation goes by them.
_NO_CHOICE = ("foreach", "fused", "capturable", "differentiable", "maximize", "debug")
#: Switches that are changed at once, at most.
_SWITCHES = 2


def names_of(role: str, settings: dict[str, Any]) -> tuple[str, ...]:
    """Return what a role is called among some settings: where no squares are taken, a decay is that of momentum."""
    is_plain = "decay" in settings and "eps" not in settings
    moved = {"momentum": ("decay",), "squares": ()} if is_plain else {}
    return moved.get(role, ROLES[role])


@dataclasses.dataclass(frozen=True)
class Adjustable:
    """An optimizer that can be made with other settings.

    Attributes:
        make: makes the rule of one component of settings.
        settings: all that are numbers, pairs of numbers or switches, as they are in force.
    """

    make: Callable[..., AbstractOptimizer]
    settings: dict[str, Any]

    def by_role(self) -> dict[str, float]:
        """Return the numbers by what they do."""
        found = {}
        for role in ROLES:
            for name in names_of(role, self.settings):
                head, _, place = name.partition("[")
                value = self.settings.get(head)
                if isinstance(value, tuple | list) and place:
                    found.setdefault(role, float(value[int(place[0])]))
                elif isinstance(value, int | float) and not isinstance(value, bool) and not place:
                    found.setdefault(role, float(value))
        return found

    def with_roles(self, wanted: dict[str, float]) -> dict[str, Any]:
        """Return the settings that have to change for the numbers to be these."""
        changed: dict[str, Any] = {}
        for role, value in wanted.items():
            for name in names_of(role, self.settings):
                head, _, place = name.partition("[")
                if head not in self.settings:
                    continue
                now = changed.get(head, self.settings[head])
                if place:
                    pair = list(now)
                    pair[int(place[0])] = value
                    changed[head] = tuple(pair)
                else:
                    changed[head] = value
                break
        return {name: value for name, value in changed.items() if value != self.settings[name]}


def adjustable(given: AnyOptimizer, *, trust: bool = False) -> Adjustable | None:
    """Return what was given with its settings open: a text `module:name(literals)`, or a rule of numbers."""
    if isinstance(given, AbstractOptimizer):
        return _own(given)
    spec = parse_spec(given) if isinstance(given, str) else None
    if spec is None:
        return None
    target = find_target(spec, trust=trust)
    if isinstance(target, type) and issubclass(target, AbstractOptimizer):
        return _own(as_rule(given, trust=trust))
    is_torch = is_torch_class(target)
    parameters = dict(inspect.signature(target).parameters)
    if is_torch:
        parameters.pop("params", None)
    settings = {name: one.default for name, one in parameters.items() if one.default is not one.empty}
    settings.update(zip(parameters, spec.args))
    settings.update(spec.kwargs)
    settings = {name: value for name, value in settings.items() if _is_setting(value) and name not in _NO_CHOICE}
    fixed = {**dict(zip(parameters, spec.args)), **spec.kwargs}

    def make(**changed: Any) -> AbstractOptimizer:
        taken = {**fixed, **changed}
        return from_torch(lambda params: target(params, **taken)) if is_torch else from_optax(target(**taken))

    return Adjustable(make, settings)


def _own(rule: AbstractOptimizer) -> Adjustable | None:
    fields = {field.name: getattr(rule, field.name) for field in dataclasses.fields(rule)}
    numbers = {name: float(value) for name, value in fields.items() if np.ndim(value) == 0 and _is_number(value)}
    return Adjustable(lambda **changed: dataclasses.replace(rule, **changed), numbers) if numbers else None


def _is_number(value: Any) -> bool:
    return np.issubdtype(np.asarray(value).dtype, np.number)


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(isinstance(part, int | float) for part in value)
    return isinstance(value, bool | int | float)


def numbers_of(rule: ExplainedOptimizer) -> dict[str, float]:
    """Return the numbers of an explanation by what they do, where they have a name in settings."""
    found = {}
    memory = rule.memory
    if len(memory.D) == 1 and memory.order == 1:
        found["momentum"] = float(memory.A[0, 0, 0])
    if rule.law is None:
        found["rate"] = float(rule.after[-1])
    else:
        found |= {"squares": float(rule.law.decay), "eps": float(rule.law.eps)}
    return {name: float(f"{value:.8g}") for name, value in found.items()}


def trials(second: Adjustable, wanted: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Yield settings of the second that may make it the first: fewest changes first."""
    switches = [name for name, value in second.settings.items() if isinstance(value, bool)]
    numbers = second.with_roles(wanted)
    for count in range(min(_SWITCHES, len(switches)) + 1):
        for base in ({}, numbers) if numbers else ({},):
            for flipped in itertools.combinations(switches, count):
                changed = {**base, **{name: not second.settings[name] for name in flipped}}
                if changed:
                    yield changed
