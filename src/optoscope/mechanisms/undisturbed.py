"""Rules that divide 0 by 0: what they do otherwise can still be found out."""

from typing import final

import jax.numpy as jnp
import numpy as np

from optoscope._core.types import Array, Float, Scalar
from optoscope.anatomy import Dossier
from optoscope.optimizers import AbstractOptimizer

#: What is said first of such a rule.
FAILS = "a gradient of exactly 0 makes its update NaN; for what follows, nothing happens then"


@final
class Undisturbed(AbstractOptimizer):
    """The same rule, but where a gradient of 0 makes something that is not a number, nothing happens.

    Args:
        optimizer: the rule.

    >>> from optoscope.optimizers import GradientDescent
    >>> h, dx = Undisturbed(GradientDescent(0.1)).step(jnp.zeros(0), 1.0)
    >>> round(float(dx), 3)
    -0.1
    """

    optimizer: AbstractOptimizer

    def initial_state(self) -> Float[Array, " state"]:
        return self.optimizer.initial_state()

    def step(self, h: Float[Array, " state"], g: Scalar) -> tuple[Float[Array, " state"], Scalar]:
        h = jnp.asarray(h)
        new, dx = self.optimizer.step(h, g)
        fails = (jnp.asarray(g) == 0) & ~(jnp.isfinite(dx) & jnp.isfinite(new).all())
        return jnp.where(fails, h, new), jnp.where(fails, 0, dx)


def fails_at_zero(dossier: Dossier) -> bool:
    """Tell whether the rule, left without gradients, makes an update that is not a number."""
    return bool(np.isnan(dossier.autonomous.updates).any())
