"""What each mechanism did on a run: its number, and the same recorded gradients through the optimizer without it."""

import dataclasses

import numpy as np

from optoscope.recordings.identify import Identified, Stretch
from optoscope.recordings.reading import Recording
from optoscope.recordings.rules import Rule


@dataclasses.dataclass(frozen=True)
class Mechanism:
    """One mechanism on one run.

    Attributes:
        name: momentum, adaptation, clipping, schedule, or weight decay.
        sentence: what it did.
        value: its number.
        size: without it, the way from the first to the last parameters of the stretch is so many times as long.
        turned: cosine between that way and the recorded one. Both hold for the recorded gradients; a run without the
            mechanism would meet others.
    """

    name: str
    sentence: str
    value: float
    size: float
    turned: float


def find_mechanisms(recording: Recording, found: Identified) -> list[Mechanism]:
    """Say what each mechanism of an identified rule did on the stretch of steps in which it was found.

    Args:
        recording: the run.
        found: its rule, as found there.
    """
    data, rule = Stretch(recording), found.rule
    resets = tuple(int(np.searchsorted(data.steps, step)) for step in found.resets)
    rates = data.rates * found.rates[data.groups] if data.has_rates else found.step_rates[:, None] * np.ones(1)
    decays = found.own_decays[data.groups]
    rates = np.nan_to_num(rates)

    def way(one: Rule, gradients=data.gradients, rate=rates, decay=decays) -> np.ndarray:
        return -np.sum(rate * (data.directions(one, resets=resets, gradients=gradients) + decay * data.x), axis=0)

    own = way(rule)

    def against(other: np.ndarray) -> tuple[float, float]:
        sizes = np.linalg.norm(own), np.linalg.norm(other)
        if not all(sizes):
            return float("nan"), float("nan")
        return float(sizes[1] / sizes[0]), float(own @ other / (sizes[0] * sizes[1]))

    made = []
    directions = data.directions(rule, resets=resets)
    if rule.b1 and rule.gain != "sign":
        other = dataclasses.replace(rule, memory="none", b1=0.0, nesterov=False, after=False)
        present = _present(rule, data, directions, resets)
        factor = 1 / (1 - rule.b1) if rule.memory == "sum" else 1.0
        says = (
            f"{present:.0%} of each update is the present gradient, {1 - present:.0%} memory "
            f"(decay {rule.b1:.4g}, {1 / (1 - rule.b1):.3g} steps)"
        )
        made.append(Mechanism("momentum", says, present, *against(way(other, rate=rates * factor))))
    if rule.gain in ("mean square", "sum of squares"):
        root = _gains(rule, data)
        spread = float(np.divide(*np.quantile(root[root > 0], [0.95, 0.05]))) if (root > 0).any() else np.nan
        plain = dataclasses.replace(rule, gain="none", b2=0.0, clock="none", after=False)
        moves = data.directions(plain, resets=resets)
        common = np.linalg.norm(rates * directions) / max(np.linalg.norm(rates * moves), 1e-300)
        says = (
            f"effective learning rates of components differ by a factor of {spread:.3g} (5% to 95%); without it, "
            "at a common rate that makes updates as large on average"
        )
        made.append(Mechanism("adaptation", says, spread, *against(way(plain, rate=rates * common))))
    factors = recording.clip_factors[recording.kept_rows[data.rows]]
    if np.isfinite(factors).any() and (factors < 0.999).any():
        raw = recording.raw_gradients[data.rows][:, data.there]
        says = f"a step in the middle keeps {np.nanmedian(factors):.1%} of its gradient"
        made.append(Mechanism("clipping", says, float(np.nanmedian(factors)), *against(way(rule, np.nan_to_num(raw)))))
    each = np.nanmax(rates, axis=1)
    if data.has_rates and each.max() > 1.01 * each.min():
        says = f"the learning rate is between {each.min():.3g} and {each.max():.3g}; without it, their mean"
        flat = np.broadcast_to(rates.mean(0), rates.shape)
        made.append(
            Mechanism(
                "schedule",
                says,
                float(each.max() / each.min()) if each.min() > 0 else float("inf"),
                *against(way(rule, rate=flat)),
            )
        )
    if rule.coupled or decays.any():
        pull = rates * decays * data.x
        share = float(np.linalg.norm(pull) / np.linalg.norm(data.updates))
        kind = "coupled with the gradient" if rule.coupled else f"{share:.1%} of the updates' size"
        other = way(dataclasses.replace(rule, coupled=0.0), decay=np.zeros(len(decays)))
        made.append(Mechanism("weight decay", f"it is {kind}", share, *against(other)))
    return made


def signal_to_noise(recording: Recording) -> float:
    """Return the median over components of the mean gradient over its standard deviation, on the stretch looked at."""
    gradients = Stretch(recording).gradients
    with np.errstate(all="ignore"):
        return float(np.nanmedian(np.abs(gradients.mean(0)) / gradients.std(0)))


def _present(rule: Rule, data: Stretch, directions: np.ndarray, resets: tuple[int, ...]) -> float:
    """Share of the directions that the present gradient gives, projected on them."""
    total = float(np.sum(directions**2))
    if rule.after:
        alone = data.directions(dataclasses.replace(rule, memory="none", b1=0.0, after=False), resets=resets)
        return float(np.clip(np.sum(alone * directions) / total, 0, 1)) if total else float("nan")
    m = data.directions(dataclasses.replace(rule, gain="none", clock="none", b2=0.0, nesterov=False), resets=resets)
    own = (data.gradients + rule.coupled * data.x) * (1.0 if rule.memory == "sum" else 1 - rule.b1)
    whole, part = (own + rule.b1 * m, own * (1 + rule.b1)) if rule.nesterov else (m, own)
    scale = np.divide(directions, whole, out=np.zeros_like(whole), where=np.abs(whole) > 0)
    return float(np.clip(np.sum(scale * part * directions) / total, 0, 1)) if total else float("nan")


def _gains(rule: Rule, data: Stretch) -> np.ndarray:
    """What each component's memory is multiplied by at the last step: 1 over the root."""
    v = np.zeros(data.gradients.shape[1]) if data.start is None else data.start[1]
    for g in data.gradients:
        v = v + g * g if rule.gain == "sum of squares" else rule.b2 * v + (1 - rule.b2) * g * g
    root = np.sqrt(v) + rule.eps
    return np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
