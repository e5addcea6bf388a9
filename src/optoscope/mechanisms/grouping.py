"""Grouping: groups of parameters (layers, weights, biases) get learning rates of their own.

**Definition.** A component-wise rule treats every parameter alike; groups differ only by the gradients that they
meet, and these lead their states to different learning rates (Maheswaranathan et al., 2021, section 5.5).

**Estimator.** On a task with several groups: the effective learning rate at the states visited, averaged over each
group's components and iterations; `effect` is the logarithm of the largest ratio between two groups' means.

**When it misleads.** It is correlative: groups with other gradients get other rates, needed or not.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope._core.statistics import bootstrap_interval
from optoscope.anatomy import Dossier
from optoscope.mechanisms._verdict import Verdict, short

#: Logarithm of a ratio of learning rates from which on there is grouping, and below which there is none.
PRESENT, ABSENT = 0.1, 0.03


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupingVerdict(Verdict):
    """Grouping; `effect` is the logarithm of the largest ratio between two groups' mean learning rates.

    Attributes:
        groups: their names.
        learning_rates: mean of each.
        gradient_magnitudes: median |g| of each.
        provenance: who made it.
    """

    groups: list[str]
    learning_rates: Float[np.ndarray, " group"]
    gradient_magnitudes: Float[np.ndarray, " group"]
    provenance: dict[str, Any]


def assess_grouping(dossier: Dossier) -> GroupingVerdict:
    """Assess grouping from the dossier."""
    empty = np.zeros(0)
    if dossier.task is None:
        return _verdict("undecided", 0.0, "groups of parameters exist only on a task; give one", [], empty, empty)
    visits = dossier.visits
    if len(visits.groups) < 2:
        return _verdict("undecided", 0.0, f"{dossier.task_name} has one group of parameters", [], empty, empty)
    num_steps = visits.states.shape[1]
    at = np.unique(np.linspace(0, num_steps - 1, 20).astype(int))
    rates = dossier.probe.slope(visits.states[:, at], np.zeros((len(visits.states), len(at))))
    if not np.isfinite(rates).all():
        size = float(np.median(np.abs(visits.gradients)))
        rates = dossier.probe.gain(visits.states[:, at], np.full(rates.shape, size))
    num = len(visits.groups)
    means = np.array([rates[visits.group == i].mean() for i in range(num)])
    sizes = np.array([np.median(np.abs(visits.gradients[visits.group == i])) for i in range(num)])
    by_problem = visits.by_problem(rates.mean(1))
    first = visits.group[: visits.num_components]
    per_problem = np.stack([by_problem[:, first == i].mean(1) for i in range(num)], axis=1)
    effect = float(_ratio(means))
    of_rows = lambda rows: _ratio(per_problem[rows].mean(1))
    interval = list(bootstrap_interval(of_rows, len(per_problem), num_resamples=1000))
    word = "present" if effect > PRESENT else "absent" if effect < ABSENT else "undecided"
    return _verdict(
        word,
        effect,
        f"mean learning rates differ by a factor of at most {short(float(np.exp(effect)))}",
        visits.groups,
        means,
        sizes,
        interval,
    )


def _ratio(means: np.ndarray) -> np.ndarray:
    """Logarithm of the ratio of the largest to the smallest of the last axis."""
    sizes = np.maximum(np.abs(means), np.finfo(float).tiny)
    return np.log(sizes.max(-1) / sizes.min(-1))


def _verdict(word, effect, reason, groups, rates, sizes, interval=None):
    summary = ""
    if word == "present":
        summary = f"learning rates that differ between groups by a factor of {short(float(np.exp(effect)))}"
    return GroupingVerdict(
        mechanism="grouping",
        verdict=word,
        effect=effect,
        interval=interval or [effect, effect],
        summary=summary,
        reason=reason,
        groups=list(groups),
        learning_rates=rates,
        gradient_magnitudes=sizes,
        provenance=provenance(),
    )
