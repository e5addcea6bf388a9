"""Tuned baselines (appendix D.3)."""

import numpy as np

from optoscope.artifacts import TunedOptimizer
from optoscope.paper.claims._claim import Claim, Measured, Rule, exact
from optoscope.paper.study import PAPER_TASKS, Study

_FIGURES = dict(zip(PAPER_TASKS, (18, 19, 20, 21)))


def edge_distances(tuned: TunedOptimizer) -> dict[str, float]:
    """Return, per hyperparameter, how far the winner lies from the nearest end of its range, in units of the range.

    Distances are taken on the scale on which samples were drawn.
    """
    distances = {}
    for i, (name, scale) in enumerate(zip(tuned.names, tuned.scales)):
        values = np.array([*tuned.ranges[i], tuned.samples[tuned.winner, i]], float)
        low, high, at = np.log(values if scale == "log" else 1 - values)
        distances[name] = float(min((at - low) / (high - low), (high - at) / (high - low)))
    return distances


def _inside(study: Study, task: str) -> Measured:
    found = {rule: edge_distances(one) for rule, one in study.tuned[task].items()}
    nearest = min((d, rule, name) for rule, ds in found.items() for name, d in ds.items())
    samples = min(len(one.scores) for one in study.tuned[task].values())
    widened = sum(len(one.widened) for one in study.tuned[task].values())
    return Measured(
        (exact(nearest[0]), exact(samples)),
        f"The winner of {samples} samples nearest to an edge is {nearest[1]}'s {nearest[2].replace('_', ' ')}, "
        f"{nearest[0]:.0%} of the range away" + (f"; ranges had been widened {widened} times" if widened else "") + ".",
    )


CLAIMS = tuple(
    Claim(
        id="tuning.not_on_an_edge",
        section="D.3",
        figure=_FIGURES[task],
        says="The best of 2500 random settings of each baseline does not lie on the edge of the grid.",
        tasks=(task,),
        rules=(
            Rule("distance of the winner from the nearest edge, as a share of the range", 0.01, 0.0001),
            Rule("samples of each rule", 2500, 1000),
        ),
        measure=_inside,
        needs_learned=False,
    )
    for task in PAPER_TASKS
)
