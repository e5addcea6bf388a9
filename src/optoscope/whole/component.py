"""One component of any optimizer: by itself, among others, or a singular value; and what is to be said of it."""

import dataclasses
import re
from typing import Any, Literal

import numpy as np

from optoscope.artifacts.as_optimizer import as_whole
from optoscope.optimizers import AbstractOptimizer, from_optax
from optoscope.optimizers.context import SPECTRAL, Context
from optoscope.optimizers.torch_host import CannotRun
from optoscope.whole._bench import Case, make_bench
from optoscope.whole._symmetries import is_of_matrices, measure_symmetries, rotates

View = Literal["own", "context", "spectral"]


@dataclasses.dataclass(frozen=True)
class Component:
    """One component of a whole optimizer.

    Attributes:
        optimizer: the rule, whose updates are the whole optimizer's on fresh gradients.
        view: "own" (it stands by itself), "context" (among others), "spectral" (a singular value among others).
        context: the others; None for "own", and where only the parameter had to be held.
        sentence: what is to be said of it beside a diagnosis; empty for "own".
        reason: why it does not stand by itself; empty for "own".
    """

    optimizer: AbstractOptimizer
    view: View
    context: Context | None
    sentence: str
    reason: str = ""


def find_component(optimizer: Any, *, trust: bool = False, symmetries: dict[str, float] | None = None) -> Component:
    """Take one component out of an optimizer: by itself, else among others, else a singular value.

    Of an optimizer that treats matrices as linear maps (it commutes with rotations of rows and columns, and neither
    the order of components nor their signs are free), the singular value comes before the component among others.

    Args:
        optimizer: whatever `as_optimizer` takes: an optax transformation; a torch optimizer, its class, a function
            that makes one, or a stack; a name, a text; or a rule of one component, which is returned as it is.
        trust: of a text: call whatever it names.
        symmetries: of the optimizer, as `structure` has them; measured if None.

    Raises:
        TypeError: if it is none of these.
        ValueError: if none can be taken out; the message says why, or what the optimizer asks for.
    """
    whole = _whole(optimizer, trust)
    if isinstance(whole, AbstractOptimizer):
        return Component(whole, "own", None, "")
    try:
        return Component(from_optax(whole), "own", None, "")
    except CannotRun:
        raise
    except ValueError as error:
        reason = what_is_not(error)
    tries = [_among_others, _on_a_diagonal]
    if _is_spectral(whole, symmetries):
        tries = [find_singular_value, _among_others]
    try:
        return dataclasses.replace(tries[0](whole), reason=reason)
    except ValueError as error:
        try:
            return dataclasses.replace(tries[1](whole), reason=reason)
        except ValueError:
            raise error from None


def what_is_not(error: Exception) -> str:
    """What a refusal of `from_optax` or `from_torch` measured, without what stands before and behind it."""
    text = " ".join(str(error).split()).split("and this one does not: ")[-1]
    return re.split(r"; `rollout` runs|\. torch runs it|\. Leave out", text)[0]


def _among_others(whole: Any) -> Component:
    found = from_optax(whole, context=True)
    context = getattr(getattr(found, "rule", found), "context", None)
    if context is None:
        return Component(found, "context", None, "looked at with its parameter held at 0")
    return Component(found, "context", context, f"one component looked at {context.describe()}")


def _on_a_diagonal(whole: Any) -> Component:
    """The same stimulus as that of a singular value, of an optimizer to which it is an entry like any other."""
    found, context = _of_diagonals(whole)
    return Component(found, "context", context, f"one entry of a diagonal matrix looked at {context.describe()}")


def _is_spectral(whole: Any, symmetries: dict[str, float] | None) -> bool:
    try:
        symmetries = symmetries or measure_symmetries(make_bench(whole), 16)
    except Exception:
        return False  # it does not take such matrices
    return rotates(symmetries) and is_of_matrices(symmetries)


def find_singular_value(optimizer: Any) -> Component:
    """Take out a singular value, of an optimizer that commutes with rotations.

    The gradients are diagonal: `diag(g, s_2, s_3)`. In an optimizer that commutes with rotations of rows and columns
    this is every matrix of these singular values. How far it does is what `structure` measures.

    Raises:
        ValueError: if none can be taken out.
    """
    found, context = _of_diagonals(_whole(optimizer))
    return Component(found, "spectral", context, f"one singular value looked at {context.describe()}")


def _of_diagonals(whole: Any) -> tuple[AbstractOptimizer, Any]:
    """The rule of one entry of diagonal gradients, and its context: the first that can be taken out."""
    reason = None
    for context in SPECTRAL:
        try:
            return from_optax(whole, context=context), context
        except ValueError as error:
            reason = reason or error
    assert reason is not None
    raise reason


def off_diagonal_leak(optimizer: Any, *, num_steps: int = 12, size: int = 12) -> float:
    """Return the share of the updates that leaves the singular vectors of fixed gradients `U diag(s) V^T`.

    Args:
        optimizer: as in `structure`.
        num_steps: updates looked at.
        size: of the square matrix.
    """
    rng = np.random.default_rng(31)
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(2))
    values = np.geomspace(1.0, 1e-3, size)
    gradient = np.repeat((left @ np.diag(values) @ right.T)[None], num_steps, 0)
    updates = make_bench(optimizer).run([Case([np.zeros((size, size))], [gradient])])[0][0]
    turned = left.T @ updates @ right
    outside = turned * (1 - np.eye(size))
    return float(np.sqrt((outside**2).sum() / max((turned**2).sum(), 1e-300)))


def spectral_update(
    optimizer: Any, *, singular_values: np.ndarray | None = None, num_steps: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Return singular values of constant gradients and those of the update that they lead to, as `s` and `-d`.

    Args:
        optimizer: as in `structure`.
        singular_values: from 1e-4 to 1 if None.
        num_steps: gradients before the update that is looked at.
    """
    rng = np.random.default_rng(32)
    s = np.geomspace(1e-4, 1.0, 24) if singular_values is None else np.asarray(singular_values, float)
    left, right = (np.linalg.qr(rng.standard_normal((len(s), len(s))))[0] for _ in range(2))
    gradient = np.repeat((left @ np.diag(s) @ right.T)[None], num_steps, 0)
    update = make_bench(optimizer).run([Case([np.zeros((len(s), len(s)))], [gradient])])[0][0][-1]
    return s, -np.diag(left.T @ update @ right)


def _whole(optimizer: Any, trust: bool = False) -> Any:
    if hasattr(optimizer, "gradient_transformation"):
        optimizer = optimizer.gradient_transformation()
    return as_whole(optimizer, trust=trust)
