"""Pairs of optimizers of which it is known whether they are the same, and if not, what tells them apart.

Those of torch are made when they are asked for: torch is an extra.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from optoscope._core.types import Array, Float, Scalar
from optoscope.mechanisms.compare import Comparison, compare
from optoscope.optimizers import (
    AbstractOptimizer,
    Adam,
    AggregatedMomentum,
    GradientDescent,
    Momentum,
    NesterovMomentum,
    from_optax,
    from_torch,
)

#: Length of sequences, and magnitudes of gradients unless a pair has its own.
NUM_STEPS, GRADIENTS = 60, (1e-4, 1e2)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two optimizers and the truth about them.

    Attributes:
        first, second: make them, or are texts that name them.
        differs: in which part they differ; empty if they are the same.
        first_step: the first update that differs, counted from 1; None if none does.
        settings: of the second, under which it is the first; None where nothing is asked about them.
        gradients: magnitudes that are tried.
    """

    first: Callable[[], AbstractOptimizer] | str
    second: Callable[[], AbstractOptimizer] | str
    differs: str = ""
    first_step: int | None = None
    settings: dict[str, Any] | None = None
    gradients: tuple[float, float] = GRADIENTS

    def compared(self) -> Comparison:
        """Compare the two."""
        first, second = (one if isinstance(one, str) else one() for one in (self.first, self.second))
        return compare(first, second, num_steps=NUM_STEPS, gradients=self.gradients)

    def is_right(self, found: Comparison) -> bool:
        """Tell whether a comparison says what is so."""
        if self.settings is not None:
            close = {name: found.translation.get(name) for name in self.settings}
            return found.left <= found.tolerance and _near(close, self.settings)
        if not self.differs:
            return found.same
        return not found.same and self.differs in found.mechanism and found.first_step == self.first_step


def _near(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether settings are the same, numbers to six digits."""
    flat = lambda value: [float(one) for one in (value if isinstance(value, tuple | list) else [value])]
    return all(
        found[name] is not None and all(abs(a - b) <= 1e-6 * abs(b) for a, b in zip(flat(found[name]), flat(value)))
        for name, value in wanted.items()
    )


def _torch(name: str, **settings: Any) -> Callable[[], AbstractOptimizer]:
    def make() -> AbstractOptimizer:
        import torch

        return from_torch(lambda params: getattr(torch.optim, name)(params, **settings))

    return make


def _optax(transformation: optax.GradientTransformation) -> Callable[[], AbstractOptimizer]:
    return lambda: from_optax(transformation)


class Drop(AbstractOptimizer):
    """A rate that falls to a tenth at step 1, before or behind a momentum of 0.9."""

    before: bool

    def initial_state(self) -> Float[Array, " state"]:
        return jnp.zeros(2)

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        rate = jnp.where(h[1] < 1, 1.0, 0.1)
        v = 0.9 * h[0] + (rate * g if self.before else g)
        return jnp.stack([v, h[1] + 1]), -0.1 * (v if self.before else rate * v)


_HEAVY = optax.sgd(0.1, momentum=0.9)
_CLIPPED = optax.chain(optax.clip(1.0), optax.sgd(0.1))

#: Pairs that are the same.
SAME: dict[str, Pair] = {
    "gradient descent": Pair(_optax(optax.sgd(0.1)), lambda: GradientDescent(0.1)),
    "gradient descent in torch": Pair(_optax(optax.sgd(0.1)), _torch("SGD", lr=0.1)),
    "heavy ball": Pair(_optax(_HEAVY), _torch("SGD", lr=0.1, momentum=0.9)),
    "heavy ball of one's own": Pair(_optax(_HEAVY), lambda: Momentum(0.1, 0.9)),
    "Nesterov": Pair(
        _optax(optax.sgd(0.1, momentum=0.9, nesterov=True)), _torch("SGD", lr=0.1, momentum=0.9, nesterov=True)
    ),
    "Nesterov of one's own": Pair(
        lambda: NesterovMomentum(0.1, 0.9), _torch("SGD", lr=0.1, momentum=0.9, nesterov=True)
    ),
    "heavy ball as a mode": Pair(lambda: AggregatedMomentum([0.1], [0.9]), lambda: Momentum(0.1, 0.9)),
    "RMSprop": Pair(
        _optax(optax.rmsprop(0.1, decay=0.99, eps=0.01, eps_in_sqrt=False)), _torch("RMSprop", lr=0.1, eps=0.01)
    ),
    "centered RMSprop": Pair(
        _optax(optax.rmsprop(0.1, decay=0.9, eps=1e-3, centered=True, eps_in_sqrt=False)),
        _torch("RMSprop", lr=0.1, alpha=0.9, eps=1e-3, centered=True),
    ),
    "Adam": Pair(_optax(optax.adam(1e-3)), _torch("Adam", lr=1e-3)),
    "Adam with other decays": Pair(
        _optax(optax.adam(1e-3, b1=0.8, b2=0.95)), _torch("Adam", lr=1e-3, betas=(0.8, 0.95))
    ),
    "AdamW without decay": Pair(
        _optax(optax.adamw(1e-3, weight_decay=0.0)), _torch("AdamW", lr=1e-3, weight_decay=0.0)
    ),
    "AdamW and Adam": Pair(_torch("AdamW", lr=1e-3, weight_decay=0.0), _torch("Adam", lr=1e-3)),
    "Adagrad": Pair(
        _optax(optax.chain(optax.scale_by_rss(initial_accumulator_value=1e-30, eps=1e-30), optax.scale(-0.1))),
        _torch("Adagrad", lr=0.1, eps=1e-15),
        gradients=(1e-6, 1e4),
    ),
    "Adadelta": Pair(_optax(optax.adadelta(1.0, rho=0.9, eps=1e-6)), _torch("Adadelta", lr=1.0, rho=0.9, eps=1e-6)),
    "NAdam without its schedule": Pair(_optax(optax.adam(1e-3, nesterov=True)), _optax(optax.nadam(1e-3))),
    "two signs": Pair(
        _optax(optax.chain(optax.trace(0.9), optax.scale(0.1), optax.scale(-1.0))), lambda: Momentum(0.1, 0.9)
    ),
    "order of constants": Pair(
        _optax(optax.chain(optax.scale(0.1), optax.trace(0.9), optax.scale(-1.0))), lambda: Momentum(0.1, 0.9)
    ),
    "clipping twice": Pair(_optax(optax.chain(optax.clip(2.0), optax.clip(1.0), optax.sgd(0.1))), _optax(_CLIPPED)),
    "a constant schedule": Pair(_optax(optax.sgd(optax.constant_schedule(0.1))), _optax(optax.sgd(0.1))),
}

_MOMENTUM, _DESCENT = (lambda: Momentum(0.1, 0.9)), _optax(optax.sgd(0.1))
#: Pairs that differ in one thing.
DIFFERENT: dict[str, Pair] = {
    "rate": Pair(_DESCENT, _optax(optax.sgd(0.11)), "learning rate", 1),
    "rate with momentum": Pair(_MOMENTUM, lambda: Momentum(0.2, 0.9), "learning rate", 1),
    "decay": Pair(_MOMENTUM, lambda: Momentum(0.1, 0.8), "memory", 2),
    "no momentum": Pair(_MOMENTUM, lambda: GradientDescent(0.1), "memory", 2),
    "dampening": Pair(
        _torch("SGD", lr=0.1, momentum=0.9), _torch("SGD", lr=0.1, momentum=0.9, dampening=0.5), "learning rate", 2
    ),
    "clipping": Pair(_DESCENT, _optax(_CLIPPED), "static map", 1),
    "threshold": Pair(_optax(_CLIPPED), _optax(optax.chain(optax.clip(2.0), optax.sgd(0.1))), "static map", 1),
    "clipping before momentum": Pair(_optax(_HEAVY), _optax(optax.chain(optax.clip(1.0), _HEAVY)), "static map", 1),
    "where eps stands": Pair(
        _torch("RMSprop", lr=0.1, eps=0.01), _optax(optax.rmsprop(0.1, decay=0.99, eps=0.01)), "gain", 1
    ),
    "eps": Pair(_optax(optax.rmsprop(0.1, eps=1e-4)), _optax(optax.rmsprop(0.1, eps=1e-2)), "gain", 1),
    "decay of squares": Pair(_optax(optax.adam(1e-3, b2=0.99)), _optax(optax.adam(1e-3, b2=0.9)), "gain", 2),
    "bias correction": Pair(_optax(optax.adam(1e-3, b2=0.9)), lambda: Adam(1e-3, 0.9, 0.9, 1e-8), "learning rate", 1),
    "adaptation": Pair(_DESCENT, _optax(optax.adagrad(0.1)), "gain", 1),
    "schedule": Pair(_DESCENT, _optax(optax.sgd(optax.linear_schedule(0.1, 0.01, 50))), "learning rate", 2),
    "warm-up": Pair(_DESCENT, _optax(optax.sgd(optax.linear_schedule(0.0, 0.1, 10))), "learning rate", 1),
    "place of a schedule": Pair(lambda: Drop(True), lambda: Drop(False), "learning rate", 2),
    "direction": Pair(_DESCENT, _optax(optax.sgd(-0.1)), "learning rate", 1),
    "sign": Pair(_DESCENT, _optax(optax.sign_sgd(0.1)), "static map", 1),
    "differences of gradients": Pair(_MOMENTUM, _optax(optax.optimistic_gradient_descent(0.1)), "memory", 2),
    "decay of momentum in Adam": Pair(_optax(optax.adam(1e-3, b1=0.9)), _optax(optax.adam(1e-3, b1=0.5)), "memory", 2),
}


def _sought(first: str, second: str, **settings: Any) -> Pair:
    return Pair(first, second, settings=settings)


#: Pairs that are the same once settings of the second are changed.
TRANSLATED: dict[str, Pair] = {
    "where eps stands": _sought(
        "torch.optim:RMSprop(lr=0.1, eps=0.01)", "optax:rmsprop(0.1, decay=0.99, eps=0.01)", eps_in_sqrt=False
    ),
    "eps of RMSprop": _sought(
        "optax:rmsprop(0.1, decay=0.99, eps=0.01, eps_in_sqrt=False)", "torch.optim:RMSprop(lr=0.1)", eps=0.01
    ),
    "centered RMSprop": _sought(
        "torch.optim:RMSprop(lr=0.1, alpha=0.9, eps=0.001, centered=True)",
        "optax:rmsprop(0.1, decay=0.9, eps=0.001, eps_in_sqrt=False)",
        centered=True,
    ),
    "RMSProp as in the paper": _sought(
        "optoscope.optimizers:RMSProp(0.1, 0.9, 0.001)", "optax:rmsprop(0.01)", learning_rate=0.1, eps=0.001
    ),
    "rate": _sought("optax:sgd(0.1)", "torch.optim:SGD(lr=0.01)", lr=0.1),
    "rate of descent": _sought("optoscope.optimizers:GradientDescent(0.1)", "optax:sgd(1.0)", learning_rate=0.1),
    "rate of a heavy ball": _sought(
        "torch.optim:SGD(lr=0.1, momentum=0.9)", "optax:sgd(0.2, momentum=0.9)", learning_rate=0.1
    ),
    "decay of a heavy ball": _sought(
        "torch.optim:SGD(lr=0.1, momentum=0.9)", "optax:sgd(0.1, momentum=0.8)", momentum=0.9
    ),
    "heavy ball": _sought(
        "optoscope.optimizers:Momentum(0.3, 0.95)", "optax:sgd(0.1, momentum=0.5)", learning_rate=0.3, momentum=0.95
    ),
    "heavy ball in torch": _sought(
        "optax:sgd(0.05, momentum=0.8)", "torch.optim:SGD(lr=0.1, momentum=0.9)", lr=0.05, momentum=0.8
    ),
    "heavy ball of one's own": _sought(
        "optax:sgd(0.05, momentum=0.8)", "optoscope.optimizers:Momentum(0.1, 0.9)", learning_rate=0.05, decay=0.8
    ),
    "Nesterov": _sought(
        "torch.optim:SGD(lr=0.1, momentum=0.9, nesterov=True)", "optax:sgd(0.1, momentum=0.9)", nesterov=True
    ),
    "Nesterov in torch": _sought(
        "optax:sgd(0.1, momentum=0.9, nesterov=True)", "torch.optim:SGD(lr=0.1, momentum=0.9)", nesterov=True
    ),
    "dampening": _sought(
        "torch.optim:SGD(lr=0.1, momentum=0.9, dampening=0.5)", "torch.optim:SGD(lr=0.1, momentum=0.9)", dampening=0.5
    ),
    "rate of Adam": _sought("torch.optim:Adam(lr=0.001)", "optax:adam(0.01)", learning_rate=0.001),
    "decays of Adam": _sought("torch.optim:Adam(lr=0.001, betas=(0.8, 0.95))", "optax:adam(0.001)", b1=0.8, b2=0.95),
    "decays of Adam in torch": _sought("optax:adam(0.001, b1=0.8)", "torch.optim:Adam(lr=0.001)", betas=(0.8, 0.999)),
    "eps of Adam": _sought("torch.optim:Adam(lr=0.001, eps=0.001)", "optax:adam(0.001)", eps=0.001),
    "AMSGrad": _sought("torch.optim:Adam(lr=0.001, amsgrad=True)", "torch.optim:Adam(lr=0.001)", amsgrad=True),
    "Nesterov's in Adam": _sought("optax:adam(0.001, nesterov=True)", "optax:adam(0.001)", nesterov=True),
}

#: All of them by what is asked.
PAIRS: dict[str, dict[str, Pair]] = {"the same": SAME, "different": DIFFERENT, "translated": TRANSLATED}
