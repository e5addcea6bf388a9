"""Controls: an intervention that changes nothing, and removals of random directions of equal variance."""

import dataclasses
from typing import final

import jax
import numpy as np
from jaxtyping import Float

from optoscope._core.types import Array, ArrayLike, Params, PRNGKeyArray
from optoscope.dynamics import flatten_states
from optoscope.interventions._base import AbstractIntervention, Advance
from optoscope.optimizers import AbstractOptimizer


@final
class Unchanged(AbstractIntervention):
    """States go where they really go: the base, through the machinery of interventions."""

    base: AbstractOptimizer

    def _advance(self, advance: Advance, h: Array, g: Array) -> tuple[Array, Array]:
        return advance(h, g)

    def step_tree(
        self, h: Float[Array, "component state"], gradients: Params
    ) -> tuple[Float[Array, "component state"], Params]:
        return self.base.step_tree(h, gradients)


@dataclasses.dataclass(frozen=True)
class RandomDirections:
    """Random directions as a control for others.

    Attributes:
        removed: the orthogonal projection onto them [state, state].
        variance_ratio: variance of states along them, relative to that along the others.
        removed_ratio: variance of what removing them takes away, relative to what the intervention takes away; below
            1 where the intervention's projection is far from an orthogonal one.
        overlap: mean squared cosine between the two subspaces: 1 if they are the same.
    """

    removed: Float[np.ndarray, "state state"]
    variance_ratio: float
    removed_ratio: float
    overlap: float


def random_directions(removed: ArrayLike, deviations: ArrayLike, *, key: PRNGKeyArray) -> RandomDirections:
    """Draw as many random directions along which states vary as much as along those that an intervention removes.

    "Along" is the orthogonal projection onto the subspace, also where the intervention removes it by another one
    (along the other modes). Random vectors are stretched by a power of the states' covariance, and the power is
    chosen so that the variance is met: at 0 all directions are alike, and large powers turn them towards the leading
    principal components.

    Args:
        removed: the intervention's projection [state, state].
        deviations: deviations of states from the intervention's reference, [..., state].
        key: draws the directions.

    Raises:
        ValueError: if the deviations are not finite, or the projection removes nothing.
    """
    from scipy.optimize import brentq

    removed, deviations = np.asarray(removed, float), np.asarray(deviations, float)
    deviations = flatten_states(deviations)
    rank = round(float(np.trace(removed)))
    if rank < 1:
        raise ValueError("`removed` removes nothing; there is no control for that.")
    if not np.isfinite(deviations).all():
        raise ValueError("`deviations` must be finite; leave out the runs that diverged.")
    moment = deviations.T @ deviations / len(deviations)
    own = np.linalg.svd(removed)[0][:, :rank]
    target = float(np.trace(own.T @ moment @ own))
    variances, axes = np.linalg.eigh(moment)
    relative = np.maximum(variances / max(variances[-1], np.finfo(float).tiny), 1e-12)
    draws = np.asarray(jax.random.normal(key, (removed.shape[0], rank)), float)

    def frame(power):
        stretched = (relative**power)[:, None] * draws
        return axes @ np.linalg.qr(stretched / np.linalg.norm(stretched, axis=0))[0]

    def excess(power):
        return float(np.trace(frame(power).T @ moment @ frame(power))) - target

    low, high = -2.0, 8.0
    if excess(low) >= 0:
        power = low
    elif excess(high) <= 0:
        power = high
    else:
        power = float(brentq(excess, low, high, xtol=1e-10))  # type: ignore[arg-type]
    chosen = frame(power)
    tiny = np.finfo(float).tiny
    varies = float(np.trace(chosen.T @ moment @ chosen))
    return RandomDirections(
        removed=chosen @ chosen.T,
        variance_ratio=varies / max(target, tiny),
        removed_ratio=varies / max(float(np.trace(removed @ moment @ removed.T)), tiny),
        overlap=float(np.linalg.norm(chosen.T @ own) ** 2 / rank),
    )
