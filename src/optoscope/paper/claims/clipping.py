"""Saturating updates (section 5.2, appendix A.2)."""

import numpy as np

from optoscope.anatomy import Dossier
from optoscope.paper.claims._claim import ALL_TASKS, Measured, Quantity, Rule, claim, exact, over_problems
from optoscope.paper.study import PAPER_TASKS, Study


def share_beyond(dossier: Dossier) -> Quantity:
    """Return the share of the gradients met beyond the magnitude at which the first update's gain is halved."""
    threshold = dossier.thresholds.thresholds[0]
    beyond = np.abs(dossier.visits.by_problem(dossier.visits.gradients)) > threshold
    return over_problems(beyond.mean((1, 2)))


@claim(
    "clipping.saturates",
    section="5.2, A.2",
    figure=10,
    says="The update saturates as gradients grow: a soft form of gradient clipping.",
    tasks=PAPER_TASKS,
    rules=(Rule("gain at the largest gradients met, relative to small ones", 0.7, 0.95),),
)
def _saturates(study: Study, task: str) -> Measured:
    dossier = study.dossiers[task]
    found = dossier.thresholds
    reach = found.gradients[-1] / 10  # 99.9% of the gradients met are smaller
    left = float(found.relative_gain(reach)[0])
    beyond = share_beyond(dossier)
    onset = found.thresholds[0]
    where = f"halved at |g| = {onset:.3g}" if np.isfinite(onset) else "never halved"
    return Measured(
        (exact(left, "exact, at the initial state"),),
        f"At the initial state the gain of gradients as large as {reach:.3g} (99.9% of those met are smaller) is "
        f"{left:.2f} of the slope at 0; it is {where}, and {beyond.value:.2%} of the gradients met lie beyond that.",
    )


@claim(
    "clipping.same_threshold",
    section="5.2",
    figure=10,
    says="The threshold at which updates saturate is the same throughout the states.",
    tasks=PAPER_TASKS,
    rules=(Rule("ratio of the thresholds of the inner 80% of the states visited", 2.0, 10.0),),
    command="optoscope claims {task}",
)
def _same_threshold(study: Study, task: str) -> Measured | None:
    found = study.dossiers[task].thresholds
    known = np.isfinite(found.thresholds)
    if known.mean() < 0.9:
        return None
    low, middle, high = np.quantile(found.thresholds[known], [0.1, 0.5, 0.9])
    return Measured(
        (exact(high / low, f"exact, over {known.sum()} visited states"),),
        f"Over {known.sum()} states visited the gain is halved at |g| = {middle:.3g}, for the inner 80% of them from "
        f"{low:.3g} to {high:.3g}: a factor of {high / low:.2f}.",
    )


@claim(
    "clipping.affine_middle",
    section="4.1",
    figure=10,
    says="The update function is affine in its middle, so that the slope at g = 0 sums it up.",
    tasks=PAPER_TASKS,
    rules=(Rule("relative change of the gain up to the median gradient, at 90% of the states", 0.1, 0.5),),
    command="optoscope claims {task}",
)
def _affine_middle(study: Study, task: str) -> Measured:
    dossier = study.dossiers[task]
    typical = float(np.median(np.abs(dossier.visits.gradients)))
    typical = max(typical, float(dossier.thresholds.gradients[0]))
    away = float(np.quantile(np.abs(dossier.thresholds.relative_gain(typical) - 1), 0.9))
    return Measured(
        (exact(away, f"exact, over {len(dossier.thresholds.states)} visited states"),),
        f"At the median gradient met, |g| = {typical:.3g}, the gain differs from the slope at 0 by less than "
        f"{away:.2g} of it at 90% of the states visited.",
    )


@claim(
    "clipping.non_monotonic",
    section="A.2",
    figure=10,
    says="On MNIST the update slopes back for large gradients, for every seed.",
    tasks=("mnist",),
    rules=(
        Rule("fall of the update from its maximum", 0.05, 0.01),
        Rule("smallest fall of all seeds", 0.05, 0.01),
    ),
    beyond=("two_moons",),
)
def _non_monotonic(study: Study, task: str) -> Measured:
    own = float(study.dossiers[task].initial_update.slope_back[0])
    others = [float(update.slope_back[0]) for update in study.seeds.get(task, {}).values()]
    smallest = min([own, *others])
    listed = f"; of {len(others)} other seeds: {', '.join(f'{one:.0%}' for one in others)}" if others else ""
    return Measured(
        (exact(own, "exact, at the initial state"), exact(smallest, f"exact, over {1 + len(others)} seeds")),
        f"Up to the largest gradients met the first update falls back by {own:.0%} of its maximum{listed}.",
    )


@claim(
    "clipping.strongest_on_rosenbrock",
    section="5.2, A.2",
    figure=10,
    says="Saturation is used most on Rosenbrock and least on linear regression.",
    tasks=(ALL_TASKS,),
    rules=(
        Rule("loss of gain at the largest gradients, Rosenbrock minus linear regression", 0.1, 0.0),
        Rule("Rosenbrock minus the next", 0.0, 0.0, at_most=False),
        Rule("the next minus linear regression", 0.0, 0.0, at_most=False),
    ),
)
def _strongest(study: Study, task: str) -> Measured | None:
    shares = {name: share_beyond(dossier).value for name, dossier in study.dossiers.items()}
    left = {
        name: 1 - float(dossier.thresholds.relative_gain(dossier.thresholds.gradients[-1] / 10)[0])
        for name, dossier in study.dossiers.items()
    }
    others = [value for name, value in left.items() if name not in ("rosenbrock", "linear_regression")]
    if not {"rosenbrock", "linear_regression"} <= set(left):
        return None
    strong, weak = left["rosenbrock"], left["linear_regression"]
    order = ", ".join(f"{n.replace('_', ' ')} {v:.0%} ({shares[n]:.2%} beyond half)" for n, v in left.items())
    return Measured(
        (
            exact(strong - weak, "exact"),
            exact(strong - max([weak, *others]), "exact"),
            exact(min([strong, *others]) - weak, "exact"),
        ),
        f"Share of the gain that is lost at the largest gradients met: {order}.",
    )


CLAIMS = (
    _saturates,
    _same_threshold,
    _affine_middle,
    _strongest,
    _non_monotonic,
)
