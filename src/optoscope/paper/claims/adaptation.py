"""Learning rates that fall with the gradient (section 5.4, appendix A.4)."""

import numpy as np

from optoscope.dynamics import Branch
from optoscope.paper.claims._claim import Measured, Rule, claim, exact
from optoscope.paper.study import Study

_THREE = ("linear_regression", "rosenbrock", "two_moons")


def arms(branch: Branch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return magnitudes, and the learning rates on the positive and on the negative arm at each of them.

    Arms are read outside of the folds, where there is one state per gradient, at 200 magnitudes over four decades.
    """
    center = int(np.argmin(np.abs(branch.gradients)))
    outer = []
    for arm, sign in ((np.arange(center, len(branch.gradients)), 1), (np.arange(center, -1, -1), -1)):
        g, rates = sign * branch.gradients[arm], branch.learning_rates[arm]
        kept = np.maximum.accumulate(g) == g  # beyond a fold, from where the gradient is as large again
        outer.append((g[kept], rates[kept]))
    grid = np.abs(branch.gradients).max() * np.geomspace(1e-4, 1, 200)
    return grid, *(np.interp(grid, g, rates) for g, rates in outer)


@claim(
    "adaptation.s_curve",
    section="5.4, A.4",
    figure=12,
    says="Fixed points under constant gradients lie on a curve, and all of them attract.",
    tasks=_THREE,
    rules=(
        Rule("share of the points that attract", 0.999, 0.5),
        Rule("folds of the curve", 0.0, 0.0, at_most=True),
    ),
)
def _s_curve(study: Study, task: str) -> Measured:
    branch = study.dossiers[task].branch
    share = float(branch.attracting.mean())
    return Measured(
        (exact(share), exact(len(branch.folds))),
        f"Followed from g* = {branch.gradients.min():.3g} to {branch.gradients.max():.3g}, {share:.0%} of "
        f"{len(branch.gradients)} points attract, and the curve folds {len(branch.folds)} times.",
    )


@claim(
    "adaptation.one_per_input",
    section="5.4",
    figure=12,
    says="There is a single fixed point for every constant gradient.",
    tasks=_THREE,
    rules=(
        Rule("most attractors at a gradient", 1.0, 1.0, at_most=True),
        Rule("fewest attractors at a gradient", 1.0, 1.0, at_most=False),
        Rule("folds of the curve", 0.0, 0.0, at_most=True),
    ),
)
def _one_per_input(study: Study, task: str) -> Measured:
    found = study.dossiers[task].inputs
    counts = ", ".join(f"{n} at {g:.3g}" for n, g in zip(found.num_attractors, found.gradients))
    folds = len(study.dossiers[task].branch.folds)
    slow = found.remaining > 0.2
    return Measured(
        (
            exact(int(found.num_attractors.max()), "exact, of 64 starts per gradient"),
            exact(int(found.num_attractors.min()), "exact, of 64 starts per gradient"),
            exact(folds, "exact"),
        ),
        f"Attractors at constant gradients, from random starts: {counts}; folds of the curve between them: {folds}. "
        f"After {found.num_steps} steps under the gradient, {found.remaining.max():.0%} of the way there is left at "
        f"worst" + (": large gradients close the gates." if slow.any() else "."),
    )


@claim(
    "adaptation.symmetric_arms",
    section="5.4, A.4",
    figure=12,
    says="The arms for positive and for negative gradients behave alike.",
    tasks=_THREE,
    rules=(
        Rule("factor between the two arms' learning rates, median over magnitudes", 1.1, 2.0),
        Rule("largest factor between them", 1.25, 3.0),
    ),
)
def _symmetric(study: Study, task: str) -> Measured:
    grid, positive, negative = arms(study.dossiers[task].branch)
    difference = np.abs(np.log(np.maximum(positive, 1e-300) / np.maximum(negative, 1e-300)))
    at = int(difference.argmax())
    return Measured(
        (exact(float(np.exp(np.median(difference)))), exact(float(np.exp(difference.max())))),
        f"The learning rates of the two arms differ most at |g*| = {grid[at]:.3g}: {positive[at]:.3g} and "
        f"{negative[at]:.3g}; in the median over magnitudes by a factor of {np.exp(np.median(difference)):.2f}.",
    )


@claim(
    "adaptation.rate_falls",
    section="5.4, A.4",
    figure=12,
    says="Along both arms the learning rate falls as the gradient grows.",
    tasks=_THREE,
    rules=(
        Rule("smallest learning rate on the way over that at g = 0, on the arm where it falls less", 0.8, 0.95),
        Rule("learning rate at the largest gradient over that at g = 0, on that arm", 0.8, 1.0),
    ),
)
def _falls(study: Study, task: str) -> Measured:
    branch = study.dossiers[task].branch
    center = float(branch.learning_rates[np.argmin(np.abs(branch.gradients))])
    grid, positive, negative = arms(branch)
    worse = max(positive[-1], negative[-1]) / center
    smallest = float(max(positive.min(), negative.min()) / center)
    return Measured(
        (exact(smallest), exact(worse)),
        f"Learning rate {center:.3g} at g* = 0, and {negative[-1]:.3g} and {positive[-1]:.3g} at |g*| = "
        f"{grid[-1]:.3g}; the smallest on the way are {negative.min():.3g} and {positive.min():.3g}.",
    )


@claim(
    "adaptation.most_cautious",
    section="A.4",
    figure=12,
    says="The smallest learning rate on the curve is that of tuned momentum.",
    tasks=_THREE,
    rules=(Rule("factor between the two", 1.25, 2.0),),
)
def _most_cautious(study: Study, task: str) -> Measured:
    rates = study.dossiers[task].branch.learning_rates
    tuned = study.tuned[task]["momentum"].hyperparameters["learning_rate"]
    ratio = float(rates.min() / tuned)
    factor = float(np.exp(abs(np.log(max(ratio, 1e-300)))))
    return Measured(
        (exact(factor),),
        f"The smallest learning rate on the curve is {rates.min():.3g}, {ratio:.2f} times tuned momentum's "
        f"{tuned:.3g}.",
    )


@claim(
    "adaptation.line_of_rates",
    section="A.4",
    figure=13,
    says="On MNIST the learning rate changes along the line of slow points at g = 0.",
    tasks=("mnist",),
    rules=(Rule("largest over smallest learning rate of states held without a gradient", 1.5, 1.1),),
    beyond=("two_moons",),
)
def _along_the_line(study: Study, task: str) -> Measured:
    rest = study.dossiers[task].rest
    rates = rest.held_learning_rates[~rest.from_box]
    low, high = np.quantile(rates, [0.02, 0.98])
    return Measured(
        (exact(high / max(low, 1e-300), f"exact, of {len(rates)} visited starts"),),
        f"Among states held for {rest.num_held} steps without a gradient the learning rate goes from {low:.3g} to "
        f"{high:.3g} (inner 96%).",
    )


CLAIMS = (
    _s_curve,
    _one_per_input,
    _symmetric,
    _falls,
    _most_cautious,
    _along_the_line,
)
