"""Momentum near fixed points (section 5.1, appendices A.1 and C)."""

import numpy as np

from optoscope.anatomy import explained
from optoscope.paper.claims._claim import Claim, Measured, Rule, claim, exact, over_problems
from optoscope.paper.study import Study
from optoscope.running import variance_ratio

_THREE = ("linear_regression", "rosenbrock", "two_moons")
_TINY = np.finfo(float).tiny


def _variance(study: Study, task: str) -> Measured:
    visits = study.dossiers[task].visits
    states, widest = visits.by_problem(visits.states[:, [visits.widest, -1]]), visits.widest
    quantity = over_problems(states, variance_ratio, num_resamples=300)
    return Measured(
        (quantity,),
        f"The total variance of the states is largest at iteration {widest} ({visits.total_variance[widest]:.3g}) and "
        f"{visits.total_variance[-1]:.3g} at the end: {100 * quantity.value:.2g}% of it.",
    )


@claim(
    "momentum.single_fixed_point",
    section="5.1, A.1",
    figure=8,
    says="Without a gradient there is a single fixed point, to which all states converge.",
    tasks=_THREE,
    rules=(
        Rule("share of the starts that end at the most visited attractor", 0.99, 0.5),
        Rule("number of attractors", 1.0, 1.0, at_most=True),
    ),
)
def _single_point(study: Study, task: str) -> Measured:
    rest = study.dossiers[task].rest
    apart = int((rest.attractor < 0).sum())
    return Measured(
        (exact(rest.share_at_first, _of_starts(rest)), exact(len(rest.attractors), _of_starts(rest))),
        f"Without a gradient, runs from {len(rest.starts)} states, half of them random ones of all that can be "
        f"reached, end at {len(rest.attractors)} point{'s' * (len(rest.attractors) != 1)}; "
        f"{rest.share_at_first:.1%} at the most visited one"
        + (f"; {apart} had not arrived after {rest.provenance['settings']['num_steps']} steps" if apart else "")
        + ".",
    )


def _of_starts(rest) -> str:
    return f"exact, of {len(rest.starts)} starts; none of a kind means below {3 / len(rest.starts):.1%} with 95%"


@claim(
    "momentum.line_of_fixed_points",
    section="A.1, A.4",
    figure=13,
    says="On MNIST runs end on a line of slow points instead of a single point.",
    tasks=("mnist",),
    rules=(
        Rule("variance of states that is left after a run without a gradient", 0.05, 0.005),
        Rule("share of it along one line", 0.9, 0.6),
    ),
    beyond=("two_moons",),
)
def _line(study: Study, task: str) -> Measured:
    rest = study.dossiers[task].rest
    return Measured(
        (exact(rest.spread_held, "exact, of visited starts"), exact(rest.line_share, "exact, of visited starts")),
        f"States keep {rest.spread_held:.2%} of their variance over {rest.num_held} steps without a gradient; "
        f"{rest.line_share:.0%} of what is left lies along one line, on which learning rates go from "
        f"{rest.held_learning_rates.min():.3g} to {rest.held_learning_rates.max():.3g}.",
    )


@claim(
    "momentum.few_modes",
    section="5.1, A.1",
    figure=8,
    says="Near the fixed point one or two modes are responsible for the dynamics.",
    tasks=_THREE,
    rules=(Rule("share of the squared response that the best two modes explain", 0.9, 0.5),),
)
def _few_modes(study: Study, task: str) -> Measured:
    modes = study.dossiers[task].modes
    chosen, share = modes.best(2)
    named = " and ".join(
        f"β = {_complex(complex(modes.decays[j]))} (|α| = {abs(modes.learning_rates[j]):.3g})"
        for j in chosen
        if np.imag(modes.decays[j]) >= 0
    )
    return Measured(
        (exact(share, "exact: of the linearized optimizer"),),
        f"The best two modes, {named}, explain {share:.1%} of the squared response to a gradient.",
    )


@claim(
    "momentum.many_modes",
    section="A.1",
    figure=9,
    says="On MNIST several modes have large learning rates: no single one dominates.",
    tasks=("mnist",),
    rules=(
        Rule("modes with at least a fifth of the largest learning rate", 4, 3),
        Rule("share of the squared response that the best two modes explain", 0.9, 0.98),
    ),
    beyond=("two_moons",),
)
def _many_modes(study: Study, task: str) -> Measured:
    modes = study.dossiers[task].modes
    number = modes.num_of_size(0.2)
    _, share = modes.best(2)
    return Measured(
        (exact(number), exact(share, "exact: of the linearized optimizer")),
        f"{number} modes have at least a fifth of the largest |α|; the best two explain {share:.1%} of the response.",
    )


@claim(
    "momentum.vertical_shift",
    section="5.1",
    figure=8,
    says="Moving the state along the leading mode shifts the update function up or down, as momentum does.",
    tasks=_THREE,
    rules=(Rule("share of the change that is an offset", 0.9, 0.5),),
)
def _vertical_shift(study: Study, task: str) -> Measured | None:
    share, shift = study.dossiers[task].known("vertical_shift"), study.dossiers[task].shift
    if share is None:
        return None
    return Measured(
        (exact(share, "exact, over gradients up to the 95% quantile of those met"),),
        f"Along the leading mode {share:.1%} of the change of the update function is an offset, which goes from "
        f"{shift.offsets[0]:.2g} to {shift.offsets[-1]:.2g}, while the slope stays within "
        f"{shift.learning_rates.min():.3g} to {shift.learning_rates.max():.3g}.",
    )


@claim(
    "momentum.linear_suffices",
    section="5.1, A.1",
    figure=8,
    says="Near the fixed point linear dynamics describe the optimizer well.",
    tasks=_THREE,
    rules=(
        Rule("R² of linear updates late in runs, median over problems", 0.9, 0.3),
        Rule("R² of linear updates over whole runs", 0.9, 0.3),
        Rule("meta-objective of the linearized optimizer over the learned one's", 1.1, 2.0),
    ),
    command="optoscope claims {task}",
)
def _linear_suffices(study: Study, task: str) -> Measured | None:
    linear, evaluation = study.dossiers[task].linear, study.linearized.get(task)
    late = linear.num_near
    # A late run's updates are small: pooled over problems, a few that are not near would decide.
    own = 1 - linear.near_squared_errors.sum(1) / np.maximum(linear.squares[:, -late:].sum(1), _TINY)
    near = over_problems(own, np.median)
    whole = over_problems((linear.squared_errors, linear.squares), explained)
    if evaluation is None:
        return None
    objectives = evaluation.objectives[evaluation.index("linearized")]
    ratios = np.log(objectives / evaluation.objectives[0])
    ratio = over_problems(ratios, lambda r: np.exp(np.median(r)))
    diverged = int((~np.isfinite(objectives)).sum())
    alone = f"its meta-objective is {ratio.value:.3g} times the learned one's (median of {len(ratios)} problems)"
    if diverged:
        alone = f"it diverges on {diverged} of {len(ratios)} problems"
    return Measured(
        (near, whole, ratio),
        f"R² of the linearized optimizer's updates on the gradients met: {near.value:.4g} in the last {late} "
        f"iterations (median over problems), {whole.value:.3g} over whole runs. Run by itself, {alone}.",
    )


@claim(
    "momentum.aggregated",
    section="C",
    figure=8,
    says="The linearized optimizer is momentum with several timescales, one per mode.",
    tasks=("linear_regression", "rosenbrock", "two_moons", "mnist"),
    rules=(Rule("largest relative difference of their updates", 1e-9, 1e-6),),
    command="optoscope claims {task}",
)
def _aggregated(study: Study, task: str) -> Measured | None:
    dossier = study.dossiers[task]
    linear = dossier.linear
    if linear.mode_error is None:
        return None
    return Measured(
        (exact(linear.mode_error, "exact: largest over all gradients met"),),
        f"Momentum with the {len(dossier.modes.decays)} timescales and learning rates of the modes gives the updates "
        f"of the linearized optimizer to {linear.mode_error:.1e} of the largest one.",
    )


def _complex(value: complex) -> str:
    return f"{value.real:.3g}" if abs(value.imag) < 1e-9 else f"{value.real:.3g}±{abs(value.imag):.3g}i"


CLAIMS = (
    Claim(
        id="momentum.variance_vanishes",
        section="5.1, A.1",
        figure=8,
        says="All runs converge to one state: the total variance of the states over test problems goes to zero.",
        tasks=_THREE,
        rules=(Rule("total variance at the end over the largest", 0.05, 0.25),),
        measure=_variance,
    ),
    Claim(
        id="momentum.variance_stays",
        section="A.1",
        figure=8,
        says="On MNIST the total variance of the states stays up.",
        tasks=("mnist",),
        rules=(Rule("total variance at the end over the largest", 0.25, 0.05),),
        measure=_variance,
    ),
    _single_point,
    _line,
    _few_modes,
    _many_modes,
    _vertical_shift,
    _linear_suffices,
    _aggregated,
)
