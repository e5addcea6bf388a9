"""Rates of their own for layers, weights and biases (section 5.5)."""

import numpy as np

from optoscope.anatomy import GroupPaths
from optoscope.paper.claims._claim import Measured, Rule, claim, over_problems
from optoscope.paper.study import Study


def _kinds(groups: GroupPaths) -> tuple[list[int], list[int]] | None:
    weights, biases = groups.layers("weights"), groups.layers("biases")
    return (weights, biases) if weights and len(weights) == len(biases) else None


def _listed(groups: GroupPaths, values: np.ndarray) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in zip(groups.groups, values))


@claim(
    "grouping.biases_lower",
    section="5.5",
    figure=7,
    says="Biases get much lower learning rates than weights.",
    tasks=("mnist",),
    rules=(
        Rule("mean learning rate of biases over that of weights", 0.8, 1.0),
        Rule("highest learning rate of a layer's biases over the lowest of a layer's weights", 1.0, 1.2),
    ),
    beyond=("two_moons",),
)
def _biases_lower(study: Study, task: str) -> Measured | None:
    groups = study.dossiers[task].groups
    kinds = groups and _kinds(groups)
    if not groups or not kinds:
        return None
    weights, biases = kinds
    ratio = lambda rates: float(rates.mean(0)[biases].max() / rates.mean(0)[weights].min())
    mean = lambda rates: float(rates.mean(0)[biases].mean() / rates.mean(0)[weights].mean())
    rates = groups.problem_learning_rates
    return Measured(
        (over_problems(rates, mean), over_problems(rates, ratio)),
        f"Mean learning rates over a run: {_listed(groups, rates.mean(0))}.",
    )


@claim(
    "grouping.later_layers_higher",
    section="5.5",
    figure=7,
    says="Among weights and among biases, later layers get higher learning rates.",
    tasks=("mnist",),
    rules=(
        Rule("last over first layer's learning rate", 1.1, 1.0),
        Rule("smallest ratio of a layer's learning rate to that of the layer before", 1.0, 0.9),
    ),
    beyond=("two_moons",),
)
def _later_higher(study: Study, task: str) -> Measured | None:
    groups = study.dossiers[task].groups
    kinds = groups and _kinds(groups)
    if not groups or not kinds:
        return None
    rates = groups.problem_learning_rates

    def smallest_step(rates, kind):
        return float(np.exp(np.diff(np.log(rates.mean(0)[kind])).min()))

    def last_over_first(rates):
        return float(np.exp(np.mean([np.log(rates.mean(0)[kind][-1] / rates.mean(0)[kind][0]) for kind in kinds])))

    return Measured(
        (
            over_problems(rates, last_over_first),
            over_problems(rates, lambda r: min(smallest_step(r, kind) for kind in kinds)),
        ),
        f"Mean learning rates over a run: {_listed(groups, rates.mean(0))}.",
    )


@claim(
    "grouping.gradients_differ",
    section="5.5",
    figure=7,
    says="In the later layers biases meet larger gradients than weights do.",
    tasks=("mnist",),
    rules=(Rule("typical |g| of biases over that of weights, in the layer after the first with the least", 1.5, 1.0),),
    beyond=("two_moons",),
)
def _gradients_differ(study: Study, task: str) -> Measured | None:
    groups = study.dossiers[task].groups
    kinds = groups and _kinds(groups)
    if not groups or not kinds:
        return None
    weights, biases = kinds
    sizes = groups.first_magnitudes

    def later(sizes):
        logs = np.log(sizes).mean(0)
        return float(np.exp((logs[biases] - logs[weights])[1:].min()))

    return Measured(
        (over_problems(sizes, later),),
        f"Geometric mean of |g| at the first iteration: {_listed(groups, np.exp(np.log(sizes).mean(0)))}.",
    )


@claim(
    "grouping.only_on_mnist",
    section="5.5",
    figure=7,
    says="Such tuning of groups exists in the optimizer for MNIST only.",
    tasks=("two_moons",),
    rules=(Rule("highest over lowest learning rate of a group", 1.1, 1.5),),
)
def _no_grouping(study: Study, task: str) -> Measured | None:
    groups = study.dossiers[task].groups
    if not groups:
        return None
    rates = groups.problem_learning_rates
    return Measured(
        (over_problems(rates, lambda r: float(r.mean(0).max() / r.mean(0).min())),),
        f"Mean learning rates over a run: {_listed(groups, rates.mean(0))}.",
    )


CLAIMS = (
    _biases_lower,
    _later_higher,
    _gradients_differ,
    _no_grouping,
)
