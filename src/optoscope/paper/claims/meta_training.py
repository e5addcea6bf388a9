"""Modes through meta-training (appendix B.2)."""

import numpy as np

from optoscope.paper.claims._claim import Measured, Rule, claim, exact
from optoscope.paper.study import MOMENTUM_LIKE, OPTIMAL_MOMENTUM, Study


@claim(
    "meta_training.approaches_optimum",
    section="B.2",
    figure=15,
    says="Through meta-training the leading mode's learning rate and timescale approach the analytic optimum.",
    tasks=("linear_regression",),
    rules=(
        Rule("last learning rate over the optimal one, from below a tenth of it", 0.8, 0.4),
        Rule("last distance of the timescale from the optimal one over the first", 0.2, 0.8),
    ),
)
def _approaches(study: Study, task: str) -> Measured | None:
    modes = study.meta_training.get(MOMENTUM_LIKE[0])
    if modes is None:
        return None
    known = modes.known
    rates, decays = np.abs(modes.learning_rates[known, 0]), np.abs(modes.decays[known, 0])
    start = np.abs(decays[0] - OPTIMAL_MOMENTUM[1])
    return Measured(
        (
            exact(rates[-1] / OPTIMAL_MOMENTUM[0] if rates[0] < 0.1 * rates[-1] else 0.0),
            exact(abs(decays[-1] - OPTIMAL_MOMENTUM[1]) / max(start, 1e-12)),
        ),
        f"The mode that leads in the end goes from |α| = {rates[0]:.3g} and |β| = {decays[0]:.3g} at meta-step "
        f"{modes.steps[known[0]]} to {rates[-1]:.3g} and {decays[-1]:.3g} at {modes.steps[known[-1]]}; theory says "
        f"{OPTIMAL_MOMENTUM[0]:.3g} and {OPTIMAL_MOMENTUM[1]:.3g}.",
    )


@claim(
    "meta_training.single_mode_throughout",
    section="B.2",
    figure=15,
    says="One and the same mode is the only one that is used.",
    tasks=("linear_regression",),
    rules=(Rule("share of later snapshots in which it has the largest learning rate", 0.9, 0.5),),
)
def _same_mode(study: Study, task: str) -> Measured | None:
    modes = study.meta_training.get(MOMENTUM_LIKE[0])
    if modes is None:
        return None
    half = modes.steps[modes.known] >= modes.steps[-1] / 2
    share = float((modes.leading[half] == 0).mean())
    return Measured(
        (exact(share),),
        f"Followed from snapshot to snapshot, the mode that leads in the end leads in {share:.0%} of the snapshots of "
        "the second half of meta-training.",
    )


CLAIMS = (
    _approaches,
    _same_mode,
)
