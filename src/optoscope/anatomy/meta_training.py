"""Modes of a learned optimizer through its meta-training."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from optoscope._provenance import provenance
from optoscope._results import Result
from optoscope.artifacts import TrainedOptimizer
from optoscope.dynamics import autonomous_trajectory, find_fixed_points, linearize, modes


@dataclasses.dataclass(frozen=True)
class MetaTrainingModes(Result):
    """Modes at the convergence point through meta-training (App. B.2, Fig. 15).

    Attributes:
        steps: meta-steps of the snapshots.
        decays: eigenvalues, ordered by learning rate within each snapshot; NaN where there is no fixed point.
        learning_rates: their learning rates.
        fixed_residuals: residual of each snapshot's fixed point.
        provenance: who made it.
    """

    steps: Int[np.ndarray, " snapshot"]
    decays: np.ndarray
    learning_rates: np.ndarray
    fixed_residuals: Float[np.ndarray, " snapshot"]
    provenance: dict[str, Any]


def modes_through_meta_training(trained: TrainedOptimizer) -> MetaTrainingModes:
    """Linearize every kept snapshot at the fixed point where its autonomous run ends."""
    num_states = trained.optimizer.num_units
    decays = np.full((len(trained.snapshot_steps), num_states), np.nan, complex)
    rates, residuals = decays.copy(), np.full(len(decays), np.nan)
    for i in range(len(decays)):
        snapshot = trained.snapshot(i)
        end = autonomous_trajectory(snapshot, num_steps=1000).states[-1]
        found = find_fixed_points(snapshot, gradient=0.0, seeds=end)
        residuals[i] = found.residuals[0]
        if found.converged[0]:
            at_point = modes(linearize(snapshot, found.states[0]))
            decays[i], rates[i] = at_point.decays, at_point.learning_rates
    return MetaTrainingModes(
        steps=np.asarray(trained.snapshot_steps),
        decays=decays,
        learning_rates=rates,
        fixed_residuals=residuals,
        provenance=provenance(task=trained.task, preset=trained.preset, seed=trained.seed),
    )
