"""Update functions of hand-designed rules, to compare learned ones with (Fig. 2)."""

import dataclasses

import numpy as np
import optax

from optoscope.dynamics import UpdateFunction, update_function
from optoscope.optimizers import GradientDescent, Momentum, RMSProp, from_optax


@dataclasses.dataclass(frozen=True)
class KnownUpdates:
    """Update functions of hand-designed rules at several of their states (Fig. 2).

    Attributes:
        gradient_descent, gradient_clipping: one curve, for they have no state.
        momentum: one curve per velocity.
        rmsprop: one curve per accumulated squared gradient.
    """

    gradient_descent: UpdateFunction
    gradient_clipping: UpdateFunction
    momentum: UpdateFunction
    rmsprop: UpdateFunction


def known_updates() -> KnownUpdates:
    """Compute the update functions of hand-designed rules, with the learning rate of the paper's Fig. 2.

    >>> known_updates().momentum.updates.shape
    (5, 121)
    """
    gradients = np.linspace(-1.5, 1.5, 121)
    clipping = from_optax(optax.chain(optax.clip(0.75), optax.sgd(0.01)))
    velocities = np.linspace(-1.0, 1.0, 5)[:, None]
    squares = np.array([0.05, 0.2, 0.5, 1.0, 2.0])[:, None]
    return KnownUpdates(
        gradient_descent=update_function(GradientDescent(0.01), np.zeros(0), gradients),
        gradient_clipping=update_function(clipping, np.asarray(clipping.initial_state()), gradients),
        momentum=update_function(Momentum(0.01, 0.9), velocities, gradients),
        rmsprop=update_function(RMSProp(0.01, 0.9), squares, gradients),
    )
