"""From a torch optimizer to the rule of one component, where there is one."""

import functools
import importlib.util
from typing import Any, ClassVar, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from optoscope._core.checks import check_choice, check_count
from optoscope._core.chunks import num_before_padding
from optoscope._core.types import Array, Float, Scalar
from optoscope.optimizers._base import AbstractOptimizer
from optoscope.optimizers._torch_context import TorchContextRule, find_context_rule
from optoscope.optimizers._torch_probes import find_rule
from optoscope.optimizers._torch_rule import TorchRule
from optoscope.optimizers.context import Context, contexts
from optoscope.optimizers.torch_host import CannotRun, Refusal
from optoscope.optimizers.torch_stack import as_factory

Clock = Literal["run", "frozen"]


@final
class TorchOptimizer(AbstractOptimizer):
    """The rule of one component inside a torch optimizer, run by torch itself; `from_torch` makes it.

    The state is one vector: first the variables of the component (Adam: `exp_avg`, `exp_avg_sq`); then `parameter`, if
    the optimizer keeps copies of it; then, if the clock runs, the number of steps taken (`step`), where it matters.
    Where the first step alone is a special one (SGD with dampening), this is `started`, 0 before it and 1 after. What
    no update depends on is left out. All that components share is what it was in a run of the optimizer, after as
    many steps.

    Every call leaves JAX, on the host; a batch is one call. Derivatives of any number of components are one call too:
    by torch's forward mode, in float64. They take clocks as constant. Second derivatives are refused.

    Attributes:
        rule: what runs the optimizer; its `repr` gives the optimizer's settings.
        clock: "run" if the number of steps is part of the state, "frozen" if it stands still. A running clock has no
            fixed point: it never stands still.
        clock_steps: the number of steps after which the clock was frozen; None if it runs.
        clock_values: the clock at that moment; empty if it runs, or there is none.
    """

    runs_on_host: ClassVar[bool] = True

    rule: TorchRule | TorchContextRule = eqx.field(static=True)
    clock: Clock = eqx.field(static=True)
    clock_steps: int | None = eqx.field(static=True)
    clock_values: tuple[float, ...] = eqx.field(static=True)

    @property
    def has_running_clock(self) -> bool:
        """Whether the state holds the number of steps taken."""
        return self.clock == "run" and self.rule.num_clocks > 0

    @property
    def state_names(self) -> tuple[str, ...]:
        """The name of each state variable, as torch calls it."""
        return (*self.rule.own_names, *[self.rule.clock] * self.has_running_clock)

    @property
    def derivatives(self) -> Literal["forward mode", "differences"]:
        """How derivatives are taken: exactly, or by central differences (relative error around 1e-9)."""
        return "differences" if self.rule.forward_mode is None else "forward mode"

    @property
    def functions(self) -> TorchRule | TorchContextRule:
        """What of it is a constant of compiled programs."""
        return self.rule

    def initial_state(self) -> Float[Array, " state"]:
        row = self.rule.initial_row()
        return jnp.asarray(row if self.clock == "run" else row[: self.rule.num_own], float)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        row = _advance(self.rule, self._frozen, jnp.append(h, jnp.asarray(g, h.dtype)))
        return row[:-1], row[-1]

    def step_components(
        self, h: Float[Array, "component state"], g: Float[Array, " component"]
    ) -> tuple[Float[Array, "component state"], Float[Array, " component"]]:
        rows = _advance(self.rule, self._frozen, jnp.column_stack([h, g.astype(h.dtype)]))
        return rows[:, :-1], rows[:, -1]

    @property
    def _frozen(self):
        return None if self.clock == "run" else self.clock_values


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _advance(rule, frozen, rows):
    return _on_the_host(functools.partial(rule.advance, frozen=frozen), rows, rows.shape)


@_advance.defjvp
def _advance_with_tangent(rule, frozen, primals, tangents):
    (rows,), (tangent,) = primals, tangents
    derivatives = _derivatives(rule, frozen, rows)
    product = jnp.einsum("...ij,...j->...i", derivatives, tangent, precision="highest")
    return _advance(rule, frozen, rows), product


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _derivatives(rule, frozen, rows):
    linearize = functools.partial(rule.linearize, frozen=frozen)
    return _on_the_host(linearize, rows, (*rows.shape, rows.shape[-1]))


@_derivatives.defjvp
def _no_second_derivatives(rule, frozen, primals, tangents):
    raise NotImplementedError(
        "second derivatives of a torch optimizer are not available; take differences of the first ones, or use the "
        "same rule from optax through `from_optax`."
    )


def _on_the_host(function, rows, shape):
    if rows.dtype not in (jnp.float32, jnp.float64):
        raise ValueError(f"a torch optimizer is run on states in float32 or float64, got {rows.dtype}; convert them.")

    def call(rows):
        rows = np.array(rows)
        flat = rows.reshape(-1, rows.shape[-1])
        num = num_before_padding(flat)
        flat = function(flat[:num])[np.minimum(np.arange(len(flat)), num - 1)]
        return flat.reshape(*rows.shape[:-1], *flat.shape[1:]).astype(rows.dtype)

    if not isinstance(rows, Tracer):
        return jnp.asarray(call(rows))
    kind = np.dtype(rows.dtype)
    num_words = kind.itemsize // 4

    def call_in_words(words):
        rows = np.ascontiguousarray(np.asarray(words)).view(kind)[..., 0]
        return np.ascontiguousarray(call(rows))[..., None].view(np.uint32)

    # Numbers travel as 32-bit words: JAX may call from a thread where 64-bit numbers are off and would be cut down.
    words = jax.lax.bitcast_convert_type(rows, jnp.uint32).reshape(*rows.shape, num_words)
    out = jax.ShapeDtypeStruct((*shape, num_words), jnp.uint32)
    words = jax.pure_callback(call_in_words, out, words, vmap_method="expand_dims")
    return jax.lax.bitcast_convert_type(words if num_words > 1 else words[..., 0], rows.dtype)


def from_torch(
    factory: Any, *, context: Context | bool | None = None, clock: Clock = "run", clock_steps: int = 100_000
) -> TorchOptimizer:
    """Take the rule of one component out of a torch optimizer, by running it.

    Nothing about any optimizer is known beforehand: what it keeps, what it shares and what it reads is measured on
    random gradients of many scales, on one component alone and together with others, and at different non-zero
    parameters. The probes are deterministic. Whatever is not component-wise is refused.

    Args:
        factory: makes the optimizer of a list of parameters, such as
            `lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9)`; or its class, the optimizer of a script
            (its settings are taken), or a `TorchStack`. Needs the extra `optoscope[torch]`.
        context: the other components, for an optimizer that is not component-wise: one component is then taken out of
            it with the others under a stationary stimulus. True tries the usual contexts; where a component reads
            its own parameter alone, none is needed, and the parameter stays at 0.
        clock: what to do with the number of steps taken, if it matters, as it does to Adam: "run" makes it part of the
            state, "frozen" holds everything but the component's own variables as it is after `clock_steps`.
        clock_steps: the moment at which "frozen" holds it.

    Returns:
        The rule, with the choice of clock recorded in `clock` and `clock_steps`. Its updates were compared with those
        of the whole optimizer on sequences of 64 gradients that played no part in finding it.

    Raises:
        ImportError: if torch is not installed.
        TypeError: if `factory` makes no torch optimizer.
        CannotRun: if it cannot be made or stepped; the message says what it asks for.
        ValueError: if the optimizer is not component-wise, or reads the parameters, and no context is given; the
            message gives the leak that was measured.

    >>> import torch
    >>> optimizer = from_torch(lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9))
    >>> h, dx = optimizer.step(optimizer.initial_state(), 1.0)
    >>> optimizer.state_names, h.tolist(), round(float(dx), 3)
    (('momentum_buffer',), [1.0], -0.1)
    """
    if importlib.util.find_spec("torch") is None:
        raise ImportError('`from_torch` needs PyTorch: pip install "optoscope[torch]".')
    check_choice("clock", clock, ("run", "frozen"))
    check_count("clock_steps", clock_steps, minimum=0, hint="100,000 lets bias corrections vanish")
    factory = as_factory(factory)
    rule = find_rule(factory) if context is None or context is False else _in_context(factory, context)
    if clock == "run":
        return TorchOptimizer(rule, clock, None, ())
    return TorchOptimizer(rule, clock, clock_steps, rule.clock_after(clock_steps))


def _in_context(factory: Any, context: Context | bool) -> TorchRule | TorchContextRule:
    """The rule of one component with its parameter at 0, where it stands alone; else among others."""
    tries = contexts(context)
    if context is True:
        try:
            return find_rule(factory, reads_parameters=True)
        except Refusal:
            pass
    reason: Exception | None = None
    for each in tries:
        try:
            return find_context_rule(factory, each)
        except (CannotRun, ValueError) as error:
            reason = reason or error
    raise Refusal(f"no component of it can be taken out in a context: {reason}.") from reason
