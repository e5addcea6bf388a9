"""Verdicts in the light of the explanation: what runs and is checked decides, and what it misses is said first."""

import dataclasses
from typing import Any

import numpy as np

from optoscope.dynamics.onset import DEPARTURE
from optoscope.mechanisms._verdict import Verdict, short
from optoscope.mechanisms.explanation.explain import DRIVEN, Explanation
from optoscope.mechanisms.explanation.memory import LinearMemory, decay_course
from optoscope.mechanisms.explanation.rule import ExplainedOptimizer
from optoscope.mechanisms.explanation.shapes import SHAPES, StaticMap
from optoscope.mechanisms.explanation.words import curve_in_words, decay_in_words, map_in_words
from optoscope.mechanisms.unexplained import changed, is_in_proportion, keep_confirmed, no_clipping, only_sign

#: Shares of the response later than the present step between which momentum is undecided.
_ABSENT, _PRESENT = 0.05, 0.1
#: Length of responses, in runs.
_HORIZON = 10
#: Magnitudes that are no longer on the side of 1, or of 0 beside larger ones, on which rounding leaves them.
_NEUTRAL = 1e-7
#: Share of the updates from which on a mode is said to grow, and more than a few are counted.
_CERTAIN = 0.999
#: Share of the updates from which on it is said on which side of a memory a map stands.
_PLACED = 0.99
#: So many timescales are told one by one; share of a response that they may leave.
_FEW, _LITTLE = 4, 0.02
#: Share of a decay by which the first step behind a gradient must depart from it where there is a direct term.
_DIRECT = 5e-3
#: Difference of decays that are the same, and the share of a run after which a decay is said to have settled.
_ALIKE, _SETTLED = 1e-3, 0.75


@dataclasses.dataclass(frozen=True)
class Reconciled:
    """Verdicts, and what else there is to say.

    Attributes:
        verdicts: by mechanism.
        warnings: what comes first in a summary.
        remarks: what comes after the verdicts.
    """

    verdicts: dict[str, Verdict]
    warnings: list[str]
    remarks: list[str]


def reconcile(
    verdicts: dict[str, Verdict], explanation: Explanation, rates: np.ndarray, *, draws: bool = False
) -> Reconciled:
    """Bring verdicts and explanation together.

    Args:
        verdicts: each by itself.
        explanation: of the same optimizer.
        rates: learning rates along the run without a gradient.
        draws: whether it draws random numbers: what moves without a gradient is no drift then.
    """
    rule = explanation.rule
    verdicts = dict(verdicts)
    warnings, remarks = [], []
    share = explanation.explained
    is_little = explanation.driven < DRIVEN
    what = "what gradients change in its updates" if is_little else "its updates"
    percent = f"{share:.1%} of {what}" if share < 0.9995 else f"more than 99.9% of {what}"
    if explanation.behavior is not None:
        warnings.append(
            f"no rule of known parts explains it: the best one gives {percent}, and "
            f"{explanation.worst_share:.0%} under {explanation.worst}"
        )
        verdicts, remarks = keep_confirmed(verdicts, explanation.behavior, delay=explanation.delay)
        return Reconciled(verdicts, warnings + _direction(rates), remarks + _times(verdicts["schedule"], explanation))
    verdicts["momentum"], unstable = _momentum(
        verdicts["momentum"], rule, explanation.num_steps, certain=share > _CERTAIN and not draws
    )
    verdicts["clipping"], map_remarks = _clipping(verdicts["clipping"], rule, placed=share > _PLACED)
    verdicts["adaptation"] = _adaptation(verdicts["adaptation"], rule)
    verdicts["schedule"], begin_remarks = _schedule(verdicts["schedule"], rule)
    warnings += unstable + _direction(rates)
    remarks += map_remarks + begin_remarks + _before(rule) + _times(verdicts["schedule"], explanation)
    mostly = ", which is the smaller part of them" if is_little else ""
    remarks += [*([] if draws else _drift(rule)), f"explains {percent}{mostly}"]
    return Reconciled(verdicts, warnings, remarks)


def _direction(rates: np.ndarray) -> list[str]:
    negative = rates < -_NEUTRAL * np.abs(rates).max(initial=0.0)
    if negative.any() and not np.any(rates > _NEUTRAL * np.abs(rates).max()):
        return ["it ascends: the learning rate is negative"]
    if negative.any():
        return [f"the learning rate changes its sign, first at step {int(np.argmax(negative))}"]
    return []


def _times(schedule: Any, explanation: Explanation) -> list[str]:
    """What there is to say of the first step, and of what comes after the last one looked at."""
    found = [] if explanation.starts_at_once else ["the first update is 0"]
    if schedule.later_step is not None and schedule.verdict != "present":
        found.append(
            f"after the {len(schedule.learning_rates) - 1} steps looked at the learning rate changes: it is "
            f"{schedule.later_rate:.3g} at step {schedule.later_step}"
        )
    return found


def _before(rule: ExplainedOptimizer) -> list[str]:
    """What a learning rate does that stands before the memory."""
    first, later = float(rule.before[0]), rule.before[1:]
    if not rule.memory.order or np.ptp(rule.before) <= 1e-3 * np.abs(rule.before).max():
        return []
    if np.ptp(later) <= 1e-3 * np.abs(later).max() and later[0]:
        times = first / float(later[0])
        return [f"the first gradient counts {'double' if abs(times - 2) < 1e-3 else f'{times:.3g} times as much'}"]
    return [f"the learning rate stands before the memory: {curve_in_words(rule.before * rule.after[0])}"]


def _drift(rule: ExplainedOptimizer) -> list[str]:
    size = np.abs(rule.after).max() * max(rule.inner.sizes[0], 1e-300)
    if np.abs(rule.drift).max() <= 1e-9 * size:
        return []
    step = 0 if rule.drift[0] else int(np.argmax(np.abs(rule.drift)))
    when = f"at step {step}" if step else "in the first step"
    return [f"it moves without a gradient, by {-rule.drift[step]:.2g} {when} (a drift)"]


def _clipping(verdict: Any, rule: ExplainedOptimizer, *, placed: bool) -> tuple[Any, list[str]]:
    shapes = [
        (found, place) for found, place in ((rule.inner, "before"), (rule.outer, "behind")) if not _is_linear(found)
    ]
    nothing = {"threshold": None, "kind": "none", "corner": None}
    if not shapes:
        if verdict.verdict == "absent":
            return verdict, []
        return changed(verdict, "absent", "", "every gradient counts in proportion to its size", **nothing), []
    found, place = shapes[0]
    remarks = []
    if rule.memory.order and placed:
        remarks.append(f"the map stands {place} the memory")
    if np.ptp(rule.thresholds) > 1e-3 * rule.thresholds.max():
        told = np.where(rule.thresholds > 1e5 * rule.thresholds.min(), np.inf, rule.thresholds) * found.scale
        remarks.append(f"its threshold changes with time: {curve_in_words(told)}")
    if found.name == "table":
        if getattr(verdict, "kind", "") == "sign-like":
            reason = "the update is neither proportional to the gradient nor its sign"
            return changed(verdict, "absent", "", reason, **nothing), [map_in_words(found), *remarks]
        if verdict.verdict == "present" and is_in_proportion(verdict):
            verdict = no_clipping(verdict)
        return verdict, [map_in_words(found), *remarks]
    if not found.clips:
        reason = "large gradients do not count for less than their tangent"
        return changed(verdict, "absent", "", reason, **nothing), [map_in_words(found), *remarks]
    if found.name == "sign":
        return only_sign(verdict), remarks
    if not found.has_tangent:
        reason = "all gradients that count at all make an update of the same size"
        return changed(verdict, "present", map_in_words(found), reason, **nothing), remarks
    threshold = _departure(found)
    if threshold is None or threshold > found.sizes[-1]:
        reason = f"the update never departs from its tangent by {DEPARTURE:.0%}"
        return changed(verdict, "absent", "", reason, **nothing), []
    is_hard = found.name in ("hard clip", "skip", "corner")
    corner = found.scale if is_hard else None
    told = short(corner if corner is not None else threshold)
    summary = f"{SHAPES[found.name].words} from |g| = {told}" if found.name in SHAPES else map_in_words(found)
    reason = f"the update departs from its tangent by {DEPARTURE:.0%} at |g| = {short(threshold)}"
    kind = "hard" if is_hard else "soft"
    return changed(verdict, "present", summary, reason, threshold=threshold, kind=kind, corner=corner), remarks


def _schedule(verdict: Any, rule: ExplainedOptimizer) -> tuple[Any, list[str]]:
    """The same with slopes where gains of one size stood for them, if the map has a tangent after all.

    A first update that is what an endless constant gradient would give is no schedule, but a way to begin.
    """
    if verdict.verdict == "present" and _begins_as_if_settled(rule):
        reason = "the learning rate is the same at every step but the first, where no gradient came before"
        return changed(verdict, "absent", "", reason), ["it begins as if the first gradient had always come"]
    begins = 0 if rule.law is None else rule.law.begins
    if verdict.verdict == "present" and 0 < begins < len(rule.after) - 1:  # rates before and after have other units
        later = rule.after[begins:]
        if np.ptp(later) <= 1e-3 * np.abs(later).max():
            return changed(
                verdict, "absent", "", f"the same learning rate from step {begins} on, where the gain begins"
            ), []
        goes = f"from {later[0]:.3g} at step {begins}, where the gain begins, to {later[-1]:.3g}"
        words = f"a schedule (the learning rate goes {goes} at step {len(rule.after) - 1})"
        return changed(verdict, "present", words, verdict.reason), []
    has_tangent = rule.inner.clips and rule.inner.has_tangent
    if not (verdict.probe and has_tangent and rule.law is None and len(rule.memory.D) == 1 and rule.memory.D[0]):
        return verdict, []
    slopes = rule.before * rule.after * rule.memory.D[0]
    left = max(len(verdict.learning_rates) - len(slopes), 0)
    rates = np.append(slopes, np.full(left, slopes[-1]))[: len(verdict.learning_rates)]
    return dataclasses.replace(verdict, learning_rates=rates, probe=0.0), []


def _begins_as_if_settled(rule: ExplainedOptimizer) -> bool:
    if not rule.memory.order or len(rule.memory.D) > 1:
        return False
    first, later = float(rule.after[0]), rule.after[1:]
    steady = np.ptp(later) <= 1e-3 * np.abs(later).max() and np.ptp(rule.before) <= 1e-3 * np.abs(rule.before).max()
    with np.errstate(over="ignore", invalid="ignore"):
        response = rule.memory.response(_HORIZON * len(rule.after))
        begins, settles = first * response[0], later[0] * response.sum()
    return bool(
        steady and abs(begins - settles) <= 1e-3 * abs(settles) and abs(first - later[0]) > 1e-3 * abs(later[0])
    )


def _is_linear(found: StaticMap) -> bool:
    """Whether a map is a proportion, or a table that stays nearer to one than what is called a departure."""
    ratios = np.stack([found.above, found.below])
    return found.is_linear or (
        found.name == "table" and bool(np.all(np.abs(ratios / np.median(ratios) - 1) <= DEPARTURE))
    )


def _departure(found: StaticMap) -> float | None:
    """Where a map departs from its tangent by `DEPARTURE`; None if it never does."""
    x = found.scale * np.geomspace(1e-3, 1e3, 600_001)
    departs = np.abs(np.asarray(found(x)) / (found.slope * x) - 1) > DEPARTURE
    return float(x[np.argmax(departs)]) if departs.any() else None


def _adaptation(verdict: Any, rule: ExplainedOptimizer) -> Any:
    if rule.law is None:
        if verdict.verdict == "absent":
            return verdict
        reason = "static maps and a linear memory explain the updates"
        return changed(verdict, "absent", "", reason, kind="none", steps_to_adapt=None)
    law = rule.law.words
    summary = f"a gain driven by squared gradients ({law})"
    if rule.law.power == 1:
        summary = f"a gain driven by {law}"
    return changed(verdict, "present", summary, verdict.reason, kind="squared gradient")


def _momentum(verdict: Any, rule: ExplainedOptimizer, num_steps: int, *, certain: bool) -> tuple[Any, list[str]]:
    memory = rule.memory
    if len(memory.D) > 1:
        is_rough = rule.law is not None and rule.law.is_rough
        # What a rough law leaves looks like a memory that changes.
        return (verdict, []) if is_rough and verdict.verdict == "present" else _changing(verdict, memory)
    response = memory.response(_HORIZON * num_steps)
    with np.errstate(over="ignore"):
        size = np.abs(response)
    size = size[np.isfinite(size)]
    size = size / size.max() if size.any() else size  # what grows has no sum
    effect = float(size[1:].sum() / size.sum()) if size.any() else 0.0
    if rule.law is not None and verdict.verdict == "present" and effect > _PRESENT:
        return _named(verdict, response, is_rough=rule.law.is_rough), []
    word = "present" if effect > _PRESENT else "absent" if effect < _ABSENT else "undecided"
    reason = f"{effect:.1%} of the response to a gradient comes later than the present step"
    none = np.zeros(0, complex)
    if word != "present":
        return changed(verdict, word, "", reason, effect=effect, interval=[effect, effect]), []
    significant = np.flatnonzero(size > 1e-6 * size.max())
    last = int(significant[-1])
    every = _period(rule)
    if last <= memory.order:
        words = f"momentum: a finite memory of {last + 1} steps"
        if len(significant) == 1:
            words = f"a delay: gradients count {last} step{'s' if last > 1 else ''} late"
        elif every == last + 1 and np.ptp(response[: last + 1]) < 1e-6 * size.max():
            total = np.abs(rule.after).max() * response[: last + 1].sum()
            words = (
                f"accumulation over {every} steps: every update that is not 0 is {total:.3g} times the mean of {every} "
                "gradients"
            )
        elif np.any(response[1:] * response[0] < 0) and last == 1:
            words = "momentum: differences of gradients (the step before counts with the other sign)"
        return changed(
            verdict,
            word,
            words,
            reason,
            effect=effect,
            decays=none,
            learning_rates=none,
            num_dominant=0,
            effective_decays=none,
            interval=[effect, effect],
        ), []
    decays = np.linalg.eigvals(memory.A[0]).astype(complex)
    clusters = _clusters(decays)
    decays = np.concatenate([np.full(n, b) for b, n in clusters])
    grown = [b for b, _ in clusters if abs(b) > 1 + _NEUTRAL]
    if (grown or len(clusters) > _FEW) and not certain:  # what is not explained, or chance, bends the modes
        words = "momentum: earlier gradients count with their sign"
        return changed(verdict, word, words, reason, effect=effect, interval=[effect, effect]), []
    warnings = [f"unstable: a mode of {decay_in_words(b)} grows with every step" for b in grown if b.imag >= 0]
    known = np.asarray(verdict.decays)
    is_known = (
        verdict.verdict == "present"
        and len(known)
        and all(np.abs(known - b).min() < 1e-4 for b, n in clusters if n == 1)
    )
    if not is_known and verdict.verdict == "present" and _gives(verdict.effective_decays, response):
        return _named(verdict, response, is_rough=False), warnings
    fields: dict[str, Any] = {}
    if not is_known or any(n > 1 for _, n in clusters):
        powers = decays[None, :] ** np.arange(1, 60)[:, None] * np.arange(1, 60)[:, None] ** _degrees(clusters)[None, :]
        alpha = np.linalg.lstsq(powers, -rule.after[-1] * -response[1:60].astype(complex), rcond=None)[0]
        fields = {"decays": decays, "learning_rates": alpha, "num_dominant": len(decays), "effective_decays": decays}
    words = _mode_words(clusters, response)
    return changed(verdict, word, words, reason, effect=effect, interval=[effect, effect], **fields), warnings


def _gives(decays: Any, response: np.ndarray) -> bool:
    """Whether a few modes of a linearization are a response, but for a little."""
    decays, tail = np.asarray(decays, complex), response[1:60]
    if not 0 < len(decays) <= _FEW or np.abs(decays).max() > 1 + _NEUTRAL:
        return False
    powers = decays[None, :] ** np.arange(len(tail))[:, None]
    left = tail - powers @ np.linalg.lstsq(powers, tail.astype(complex), rcond=None)[0]
    return bool(np.linalg.norm(left) <= _LITTLE * np.linalg.norm(tail))


def _period(rule: ExplainedOptimizer) -> int:
    """Steps between updates, where most of them are 0."""
    at = np.flatnonzero(rule.after)
    return int(at[1] - at[0]) if len(at) > 1 and np.all(np.diff(at) == at[1] - at[0]) else 1


def _named(verdict: Any, response: np.ndarray, *, is_rough: bool) -> Any:
    """The same with decays that can be told from 1."""
    kept = [(complex(b), 1) for b in np.asarray(verdict.effective_decays) if abs(b) > 0.02]
    if not kept or len(kept) > _FEW:
        return verdict
    return dataclasses.replace(verdict, summary=_mode_words(kept, response, is_rough=is_rough))


def _degrees(clusters: list[tuple[complex, int]]) -> np.ndarray:
    return np.concatenate([np.arange(n) for _, n in clusters]).astype(float)


def _clusters(decays: np.ndarray) -> list[tuple[complex, int]]:
    """Repeated eigenvalues come out as a small ring around the true one: rings become their centers."""
    left, found = list(decays), []
    while left:
        near = [b for b in left if abs(b - left[0]) <= _radius(left, left[0])]
        left = [b for b in left if b not in near]
        center = complex(np.mean(near))
        found.append((complex(center.real, 0.0) if abs(center.imag) < 1e-9 else center, len(near)))
    return found


def _radius(decays: list[complex], one: complex) -> float:
    """How far n-fold eigenvalues scatter: rounding to the power 1/n."""
    for n, radius in ((3, 3e-3), (2, 3e-5)):
        if sum(abs(b - one) <= radius for b in decays) >= n:
            return radius
    return 1e-9


def _mode_words(clusters: list[tuple[complex, int]], response: np.ndarray, *, is_rough: bool = False) -> str:
    words = []
    clusters = [pair for pair in sorted(clusters, key=lambda pair: abs(pair[0])) if pair[0].imag >= 0]
    texts = [decay_in_words(decay) for decay, _ in clusters]
    if len(set(texts)) < len(texts):
        texts = [f"{decay.real:.4g}" + (f"±{decay.imag:.4g}i" if decay.imag else "") for decay, _ in clusters]
    for text, (decay, times) in zip(texts, clusters):
        if abs(abs(decay) - 1) <= _NEUTRAL and decay.imag == 0:
            text = "1 (an integrator: it adds up all gradients)" if decay.real > 0 else "-1 (it alternates for ever)"
        if times > 1:
            text += f" {'twice' if times == 2 else 'three times'} (a {'double' if times == 2 else 'triple'} pole)"
        words.append(text)
    if len(words) > _FEW:
        return f"momentum spread over {len(words)} timescales up to {words[-1]}"
    if len(words) == 1:
        head = f"momentum with timescale {words[0]}"
    else:
        number = {2: "two", 3: "three", 4: "four"}[len(words)]
        head = f"momentum with {number} timescales, {', '.join(words[:-1])} and {words[-1]}"
    if len(clusters) == 1 and clusters[0][1] == 1 and response[0]:
        decay = clusters[0][0].real
        first = response[1] / response[0]
        nesterov = decay**2 / (1 + decay)
        if abs(first - decay) > _DIRECT * abs(decay):
            is_his = abs(first - nesterov) < _DIRECT**2
            head += " (Nesterov's)" if is_his else "" if is_rough else " and a direct term"
    return head


def _changing(verdict: Any, memory: LinearMemory) -> tuple[Any, list[str]]:
    """A memory that changes with the step: accumulation, restarts, or a decay with a schedule."""
    T = len(memory.D)
    kernel = np.zeros((T, T))
    for j in range(T):
        kernel[j, j] = memory.D[j]
        z = memory.B[j]
        for k in range(j + 1, min(T, j + 120)):
            kernel[k, j] = memory.C[k] @ z
            z = memory.A[k] @ z
    size = np.abs(kernel)
    totals = size.sum(0)
    with np.errstate(all="ignore"):
        late = 1 - np.where(totals > 0, np.abs(np.diag(kernel)) / np.where(totals > 0, totals, 1), 1.0)
    effect = float(late[: T // 2].max())
    word = "present" if effect > _PRESENT else "absent" if effect < _ABSENT else "undecided"
    reason = f"up to {effect:.1%} of the response to a gradient comes later than the present step"
    if word != "present":
        return changed(verdict, word, "", reason, effect=effect, interval=[0.0, effect]), []
    below = np.where(np.tri(T, k=-1, dtype=bool), size, 0.0)
    readers = np.flatnonzero(below.max(1) > 1e-6 * size.max())
    period = int(np.diff(readers).min()) if len(readers) > 1 else 0
    if period > 1 and np.all(np.diff(readers) == period):
        words = f"momentum: every {period} steps the gradients since then count together"
        return changed(verdict, word, words, reason, effect=effect, interval=[0.0, effect]), []
    course, is_told = decay_course(kernel)
    kept, gone = course[np.abs(course) > 1e-9], np.flatnonzero(np.abs(course) <= 1e-9) + 1
    fields: dict[str, Any] = {}
    words = "momentum that changes with time"
    last = course[-1]
    apart = np.flatnonzero(np.abs(course - last) > _ALIKE)
    if is_told and np.all((course >= 0) & (course <= 1 + _NEUTRAL)):
        words += f": its decay goes {curve_in_words(course)}"
    elif 0 < last < 1 and len(apart) and apart[-1] < _SETTLED * T:
        words = (
            f"momentum with timescale {decay_in_words(complex(last))} from step {apart[-1] + 1} on, before which "
            "gradients have other weights"
        )
    if len(kept) and np.ptp(kept) < 1e-6 and len(gone):
        decays = np.array([kept.mean()], complex)
        fields = {"decays": decays, "learning_rates": np.array([memory.D[0]], complex), "num_dominant": 1}
        fields["effective_decays"] = decays
        head = f"momentum with timescale {decay_in_words(complex(kept.mean()))}"
        apart = np.diff(gone)
        if len(gone) > 1 and apart[0] > 1 and np.all(apart == apart[0]):
            words = f"{head} that restarts every {apart[0]} steps"
        elif np.all(apart == 1) and gone[-1] == T - 1:
            words = f"{head} that changes with time: from step {gone[0]} on there is none"
    return changed(verdict, word, words, reason, effect=effect, interval=[0.0, effect], **fields), []
