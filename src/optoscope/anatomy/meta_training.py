"""Modes of a learned optimizer through its meta-training, followed from one snapshot to the next."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope.artifacts import TrainedOptimizer
from optoscope.dynamics import Modes, find_rest, modes

#: Decimals to which costs of matching modes are compared.
_DIGITS = 8


@dataclasses.dataclass(frozen=True)
class MetaTrainingModes(Result):
    """Modes at the convergence point through meta-training (App. B.2, Fig. 15); a column is one mode, followed.

    Attributes:
        steps: meta-steps of the snapshots.
        decays: eigenvalues [snapshot, mode], matched from one snapshot to the next; NaN where there is no fixed point.
            Columns are ordered by the last known learning rate: the first one leads in the end.
        learning_rates: their learning rates.
        costs: mean cost of the match with the snapshot before (0: the same modes); NaN for the first.
        fixed_residuals: residual of each snapshot's fixed point.
        provenance: who made it.
    """

    steps: Int[np.ndarray, " snapshot"]
    decays: Complex[np.ndarray, "snapshot mode"]
    learning_rates: Complex[np.ndarray, "snapshot mode"]
    costs: Float[np.ndarray, " snapshot"]
    fixed_residuals: Float[np.ndarray, " snapshot"]
    provenance: dict[str, Any]

    @property
    def known(self) -> np.ndarray:
        """Indices of the snapshots that have a fixed point."""
        return np.flatnonzero(np.isfinite(self.decays).all(1))

    @property
    def leading(self) -> np.ndarray:
        """At each known snapshot, the column with the largest learning rate."""
        return np.abs(self.learning_rates[self.known]).argmax(1)


def modes_through_meta_training(trained: TrainedOptimizer) -> MetaTrainingModes:
    """Linearize every kept snapshot at the fixed point where its autonomous run ends, and follow each mode.

    Modes of neighboring snapshots are matched by the linear assignment that minimizes the sum of distances in decay
    and of angles between eigenvectors.
    """
    num_states = trained.optimizer.num_units
    decays = np.full((len(trained.snapshot_steps), num_states), np.nan, complex)
    rates, residuals, costs = decays.copy(), np.full(len(decays), np.nan), np.full(len(decays), np.nan)
    before: Modes | None = None
    last = -1
    for i in range(len(decays)):
        point = find_rest(trained.snapshot(i))
        residuals[i] = point.residual
        if point.linearization is None:
            continue
        now = modes(point.linearization)
        if before is not None:
            order, costs[i] = match_modes(before, now)
            now = reordered(now, order)
        decays[i], rates[i] = now.decays, now.learning_rates
        before, last = now, i
    order = np.argsort(-np.abs(rates[last]), kind="stable")
    return MetaTrainingModes(
        steps=np.asarray(trained.snapshot_steps),
        decays=decays[:, order],
        learning_rates=rates[:, order],
        costs=costs,
        fixed_residuals=residuals,
        provenance=provenance(task=trained.task, preset=trained.preset, seed=trained.seed),
    )


def match_modes(before: Modes, after: Modes) -> tuple[Int[np.ndarray, " mode"], float]:
    """Match modes of two similar systems; returns the index in `after` of each mode of `before`, and the mean cost.

    The cost of a pair is the distance of their decays plus the angle between their eigenvectors, as
    `1 - |<r, r'>|` of unit vectors.

    >>> from optoscope.dynamics import linearize
    >>> from optoscope.optimizers import AggregatedMomentum
    >>> of = lambda rates, decays: modes(linearize(AggregatedMomentum(rates, decays), np.zeros(2)))
    >>> one, other = of([1.0, 2.0], [0.9, 0.5]), of([3.0, 2.0], [0.89, 0.5])
    >>> one.decays.real.tolist(), other.decays.real[match_modes(one, other)[0]].tolist()
    ([0.5, 0.9], [0.5, 0.89])
    """
    from scipy.optimize import linear_sum_assignment

    unit = [found.right / np.linalg.norm(found.right, axis=0) for found in (before, after)]
    distance = np.abs(before.decays[:, None] - after.decays)
    cost = distance + 1 - np.abs(unit[0].conj().T @ unit[1])
    # Two real modes that become a pair fit both of it equally well: their order decides, not the last bit.
    places = np.arange(len(cost))
    rows, columns = linear_sum_assignment(np.round(cost, _DIGITS) + 10.0**-_DIGITS / 10 * (places[:, None] > places))
    return columns[np.argsort(rows)], float(cost[rows, columns].mean())


def reordered(found: Modes, order: np.ndarray) -> Modes:
    """Return the same modes in another order."""
    return dataclasses.replace(
        found,
        decays=found.decays[order],
        learning_rates=found.learning_rates[order],
        right=found.right[:, order],
        left=found.left[order],
    )
