"""The optimizer that recovers momentum (appendix B.1)."""

import numpy as np

from optoscope.paper.claims._claim import Measured, Rule, claim, exact, over_problems
from optoscope.paper.study import OPTIMAL_MOMENTUM, Study

_TASK = ("linear_regression",)


@claim(
    "recovered_momentum.one_component",
    section="B.1",
    figure=14,
    says="A single principal component explains nearly all of the variance of the states.",
    tasks=_TASK,
    rules=(Rule("share of the variance along the first component", 0.9, 0.5),),
)
def _one_component(study: Study, task: str) -> Measured | None:
    if study.momentum_like_dossier is None:
        return None
    shares = study.momentum_like_dossier.components.explained_variance_ratio
    return Measured(
        (exact(shares[0], "exact, of the states of all test problems"),),
        f"The first principal component holds {shares[0]:.1%} of the variance of the states, the second "
        f"{shares[1]:.1%}.",
    )


@claim(
    "recovered_momentum.single_mode",
    section="B.1",
    figure=14,
    says="A single mode has separated from the bulk of eigenvalues, and dominates.",
    tasks=_TASK,
    rules=(
        Rule("share of the squared response that the leading mode explains", 0.9, 0.5),
        Rule("next largest over largest learning rate", 0.2, 0.5),
        Rule("distance of its timescale from the next largest", 0.02, 0.0),
    ),
)
def _single_mode(study: Study, task: str) -> Measured | None:
    if study.momentum_like_dossier is None:
        return None
    modes = study.momentum_like_dossier.modes
    sizes = np.abs(modes.learning_rates)
    _, share = modes.best(1)
    others = np.sort(np.abs(np.delete(modes.decays, 0)))[-1]
    return Measured(
        (
            exact(share, "exact: of the linearized optimizer"),
            exact(sizes[1] / sizes[0]),
            exact(abs(modes.decays[0]) - others),
        ),
        f"The leading mode has |β| = {abs(modes.decays[0]):.3g} and |α| = {sizes[0]:.3g}, and explains {share:.1%} of "
        f"the squared response; the next largest |β| is {others:.3g}, the next largest |α| {sizes[1]:.3g}.",
    )


def _match(study: Study, reference: tuple[float, float], name: str) -> Measured | None:
    if study.momentum_like_dossier is None:
        return None
    modes = study.momentum_like_dossier.modes
    rate, decay = abs(modes.learning_rates[0]), abs(modes.decays[0])
    return Measured(
        (exact(abs(decay - reference[1])), exact(abs(rate / reference[0] - 1))),
        f"Leading mode: β = {decay:.4f} and α = {rate:.3f}; {name}: {reference[1]:.4f} and {reference[0]:.3f}.",
    )


@claim(
    "recovered_momentum.matches_tuned",
    section="B.1",
    figure=14,
    says="That mode has the timescale and the learning rate of tuned momentum.",
    tasks=_TASK,
    rules=(
        Rule("difference of timescales", 0.02, 0.05),
        Rule("relative difference of learning rates", 0.1, 0.3),
    ),
)
def _matches_tuned(study: Study, task: str) -> Measured | None:
    tuned = study.tuned[task]["momentum"].hyperparameters
    return _match(study, (tuned["learning_rate"], tuned["decay"]), "tuned momentum")


@claim(
    "recovered_momentum.matches_analytic",
    section="B.1",
    figure=14,
    says="They are those of the optimal momentum that follows from the task's curvatures.",
    tasks=_TASK,
    rules=(
        Rule("difference of timescales", 0.02, 0.05),
        Rule("relative difference of learning rates", 0.1, 0.3),
    ),
)
def _matches_analytic(study: Study, task: str) -> Measured | None:
    return _match(study, OPTIMAL_MOMENTUM, "worst-case optimal momentum")


@claim(
    "recovered_momentum.mode_alone",
    section="B.1",
    figure=14,
    says="The dynamics along that mode alone behave as the whole optimizer almost exactly.",
    tasks=_TASK,
    rules=(
        Rule("R² of the updates of the mode, run alone", 0.95, 0.5),
        Rule("ratio of meta-objectives, as a factor", 1.05, 1.3),
    ),
)
def _alone(study: Study, task: str) -> Measured | None:
    single = study.single_mode
    if single is None:
        return None
    evaluation = single.evaluation
    whole, alone = (evaluation.objectives[evaluation.index(name)] for name in ("momentum_like", "single_mode"))
    ratio = over_problems(np.log(alone / whole), lambda r: np.exp(np.abs(np.mean(r))))
    return Measured(
        (exact(single.r_squared, "exact, of all test problems"), ratio),
        f"Run alone on the same problems, the leading mode explains R² = {single.r_squared:.4f} of the updates "
        f"({single.driven_r_squared:.4f} when fed the same gradients), and its meta-objective is {alone.mean():.4g} "
        f"against {whole.mean():.4g}.",
    )


@claim(
    "recovered_momentum.performs_as_momentum",
    section="5.1, B.1",
    figure=14,
    says="It performs as well as tuned momentum.",
    tasks=_TASK,
    rules=(Rule("ratio of meta-objectives, as a factor", 1.1, 1.5),),
)
def _performs_as_momentum(study: Study, task: str) -> Measured | None:
    if study.single_mode is None:
        return None
    evaluation = study.single_mode.evaluation
    c = evaluation.compare("momentum_like", "momentum")
    whole, tuned = evaluation.means[evaluation.index("momentum_like")], evaluation.means[evaluation.index("momentum")]
    ratios = np.log(evaluation.objectives[0] / evaluation.objectives[evaluation.index("momentum")])
    return Measured(
        (over_problems(ratios, lambda r: np.exp(abs(np.mean(r)))),),
        f"Mean meta-objective {whole:.4g} against tuned momentum's {tuned:.4g}; better on {c.wins:.0%} of the "
        "problems.",
    )


CLAIMS = (
    _one_component,
    _single_mode,
    _matches_tuned,
    _matches_analytic,
    _alone,
    _performs_as_momentum,
)
