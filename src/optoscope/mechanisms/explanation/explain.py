"""What an optimizer is made of, as a rule that runs and is checked on gradients that played no part in finding it."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope.dynamics import Probe
from optoscope.mechanisms.explanation.behavior import Behavior, observe
from optoscope.mechanisms.explanation.identify import Experiments, candidates
from optoscope.mechanisms.explanation.probes import make_probes
from optoscope.mechanisms.explanation.rule import ExplainedOptimizer

#: Steps that an explanation covers at most.
LONGEST = 200
#: Share of the updates above which no other candidate is tried; by how much a later one must be better, or to what
#: share of it the part that is missed must shrink.
_ENOUGH, _BETTER, _LEAVES = 0.9995, 0.002, 0.3
#: Share of every probe's updates above which nobody asks whether a map stands on the other side of the memory.
_EVERYWHERE = 0.999
#: Size, beside that of other updates at this scale, of what is left where gradients cancel.
_CANCELED = 1e-6
#: Share of the updates below which an optimizer is not explained.
EXPLAINED = 0.95
#: Share of the updates' size that gradients make below which what they make is explained, not the drift; and what is
#: rounding beside that drift, in single precision.
DRIVEN, _ROUNDING = 0.3, 1e-5
#: Seeds of the probes with which candidates are chosen, and of those that judge the chosen one.
_CHOOSING, _JUDGING = 1, 2


@dataclasses.dataclass(frozen=True)
class Explanation:
    """A rule put together from a few parts, and how much of the optimizer it is.

    Attributes:
        rule: it, as an optimizer like any other.
        explained: share of the optimizer's updates that it gives: the mean over all probes of
            `1 - |dx - dx'|^2 / |dx|^2`, at least 0, of the whole sequence or of its first eighth, whichever is less.
            Where most of an update is a drift, `|dx - drift|^2` stands below: it is the share of what gradients change.
        by_probe: the same by kind of sequence.
        worst: the kind on which it is worst, and at which scale of gradients.
        worst_share: its share there.
        responds: whether any gradient changed any update.
        driven: share of the updates' size that gradients make, in the median over probes; the rest is a drift.
        starts_at_once: whether any gradient changed the first update.
        delay: steps between a gradient and the first update that it changes.
        behavior: what holds whatever the rule is, where the rule gives less than `EXPLAINED`; else None.
        num_steps: length of the sequences; nothing is said about later steps.
        provenance: who made it.
    """

    rule: ExplainedOptimizer
    explained: float
    by_probe: dict[str, float]
    worst: str
    worst_share: float
    responds: bool
    driven: float
    starts_at_once: bool
    delay: int
    behavior: Behavior | None
    num_steps: int
    provenance: dict[str, Any]

    @property
    def parts(self) -> list[str]:
        """Each part in a few words, in the order in which a gradient passes them."""
        from optoscope.mechanisms.explanation.words import parts_in_words

        return parts_in_words(self.rule)

    @property
    def formula(self) -> str:
        """One step in symbols."""
        from optoscope.mechanisms.explanation.words import formula_of

        return formula_of(self.rule)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "explained": self.explained,
            "by_probe": self.by_probe,
            "worst": self.worst,
            "worst_share": self.worst_share,
            "num_steps": self.num_steps,
            "parts": self.parts,
            "formula": self.formula,
        }


def explain(probe: Probe, *, low: float, high: float, num_steps: int = 200, adapts: bool = False) -> Explanation:
    """Put an explanation together and check it.

    Args:
        probe: of the optimizer.
        low, high: smallest and largest magnitude of gradients.
        num_steps: length of sequences, `LONGEST` at most.
        adapts: whether to try gains that follow squared gradients first.
    """
    num_steps = min(num_steps, LONGEST)
    do = Experiments(probe, low, high, num_steps)
    probes = make_probes(low, high, num_steps, seed=_CHOOSING)
    true = probe.updates(probes.gradients)
    drift = do.calm if _driven(true, do.calm) < DRIVEN else np.zeros(num_steps)
    rounding = _ROUNDING * float(np.abs(np.nan_to_num(drift)).max())

    def score(rule: ExplainedOptimizer) -> tuple[float, bool]:
        found = shares(true - drift, rule.run(probes.gradients) - drift, probes.scales, rounding=rounding)
        # A map acts at a few magnitudes of many: the mean over all hardly tells on which side of a memory it stands.
        has_place = rule.memory.order > 0 and not (rule.inner.is_linear and rule.outer.is_linear)
        return float(found.mean()), bool(found.mean() > _ENOUGH and not (has_place and found.min() < _EVERYWHERE))

    rules = candidates(do, adapts=adapts)
    best = next(rules)
    best_share, is_enough = score(best)
    while not is_enough and (rule := next(rules, None)) is not None:
        share, is_enough_too = score(rule)
        if share > best_share + _BETTER or 1 - share < _LEAVES * (1 - best_share):
            best, best_share, is_enough = rule, share, is_enough_too
    held_out = make_probes(low, high, num_steps, seed=_JUDGING)
    truth = probe.updates(held_out.gradients)
    found = shares(truth - drift, best.run(held_out.gradients) - drift, held_out.scales, rounding=rounding)
    worst = int(np.argmin(found))
    share = float(found.mean())
    kinds = np.array(held_out.names)
    return Explanation(
        rule=best,
        explained=share,
        by_probe={str(kind): float(found[kinds == kind].mean()) for kind in dict.fromkeys(held_out.names)},
        worst=f"{held_out.names[worst]} of size {held_out.scales[worst]:.2g}",
        worst_share=float(found[worst]),
        responds=bool(np.any(truth != do.calm)),
        driven=_driven(truth, do.calm),
        starts_at_once=bool(np.any(truth[:, 0] != do.calm[0])),
        delay=int(np.argmax(do.responses.any((0, 1)))),
        behavior=None if share >= EXPLAINED else observe(probe, low=low, high=high, num_steps=num_steps),
        num_steps=num_steps,
        provenance=provenance(num_steps=num_steps),
    )


def _driven(true: np.ndarray, calm: np.ndarray) -> float:
    moved, drifted = (np.linalg.norm(np.nan_to_num(some), axis=-1) for some in (true - calm, calm))
    with np.errstate(all="ignore"):
        return float(np.median(np.nan_to_num(moved / (moved + drifted), nan=1.0)))


def shares(
    true: Float[np.ndarray, "probe step"],
    found: Float[np.ndarray, "probe step"],
    scales: Float[np.ndarray, " probe"],
    *,
    rounding: float = 0.0,
) -> Float[np.ndarray, " probe"]:
    """Share of true updates that found ones give, of whole sequences or their first eighths, whichever is less.

    Updates that are nothing beside what other sequences of this scale make (they cancel), or no larger than what is
    rounding, count as 0.
    """
    result = np.ones(len(true))
    with np.errstate(invalid="ignore"):
        largest = np.array([np.abs(true[scales == scale]).max() for scale in scales])
    for length in (true.shape[1], max(2, true.shape[1] // 8)):
        with np.errstate(all="ignore"):
            size = np.abs(true[:, :length]).max(1, keepdims=True)
            unit = np.where(size > 0, size, 1.0)
            missed = (((true - found)[:, :length] / unit) ** 2).sum(1)
            total = ((true[:, :length] / unit) ** 2).sum(1)
            canceled = np.maximum(_CANCELED * np.where(np.isfinite(largest), largest, 0.0), rounding)
            least = true.shape[1] * (canceled / unit[:, 0]) ** 2
            share = np.where(total > least, 1 - missed / np.where(total > 0, total, 1.0), 1.0 * (missed <= 4 * least))
        result = np.minimum(result, np.where(np.isfinite(share), np.maximum(share, 0.0), 0.0))
    return result
