"""The score of an optimizer on a problem, and who may see which problems."""

import enum

import jax
import jax.numpy as jnp
import numpy as np

from optoscope._core.types import Array, Float, PRNGKeyArray
from optoscope.tasks._base import sample_problems as sample_problems

#: Initial losses below this are taken as this: a start at the minimum has no relative loss.
SMALLEST_INITIAL_LOSS = 1e-12


class Purpose(enum.IntEnum):
    """What problems are drawn for. Each purpose has its own random stream, so that sets never overlap."""

    TRAIN = 0
    VALIDATE = 1
    TUNE = 2
    CHOOSE = 3
    TEST = 4
    INITIALIZE = 5

    def key(self, key: PRNGKeyArray) -> PRNGKeyArray:
        """Return this purpose's stream of a user's key."""
        return jax.random.fold_in(key, int(self))


def meta_objective(
    losses: Float[Array, "*problem step"] | Float[np.ndarray, "*problem step"],
) -> Float[Array, "*problem"]:
    """Mean loss along a run relative to the initial one: `mean(f_0 .. f_T) / f_0`.

    The mean over iterations is Maheswaranathan et al. (2021), App. D.2; the division by `f_0` is in their code and
    explains the axis of their Fig. 17. Not finite where the run is not.

    >>> float(meta_objective(jnp.array([4.0, 2.0, 0.0])))
    0.5
    """
    return jnp.mean(losses, axis=-1) / jnp.maximum(losses[..., 0], SMALLEST_INITIAL_LOSS)
