"""Every rule that the installed optax makes, found by looking, with the arguments that it cannot do without."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import optax
import optax.contrib

#: Arguments of this name are given these values wherever they have no default.
BY_NAME: dict[str, Any] = {
    "learning_rate": 0.1,
    "step_size": 0.1,
    "decay": 0.9,
    "clipping": 0.1,
    "max_delta": 1.0,
    "max_norm": 1.0,
    "threshold": 1.0,
    "eta": 0.01,
    "gamma": 0.55,
    "max_consecutive_errors": 3,
    "sync_period": 5,
    "slow_step_size": 0.5,
    "max_backtracking_steps": 10,
    "max_linesearch_steps": 10,
    "l2_norm_clip": 1.0,
    "noise_multiplier": 0.1,
    "seed": 0,
    "key": 0,
    "mask": False,
    "freeze_mask": False,
    "param_labels": "all",
    "measure_name": "copy",
}
#: Arguments that are objects, made when they are needed; a text says what they are.
MADE: dict[str, tuple[str, Callable[[], Any]]] = {
    "inner": ("sgd(0.1, momentum=0.9)", lambda: optax.sgd(0.1, momentum=0.9)),
    "tx": ("sgd(0.1, momentum=0.9)", lambda: optax.sgd(0.1, momentum=0.9)),
    "optimizer": ("sgd(0.1, momentum=0.9)", lambda: optax.sgd(0.1, momentum=0.9)),
    "base_optimizer": ("sgd(0.1, momentum=0.9)", lambda: optax.sgd(0.1, momentum=0.9)),
    "fast_optimizer": ("sgd(0.1, momentum=0.9)", lambda: optax.sgd(0.1, momentum=0.9)),
    "adv_optimizer": ("sgd(0.05)", lambda: optax.sgd(0.05)),
    "transforms": ("{'all': sgd(0.1, momentum=0.9)}", lambda: {"all": optax.sgd(0.1, momentum=0.9)}),
    "step_size_fn": ("cosine_decay_schedule(0.1, 200)", lambda: optax.cosine_decay_schedule(0.1, 200)),
    "should_transform_fn": ("every second step", lambda: lambda step, **_: step % 2 == 0),
    "measure": ("the updates themselves", lambda: lambda updates, *_, **__: updates),
    "measures": ("{'size': ema(0.9)}", lambda: {"size": optax.ema(0.9)}),
    "f": ("the updates, halved", lambda: _halved),
}
#: Of these rules an argument means something else than elsewhere.
OF_RULE: dict[str, dict[str, tuple[str, Callable[[], Any]]]] = {
    "optax.stateless_with_tree_map": {"f": ("the update, halved", lambda: lambda g, x: g / 2)},
    "optax.contrib.scale_by_muon": {  # its default fails in its own code
        "weight_dimension_numbers": ("those of matrices, for all", lambda: _matrices)
    },
    "optax.masked": {"mask": ("all are left in", lambda: lambda params: jax.tree.map(lambda _: True, params))},
    "optax.partition": {"param_labels": ("all alike", lambda: lambda params: jax.tree.map(lambda _: "all", params))},
    "optax.multi_transform": {
        "param_labels": ("all alike", lambda: lambda params: jax.tree.map(lambda _: "all", params))
    },
}
#: Rules whose arguments are positional: text and objects.
POSITIONAL: dict[str, tuple[str, Callable[[], tuple]]] = {
    "optax.chain": ("clip(1.0), sgd(0.1)", lambda: (optax.clip(1.0), optax.sgd(0.1))),
    "optax.named_chain": (
        "('clip', clip(1.0)), ('sgd', sgd(0.1))",
        lambda: (("clip", optax.clip(1.0)), ("sgd", optax.sgd(0.1))),
    ),
}


def _halved(updates, params=None):
    del params
    return jax.tree.map(lambda g: g / 2, updates)


def _matrices(params):
    return jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), params)


@dataclasses.dataclass(frozen=True)
class OptaxRule:
    """A rule of optax with its arguments.

    Attributes:
        name: such as `optax.contrib.adopt`.
        arguments: what it is given, as text.
        make: makes the transformation.
    """

    name: str
    arguments: str
    make: Callable[[], optax.GradientTransformation]

    @property
    def title(self) -> str:
        """Name and arguments."""
        return f"{self.name.removeprefix('optax.')}({self.arguments})"


def find_rules() -> list[OptaxRule]:
    """Return every public function of optax and optax.contrib that makes a gradient transformation.

    A function counts if its annotation says so, or, where it has none, if calling it gives one. Rules that decay
    weights unless told not to are there twice: as they are, and without.
    """
    rules = []
    for module in (optax, optax.contrib):
        for short_name in sorted(vars(module)):
            factory = vars(module)[short_name]
            is_function = inspect.isfunction(factory) or isinstance(factory, functools.partial)
            if short_name.startswith("_") or not is_function:
                continue
            rules += _rules_of(f"{module.__name__}.{short_name}", factory)
    return rules


def _rules_of(name: str, factory: Callable) -> list[OptaxRule]:
    signature = inspect.signature(factory)
    promised = signature.return_annotation
    text = promised if isinstance(promised, str) else getattr(promised, "__name__", str(promised))
    says_so = "GradientTransformation" in str(text)
    if not says_so and promised is not inspect.Signature.empty:
        return []
    given, words = _arguments(name, signature)
    if given is None:
        if says_so:
            return [OptaxRule(name, "...", functools.partial(_unknown_arguments, name))]
        return []
    positional_text, positional = POSITIONAL.get(name, ("", tuple))
    make = lambda **extra: factory(*positional(), **{k: make_one() for k, make_one in given.items()}, **extra)
    if not says_so and not _gives_a_transformation(make):
        return []
    words = [positional_text, *words] if positional_text else words
    rules = [OptaxRule(name, ", ".join(words), make)]
    decay = signature.parameters.get("weight_decay")
    if decay is not None and decay.default not in (0, 0.0, None, inspect.Parameter.empty):
        without = functools.partial(make, weight_decay=0.0)
        rules.append(OptaxRule(name, ", ".join([*words, "weight_decay=0.0"]), without))
    return rules


def _arguments(name: str, signature: inspect.Signature):
    """How to make each argument without a default, and the text for it; None for one of which nothing is known."""
    given: dict[str, Callable[[], Any]] = {}
    words: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        of_rule = OF_RULE.get(name, {}).get(parameter.name)
        if parameter.default is not inspect.Parameter.empty and of_rule is None:
            continue
        special = of_rule or MADE.get(parameter.name)
        if special is not None:
            words.append(f"{parameter.name}: {special[0]}")
            given[parameter.name] = special[1]
        elif parameter.name in BY_NAME:
            value = BY_NAME[parameter.name]
            words.append(f"{parameter.name}={value!r}")
            given[parameter.name] = lambda value=value: value
        else:
            return None, []
    return given, words


def _gives_a_transformation(make: Callable[[], Any]) -> bool:
    try:
        return isinstance(make(), optax.GradientTransformation)
    except Exception:
        return False


def _unknown_arguments(name: str):
    raise TypeError(f"no arguments are known for {name}; add them to `optoscope.calibration.optax_rules`.")
