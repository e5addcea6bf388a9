"""Schedules that run by themselves (section 5.3, appendix A.3)."""

import numpy as np

from optoscope.paper.claims._claim import Measured, Rule, claim, exact, over_problems
from optoscope.paper.study import PAPER_TASKS, Study


def _rates(study: Study, task: str) -> tuple[np.ndarray, str]:
    rates = study.dossiers[task].autonomous.learning_rates
    tuned = study.tuned[task]["momentum"].hyperparameters["learning_rate"]
    return rates, (
        f"Without a gradient the learning rate goes from {rates[0]:.3g} through {rates.max():.3g} at step "
        f"{int(rates.argmax())} to {rates[-1]:.3g} at step {len(rates) - 1} (tuned momentum: {tuned:.3g})."
    )


@claim(
    "schedule.present",
    section="5.3, A.3",
    figure=11,
    says="The learning rate follows a schedule without any input: it warms up and then decays.",
    tasks=("linear_regression", "mnist"),
    rules=(
        Rule("largest over first learning rate", 1.2, 1.05),
        Rule("last over largest learning rate", 0.7, 0.9),
    ),
)
def _schedule(study: Study, task: str) -> Measured:
    rates, sentence = _rates(study, task)
    return Measured((exact(rates.max() / rates[0]), exact(rates[-1] / rates.max())), sentence)


@claim(
    "schedule.absent",
    section="5.3, A.3",
    figure=11,
    says="There is no clear learning-rate schedule.",
    tasks=("rosenbrock", "two_moons"),
    rules=(Rule("largest over smallest learning rate without input", 1.2, 2.0),),
)
def _no_schedule(study: Study, task: str) -> Measured:
    rates, sentence = _rates(study, task)
    return Measured((exact(rates.max() / max(rates.min(), np.finfo(float).tiny)),), sentence)


@claim(
    "schedule.no_drift",
    section="5.3, A.3",
    figure=11,
    says="These dynamics are orthogonal to the readout: without a gradient the parameter does not move.",
    tasks=PAPER_TASKS,
    rules=(Rule("largest drift over the median distance that runs cover", 0.01, 0.1),),
    command="optoscope claims {task}",
)
def _no_drift(study: Study, task: str) -> Measured:
    dossier = study.dossiers[task]
    drift = float(np.abs(dossier.autonomous.drift).max())
    moved = np.abs(dossier.visits.by_problem(dossier.visits.updates.astype(np.float64).sum(1)))
    typical = over_problems(moved, np.median)
    low, high = typical.interval or (typical.value, typical.value)
    quantity = over_problems(moved, lambda m: drift / np.median(m))
    return Measured(
        (quantity,),
        f"At zero gradient a parameter drifts by up to {drift:.3g} in {len(dossier.autonomous.updates)} steps; on test "
        f"problems a parameter's run ends {typical.value:.3g} [{low:.3g}, {high:.3g}] from its start (median).",
    )


CLAIMS = (
    _schedule,
    _no_schedule,
    _no_drift,
)
