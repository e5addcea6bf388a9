"""Every optimizer by name. One line here gives a new rule its contract tests."""

from optoscope._core.checks import check_choice
from optoscope.optimizers._base import AbstractOptimizer
from optoscope.optimizers.adaptive import Adam, RMSProp
from optoscope.optimizers.gradient_descent import GradientDescent
from optoscope.optimizers.gru import GRUOptimizer
from optoscope.optimizers.momenta import AggregatedMomentum, Momentum, NesterovMomentum

#: Every optimizer by its name. One line here gives a new one its contract tests and its place in `tune`.
OPTIMIZERS: dict[str, type[AbstractOptimizer]] = {
    "gradient_descent": GradientDescent,
    "momentum": Momentum,
    "nesterov_momentum": NesterovMomentum,
    "aggregated_momentum": AggregatedMomentum,
    "rmsprop": RMSProp,
    "adam": Adam,
    "gru": GRUOptimizer,
}


def get(name: str) -> type[AbstractOptimizer]:
    """Return the class of an optimizer by its registered name.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.

    >>> get("momentum").__name__
    'Momentum'
    """
    check_choice("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name]
