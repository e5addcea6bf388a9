"""The states that runs visit: their principal components and how they converge."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope._core.checks import check_count
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import ArrayLike


@dataclasses.dataclass(frozen=True)
class PrincipalComponents(Result):
    """Principal components of a set of states (section 5.1, footnote 4).

    Attributes:
        mean: mean state.
        axes: orthonormal directions, one per row, largest variance first.
        explained_variance_ratio: share of the total variance along each.
        provenance: who made it.
    """

    mean: Float[np.ndarray, " state"]
    axes: Float[np.ndarray, "component state"]
    explained_variance_ratio: Float[np.ndarray, " component"]
    provenance: dict[str, Any]

    def project(self, states: ArrayLike) -> Float[np.ndarray, "*points component"]:
        """Return the coordinates of states [..., state] along each component."""
        return (np.asarray(states, np.float64) - self.mean) @ self.axes.T


def principal_components(states: ArrayLike, *, num_components: int | None = None) -> PrincipalComponents:
    """Find the principal components of states that runs visited.

    Args:
        states: states of any leading shape [..., state]; all finite.
        num_components: how many to keep; all of them if None.

    Returns:
        Mean, axes and variance ratios, in float64. The largest entry of an axis is positive. States that are all the
        same have ratios of 0.

    Raises:
        ValueError: if states are not finite, or fewer than two.
    """
    flat = flatten_states(np.asarray(states, np.float64))
    if len(flat) < 2 or not np.isfinite(flat).all():
        raise ValueError("`states` must hold at least two states, all finite; leave out the runs that diverged.")
    limit = min(flat.shape)
    if num_components is not None:
        limit = min(check_count("num_components", num_components), limit)
    mean = flat.mean(0)
    centered = flat - mean
    variances, vectors = np.linalg.eigh(centered.T @ centered)
    axes = vectors[:, ::-1].T[:limit]
    axes = axes * np.sign(axes[np.arange(limit), np.abs(axes).argmax(1)])[:, None]
    total = max(float(variances.clip(0).sum()), np.finfo(float).tiny)
    return PrincipalComponents(
        mean=mean,
        axes=axes,
        explained_variance_ratio=variances[::-1][:limit].clip(0) / total,
        provenance=provenance(num_states=len(flat)),
    )


def flatten_states(states: np.ndarray) -> np.ndarray:
    """Return states [..., state] as [point, state]; also those of an optimizer that has no state."""
    return states.reshape(int(np.prod(states.shape[:-1])), states.shape[-1])


def total_variance(states: ArrayLike) -> Float[np.ndarray, " step"]:
    """Compute the variance of states across trajectories, summed over state variables, at each iteration.

    It goes to zero when all trajectories converge to one fixed point (section 5.1, inset of Fig. 3a).

    Args:
        states: [trajectory, step, state], or with more leading axes, which all count as trajectories.

    Raises:
        ValueError: if there are not at least three axes, or states are not finite.

    >>> total_variance(np.stack([np.ones((2, 3)), -np.ones((2, 3))])).tolist()
    [3.0, 3.0]
    """
    array = np.asarray(states, np.float64)
    if array.ndim < 3:
        raise ValueError(f"`states` must be [trajectory, step, state], got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("`states` must be finite; leave out the runs that diverged.")
    return array.reshape(int(np.prod(array.shape[:-2])), *array.shape[-2:]).var(axis=0).sum(axis=-1)
