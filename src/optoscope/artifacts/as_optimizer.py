"""From whatever a person has to an optimizer: the one way in, for every public function and every command."""

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optoscope import artifacts
from optoscope._core.allowed import check_text
from optoscope.artifacts import TrainedOptimizer, TunedOptimizer
from optoscope.artifacts.spec import OptimizerSpec, find_target, is_torch_class, parse_spec, returns_transformation
from optoscope.optimizers import AbstractOptimizer, TorchStack, from_optax, from_torch, whole_torch
from optoscope.optimizers._leaks import first_line
from optoscope.optimizers.torch_host import Refusal

#: What every public function takes: see `as_optimizer`.
AnyOptimizer = Any
#: What `read` returns.
Read = AbstractOptimizer | optax.GradientTransformation | TrainedOptimizer | TunedOptimizer

_TAKEN = (
    "an optimizer is a shipped name such as 'rosenbrock', the path of an artifact, a text such as "
    "'optax:adam(learning_rate=0.001)', an optax transformation, a torch optimizer, its class or a function that makes "
    "one of a list of parameters, or an AbstractOptimizer"
)


def as_optimizer(given: AnyOptimizer, *, trust: bool = False) -> AbstractOptimizer | optax.GradientTransformation:
    """Turn whatever a person has into an optimizer.

    Args:
        given: one of

            - a shipped name (`optoscope.shipped()`), or the path of an artifact;
            - a text `module:name(literals)`, such as `torch.optim:SGD(lr=0.1)`. Only optimizers are called: subclasses
              of `AbstractOptimizer` and of `torch.optim.Optimizer`, and functions whose annotation says that they
              return an `optax.GradientTransformation`;
            - an artifact from `load`;
            - an optax transformation;
            - a torch optimizer (its settings are taken, not its state), its class, a function that makes one of a
              list of parameters, or a `TorchStack`;
            - an `AbstractOptimizer`, which is returned as it is.
        trust: of a text: call whatever it names. It runs with all that you may do.

    Returns:
        The rule of one component, or the whole optimizer shaped like optax, which need not be component-wise.

    Raises:
        TypeError: if it is none of these.
        ValueError: if a text is not of its form, names no optimizer, or the optimizer cannot be made.
        FileNotFoundError: for an unknown name or path.

    >>> as_optimizer("optoscope.optimizers:Momentum(learning_rate=0.1, decay=0.9)").decay
    0.9
    """
    found = read(given, trust=trust)
    return found.optimizer if isinstance(found, TrainedOptimizer | TunedOptimizer) else found


def as_rule(given: AnyOptimizer, *, trust: bool = False) -> AbstractOptimizer:
    """Turn whatever a person has into the rule of one component; as `as_optimizer`, and through `from_optax`.

    Args:
        given: as for `as_optimizer`.
        trust: as for `as_optimizer`.

    Returns:
        The rule.

    Raises:
        TypeError: as `as_optimizer`.
        ValueError: as `as_optimizer`, or if the optimizer is not component-wise.
        FileNotFoundError: as `as_optimizer`.

    >>> as_rule(optax.sgd(0.1, momentum=0.9)).num_states
    1
    """
    found = as_whole(given, trust=trust)
    return found if isinstance(found, AbstractOptimizer) else from_optax(found)


def as_optimizers(given: Mapping[str, AnyOptimizer]) -> dict[str, AbstractOptimizer | optax.GradientTransformation]:
    """Turn every value of a mapping into an optimizer."""
    return {name: as_optimizer(one) for name, one in given.items()}


def as_whole(given: AnyOptimizer, *, trust: bool = False) -> Any:
    """Turn whatever a person has into a whole optimizer: as `as_optimizer`, but torch's are left whole."""
    found = read_whole(given, trust=trust)
    return found.optimizer if isinstance(found, TrainedOptimizer | TunedOptimizer) else found


def read_whole(given: AnyOptimizer, *, trust: bool = False) -> Read:
    """Return the optimizer as `as_whole` does, but an artifact whole."""
    return read(given, trust=trust, make=whole_torch)


def _rule_or_whole(factory: Callable[[list], Any]) -> Read:
    """The rule of one component where a torch optimizer is one; else the whole of it, shaped like optax."""
    try:
        return from_torch(factory)
    except Refusal:
        return whole_torch(factory)


def read(given: AnyOptimizer, *, trust: bool = False, make: Callable[[Any], Any] = _rule_or_whole) -> Read:
    """Return the optimizer as `as_optimizer` does, but an artifact whole: it knows more than its optimizer.

    Args:
        given: as for `as_optimizer`.
        trust: as for `as_optimizer`.
        make: what becomes of a function that makes a torch optimizer of a list of parameters.
    """
    if hasattr(given, "gradient_transformation"):  # optax.MultiSteps
        given = given.gradient_transformation()
    if isinstance(given, Read):
        return given
    if isinstance(given, str):
        spec = parse_spec(given)
        return _loaded(given) if spec is None else _called(spec, trust, make)
    if isinstance(given, Path):
        return artifacts.load(given)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(given, torch.optim.Optimizer):
        return make(_factory_like(given))
    if is_torch_class(given) or isinstance(given, TorchStack):
        return make(given)
    if isinstance(given, type) or returns_transformation(given):
        name = getattr(given, "__name__", "it")
        raise TypeError(f"{name} was given without its settings; pass what it returns: {name}(...).")
    if callable(given):
        return _made_by(given, make)
    raise TypeError(f"{_TAKEN}; got {type(given).__name__}.")


def name_of_optimizer(given: AnyOptimizer) -> str | None:
    """Return what a person would call what was given; None if that is not plain.

    >>> name_of_optimizer("rosenbrock"), name_of_optimizer(optax.sgd(0.1))
    ('rosenbrock', None)
    """
    if isinstance(given, str | Path):
        return str(given)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(given, torch.optim.Optimizer):
        return type(given).__name__
    return given.__name__ if is_torch_class(given) else None


def _loaded(name: str) -> Read:
    check_text("optimizer", name)
    if ":" in name and not Path(name).exists():
        raise ValueError(f"{name!r} is neither a name nor a path nor module:name(literals); {_TAKEN}.")
    return artifacts.load(name)


def _called(spec: OptimizerSpec, trust: bool, make: Callable[[Any], Any]) -> Read:
    """Call what a spec names; whatever goes wrong in it is a fault of the spec."""
    target = find_target(spec, trust=trust)
    try:
        if is_torch_class(target):
            return make(lambda params: target(params, *spec.args, **spec.kwargs))
        made = target(*spec.args, **spec.kwargs)
    except (Exception, SystemExit) as error:
        reason = str(error) if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{spec.text} failed: {reason}") from error
    if not isinstance(made, AbstractOptimizer | optax.GradientTransformation):
        raise ValueError(f"{spec.text} gave a {type(made).__name__}, not an optimizer.")
    _try_step(spec, made)
    return made


def _try_step(spec: OptimizerSpec, made: AbstractOptimizer | optax.GradientTransformation) -> None:
    """Find out at once whether it takes a step at all, on shapes alone."""
    x = jnp.zeros(3)
    try:
        if isinstance(made, AbstractOptimizer):
            update = jax.eval_shape(lambda g: made.step(made.initial_state(), g)[1], jnp.zeros(()))
            if shape := jnp.shape(update):
                raise TypeError(f"the update of one component has the shape {shape}, not that of one number")
        else:
            jax.eval_shape(lambda g: made.update(g, made.init(x), x), x)
    except Exception as error:
        raise ValueError(f"{spec.text} cannot make a step: {first_line(error)}; check its settings.") from error


def _factory_like(optimizer: Any) -> Callable[[list], Any]:
    """Return what makes a torch optimizer with the settings of another one."""
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    kind = type(optimizer)
    if any(one != settings[0] for one in settings):
        raise ValueError(
            f"this {kind.__name__} has {len(settings)} groups of parameters with different settings, which are as many "
            f"optimizers; pass one of them, as `lambda params: {kind.__name__}(params, lr=...)`."
        )
    parameters = inspect.signature(kind).parameters
    takes = {name: value for name, value in settings[0].items() if name in parameters}
    return lambda params: kind(params, **takes)


def _made_by(function: Callable[..., Any], make: Callable[[Any], Any]) -> Read:
    """Return the optimizer that a function of a person makes: of no arguments, or a torch one of parameters."""
    try:
        needs_nothing = not any(
            one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            for one in inspect.signature(function).parameters.values()
        )
    except (TypeError, ValueError):
        needs_nothing = False
    if not needs_nothing:
        return make(function)
    made = function()
    if not isinstance(made, Read):
        raise TypeError(f"the function gave a {type(made).__name__}; {_TAKEN}.")
    return made
