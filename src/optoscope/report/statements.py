"""The paper's statements beside what was measured here."""

import dataclasses

import numpy as np

from optoscope.anatomy import Anatomy
from optoscope.artifacts import TunedOptimizer
from optoscope.figure_data import SingleMode, Study
from optoscope.training.evaluate import Evaluation
from optoscope.training.recipes import BASELINES


@dataclasses.dataclass(frozen=True)
class Statement:
    """One statement of the paper, in our words, and our numbers.

    Attributes:
        where: section or figure of the paper.
        task: the task measured.
        paper: what the paper says.
        measured: what we found.
        figure: the number of the figure that shows it, if there is one.
    """

    where: str
    task: str
    paper: str
    measured: str
    figure: int | None


def statements(study: Study) -> list[Statement]:
    """Put the paper's statements beside the numbers of a study."""
    found: list[Statement] = []
    for task, evaluation in study.evaluations.items():
        found += _performance(task, evaluation)
        if task in study.anatomies:
            rate = study.tuned[task]["momentum"].hyperparameters["learning_rate"]
            found += _mechanisms(task, study.anatomies[task], rate)
    if study.momentum_like_anatomy is not None and study.single_mode is not None:
        tuned = study.tuned["linear_regression"]["momentum"]
        found += _recovered_momentum(study.momentum_like_anatomy, study.single_mode, tuned)
    return found


def _performance(task: str, evaluation: Evaluation) -> list[Statement]:
    learned = evaluation.names[0]
    rows = []
    for rule in BASELINES:
        name = next((n for n in evaluation.names if n.endswith(rule)), None)
        if name is None:
            continue
        c = evaluation.compare(learned, name)
        rows.append(
            f"{rule}: {evaluation.means[evaluation.index(name)]:.4g} (median "
            f"{evaluation.medians[evaluation.index(name)]:.4g}); difference {_interval(c.difference_interval)}, "
            f"log ratio {_interval(c.log_ratio_interval)}"
        )
    mean, median = evaluation.means[0], evaluation.medians[0]
    return [
        Statement(
            "3.2, Fig. 17",
            task,
            "The learned optimizer has a lower meta-objective than tuned momentum, RMSProp and Adam.",
            f"learned: mean {mean:.4g}, median {median:.4g} on {evaluation.objectives.shape[1]} fresh problems. "
            "Learned minus baseline, paired, 95% intervals: " + "; ".join(rows) + ".",
            17,
        )
    ]


def _mechanisms(task: str, anatomy: Anatomy, tuned_rate: float) -> list[Statement]:
    modes, resting, variance = anatomy.modes, anatomy.resting, anatomy.visits.total_variance
    magnitudes = np.abs(modes.learning_rates)
    share = magnitudes / magnitudes.sum()
    num_large = int((magnitudes > 0.5 * magnitudes[0]).sum())
    attracting = int(resting.attracting.sum())
    lost = float(resting.basin_shares[~resting.converged].sum())
    update = anatomy.initial_update
    slope = np.gradient(update.updates[0], update.gradients)
    center = slope[len(slope) // 2]
    saturated = np.abs(update.gradients[np.abs(slope) < 0.5 * np.abs(center)])
    onset = float(saturated.min()) if len(saturated) else float("inf")
    beyond = float((np.abs(anatomy.visits.gradients) > onset).mean())
    autonomous = anatomy.autonomous
    rates = autonomous.learning_rates
    branch = anatomy.branch
    middle = int(np.argmin(np.abs(branch.gradients)))
    tails = branch.learning_rates[[0, -1]]
    return [
        Statement(
            "5.1, Fig. 8",
            task,
            "Trajectories converge to a single fixed point; the total variance of the states goes to zero.",
            f"{attracting} attracting fixed point{'s' if attracting != 1 else ''} at g = 0 from "
            f"{resting.seed_points.size} starts ({lost:.1%} of the starts did not converge). Total variance: largest "
            f"{variance.max():.3g}, in the end {variance[-1]:.3g} ({variance[-1] / variance.max():.2%} of it).",
            8,
        ),
        Statement(
            "5.1, Fig. 3c",
            task,
            "One or two modes carry the learning rate.",
            f"{num_large} mode{'s' if num_large != 1 else ''} within a factor 2 of the largest learning rate; leading: "
            + ", ".join(
                f"beta {_complex(b)} with alpha {_complex(a)}"
                for b, a in zip(modes.decays[:2], modes.learning_rates[:2])
            )
            + f"; the first two hold {share[:2].sum():.0%} of the sum of |alpha|.",
            8,
        ),
        Statement(
            "5.2, Fig. 10",
            task,
            "The update saturates for large gradients, on Rosenbrock more than on linear regression.",
            f"at the initial state the slope falls to half at |g| = {onset:.3g}; {beyond:.2%} of the gradients met lie "
            "beyond.",
            10,
        ),
        Statement(
            "5.3, Fig. 11",
            task,
            "On linear regression the learning rate warms up and decays without any input; on Rosenbrock there is no "
            "clear schedule.",
            f"learning rate {rates[0]:.3g} at the start, largest {rates.max():.3g} at step {int(rates.argmax())}, "
            f"{rates[-1]:.3g} at step {len(rates) - 1} (tuned momentum: {tuned_rate:.3g}); the parameter drifts by "
            f"{np.abs(autonomous.drift).max():.2g} meanwhile.",
            11,
        ),
        Statement(
            "5.4, Fig. 12",
            task,
            "Fixed points at constant gradients form an S-curve of attractors; the learning rate falls with |g|.",
            f"followed from {branch.gradients.min():.3g} to {branch.gradients.max():.3g}: {len(branch.folds)} folds, "
            f"{branch.attracting.mean():.0%} of the points attract; learning rate {branch.learning_rates[middle]:.3g} "
            f"in the center, {tails[0]:.3g} and {tails[1]:.3g} in the tails, smallest "
            f"{branch.learning_rates.min():.3g} (tuned momentum: {tuned_rate:.3g}).",
            12,
        ),
    ]


def _recovered_momentum(anatomy: Anatomy, single: SingleMode, tuned: TunedOptimizer) -> list[Statement]:
    modes, pca = anatomy.modes, anatomy.components
    others = np.abs(modes.decays[1:]).max()
    return [
        Statement(
            "App. B.1, Fig. 14",
            "linear_regression",
            "An optimizer that recovers momentum: one mode apart from the bulk whose timescale and learning rate match "
            "the tuned ones; one principal component explains nearly all; the mode alone behaves like the whole.",
            f"leading mode beta {_complex(modes.decays[0])}, alpha {_complex(modes.learning_rates[0])}; next largest "
            f"|beta| {others:.3g}; tuned momentum beta {tuned.hyperparameters['decay']:.3f} and alpha "
            f"{tuned.hyperparameters['learning_rate']:.3f}; analytic 0.881 and 3.759. PC 1 holds "
            f"{pca.explained_variance_ratio[0]:.1%}. Updates of the mode alone: R2 {single.r_squared:.4g}.",
            14,
        )
    ]


def _interval(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.3g}, {interval[1]:.3g}]"


def _complex(value: complex) -> str:
    if abs(value.imag) < 1e-9 * max(abs(value.real), 1e-300):
        return f"{value.real:.3g}"
    return f"{value.real:.3g}{value.imag:+.3g}i"
