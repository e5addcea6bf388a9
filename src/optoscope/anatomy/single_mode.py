"""The leading mode of an optimizer, running alone (App. B.1)."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from optoscope import tasks
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts import TrainedOptimizer, TunedOptimizer
from optoscope.dynamics import Modes
from optoscope.running.evaluate import Evaluation, evaluate
from optoscope.running.visits import Visits, visit


@dataclasses.dataclass(frozen=True)
class SingleMode(Result):
    """The leading mode of an optimizer, running alone, beside the whole optimizer (App. B.1).

    Attributes:
        modes: indices of the mode, and of its conjugate if it is complex.
        decays, learning_rates: its numbers.
        updates: those of the whole optimizer on test problems.
        driven_updates: those of the mode alone, fed the gradients that the whole optimizer met.
        r_squared: share of the variance of `updates` explained by those of the mode alone, running by itself on the
            same problems; NaN if a run diverged.
        driven_r_squared: the same for `driven_updates`.
        evaluation: `momentum_like`, `single_mode` and tuned `momentum` on the same problems.
        provenance: who made it.
    """

    modes: Int[np.ndarray, " mode"]
    decays: Complex[np.ndarray, " mode"]
    learning_rates: Complex[np.ndarray, " mode"]
    updates: Float[np.ndarray, "trajectory step"]
    driven_updates: Float[np.ndarray, "trajectory step"]
    r_squared: float
    driven_r_squared: float
    evaluation: Evaluation
    provenance: dict[str, Any]


def run_single_mode(
    trained: TrainedOptimizer,
    found: Modes,
    visits: Visits,
    tuned_momentum: TunedOptimizer,
    *,
    key: PRNGKeyArray,
    num_problems: int = 64,
) -> SingleMode:
    """Run the leading mode of an optimizer alone: does it do what the whole optimizer does?

    Args:
        trained: the whole optimizer.
        found: its modes.
        visits: what it met, with the same key and number of problems.
        tuned_momentum: to compare with.
        key: draws the test problems.
        num_problems: number of test problems.
    """
    task = tasks.get(trained.task)
    chosen = found.units()[0]
    single = found.as_optimizer(chosen)
    rules = {"momentum_like": trained.optimizer, "single_mode": single, "momentum": tuned_momentum.optimizer}
    num_steps = visits.updates.shape[1]
    alone = visit(single, task, key=key, num_problems=num_problems, num_steps=num_steps)
    driven = _drive(found, chosen, visits)
    updates = visits.updates.astype(np.float64)
    return SingleMode(
        modes=chosen,
        decays=found.decays[chosen],
        learning_rates=found.learning_rates[chosen],
        updates=updates,
        driven_updates=driven,
        r_squared=_r_squared(updates, alone.updates) if alone.updates.shape == updates.shape else float("nan"),
        driven_r_squared=_r_squared(updates, driven),
        evaluation=evaluate(task, rules, num_problems=num_problems, num_steps=num_steps, key=key),
        provenance=provenance(task=trained.task, num_problems=num_problems),
    )


def _drive(modes: Modes, chosen: np.ndarray, visits: Visits) -> np.ndarray:
    """Updates of some modes under given gradients: `dx_k = -Re sum_j,i alpha_j beta_j^i g_(k-i)` (App. C, eq. 6)."""
    from scipy.signal import lfilter

    gradients, updates = visits.gradients.astype(np.complex128), np.zeros(visits.gradients.shape)
    for j in chosen:
        updates -= np.real(lfilter([modes.learning_rates[j]], [1, -modes.decays[j]], gradients, axis=1))
    return updates


def _r_squared(target: np.ndarray, prediction: np.ndarray) -> float:
    target = target.astype(np.float64)
    return float(1 - ((target - prediction) ** 2).sum() / ((target - target.mean()) ** 2).sum())
