"""Learned optimizers against tuned ones (section 3.2)."""

from functools import partial

from optoscope.paper.claims._claim import Claim, Measured, Quantity, Rule
from optoscope.paper.study import PAPER_TASKS, Study
from optoscope.training.recipes import BASELINES

_NAMES = {"momentum": "momentum", "rmsprop": "RMSProp", "adam": "Adam"}


def _beats(rule: str, study: Study, task: str) -> Measured:
    evaluation = study.evaluations[task]
    c = evaluation.compare("learned", rule)
    how = f"paired bootstrap over {evaluation.objectives.shape[1]} test problems"
    learned, other = evaluation.index("learned"), evaluation.index(rule)
    return Measured(
        (
            Quantity(c.difference, c.difference_interval, how),
            Quantity(c.log_ratio, c.log_ratio_interval, how),
        ),
        f"Mean {evaluation.means[learned]:.4g} against {evaluation.means[other]:.4g} (medians "
        f"{evaluation.medians[learned]:.4g} and {evaluation.medians[other]:.4g}); better on {c.wins:.0%} of "
        f"{evaluation.objectives.shape[1]} problems"
        + (f"; {evaluation.num_diverged[other]} runs of it diverged" if evaluation.num_diverged[other] else "")
        + ".",
    )


CLAIMS = tuple(
    Claim(
        id=f"performance.beats_{rule}",
        section="3.2",
        figure=17,
        says=f"The learned optimizer has a lower meta-objective than {_NAMES[rule]} with its best tuned settings.",
        tasks=PAPER_TASKS,
        rules=(
            Rule("mean of learned minus baseline", 0.0, 0.0, at_most=True, by_interval=True),
            Rule("mean of log(learned / baseline)", 0.0, 0.0, at_most=True, by_interval=True),
        ),
        measure=partial(_beats, rule),
    )
    for rule in BASELINES
)
