"""Learning-rate adaptation: the gain depends on the gradients seen before.

**Definition.** There is adaptation if the state that gradients of one size leave behind has another learning rate
than the state that no gradients leave behind after as many steps. Its kind goes by parity. *Squared gradient*:
gradients that change their sign at every step, and so cancel in everything odd, change the gain as much as constant
ones do (RMSProp, Adam, AdaGrad). *Nonlinear odd*: only constant gradients do; the state's fixed points over constant
gradients form an odd S-curve along which the slope of the update function falls (Maheswaranathan et al., 2021,
section 5.4).

**Estimator.** Runs under +s, under -s, under +s, -s, +s, ... and without a gradient, for magnitudes s over the range.
The gain at a state is the odd part of the update function at magnitude s, around g = 0 and around the gradient that
cancels the update; of the two, the one that changed less counts: a saturation before or behind a linear memory
changes one of them, an adaptation both. `effect` is the largest logarithm of the ratio of two gains. For the odd kind
the slope at g = 0 counts, as in the paper, but only where the dynamics of the state change as well (eigenvalues of
`dF/dh`), or the gain around the center does: behind a linear memory, a falling slope at g = 0 is clipping.

**When it misleads.** In 200 steps a very slow state has not arrived. A gain that follows squared gradients with a
decay below 0.25 looks like clipping. Networks are seldom purely even or odd: the kind is that of the larger part.
"""

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope.anatomy import Dossier
from optoscope.dynamics import linearize
from optoscope.mechanisms._verdict import Verdict, short

Kind = Literal["none", "squared gradient", "nonlinear odd", "shared"]

#: Logarithm of a ratio of gains from which on there is adaptation, and below which there is none.
PRESENT, ABSENT = 0.19, 0.16
#: Alternating gradients must act from the same magnitude on as constant ones, give or take so many half decades, for
#: the kind to be even: in networks everything saturates in the end.
EVEN_DELAY = 1
#: Change of an eigenvalue of `dF/dh` that counts as a change of the state's dynamics.
SPECTRAL_CHANGE = 0.02
#: Change of the ratio of sensitivities to state and gradient, in units of gradients, that no saturation explains.
CHANGED_RATIO = 0.05
#: Logarithm of a ratio of gains beyond which nothing is left to compare, and how many magnitudes are compared.
_GONE, _NUM_COMPARED = 7.0, 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptationVerdict(Verdict):
    """Adaptation; `effect` is the largest logarithm of the ratio of two learning rates.

    Attributes:
        kind: what drives it; "shared" where that is the gradients of other components, which `structure` measures.
        magnitudes: |g*| of the constant or alternating gradients.
        learning_rates: after +|g*| for the whole run: slopes at g = 0, or gains at |g*| where there is no slope.
        opposite_learning_rates: the same after -|g*|.
        even_effects: logarithm of the ratio of gains without and after alternating gradients.
        constant_effects: the same after constant gradients.
        asymmetry: largest relative difference between the two arms' learning rates.
        steps_to_adapt: steps under gradients of the magnitude of the largest effect after which the learning rate has
            gone all but 1/e of its way for good; None without adaptation.
        spectral_change: largest change of an eigenvalue of `dF/dh` over constant gradients; None where it has none.
        fold_gradients: where the curve of fixed points over the range of gradients, found by continuation, folds, in
            increasing order; between two folds two states attract, and the optimizer is a switch with hysteresis. None
            where the run without a gradient does not come to rest, or nothing but a linear state is there.
        attracting_share: share of this curve's points that attract; None where there is no curve.
        provenance: who made it.
    """

    kind: Kind
    magnitudes: Float[np.ndarray, " grid"]
    learning_rates: Float[np.ndarray, " grid"]
    opposite_learning_rates: Float[np.ndarray, " grid"]
    even_effects: Float[np.ndarray, " grid"]
    constant_effects: Float[np.ndarray, " grid"]
    asymmetry: float
    steps_to_adapt: int | None
    spectral_change: float | None
    fold_gradients: Float[np.ndarray, " fold"] | None
    attracting_share: float | None
    provenance: dict[str, Any]


def assess_adaptation(dossier: Dossier) -> AdaptationVerdict:
    """Assess learning-rate adaptation from the dossier."""
    scales, probe = dossier.driven.magnitudes, dossier.probe
    calm = np.broadcast_to(dossier.autonomous.states[-1], dossier.driven.alternating[:, -1].shape)
    even = _effects(dossier, calm, dossier.driven.alternating[:, -1])
    constant = _effects(dossier, calm, dossier.driven.constant[:, -1])
    rates, opposite = (_rates(dossier, states[:, -1]) for states in (dossier.driven.constant, dossier.driven.opposite))
    odd, change = np.zeros(len(scales)), None
    if not dossier.learning_rates.magnitude and not dossier.is_idle:
        reference = float(probe.slope(dossier.autonomous.states[-1:], np.zeros(1))[0])
        odd = _log_ratio(np.full(len(scales), reference), rates)
        change = _spectral_change(dossier)
    is_real = (
        (change or 0.0) > SPECTRAL_CHANGE
        or float(np.abs(constant).max()) > PRESENT
        or (bool(np.any(np.abs(odd) > PRESENT)) and _is_more_than_saturation(dossier, odd))
    )
    driven = np.maximum(np.abs(constant), np.abs(odd)) if is_real else np.abs(constant)
    first_even, first = _first(np.abs(even)), _first(driven)
    effect = float(max(np.abs(even).max(), driven.max()))
    kind = "none"
    if first_even is not None and (first is None or first_even <= first + EVEN_DELAY):
        kind = "squared gradient"
    elif first is not None:
        kind = "nonlinear odd"
    word = "present" if kind != "none" else "absent" if effect < ABSENT else "undecided"
    branch = _branch(dossier, change)
    folds = None if branch is None else np.sort(branch.gradients[branch.folds])
    opposite_effects = _effects(dossier, calm, dossier.driven.opposite[:, -1])
    size = np.maximum(np.maximum(np.abs(rates), np.abs(opposite)), np.finfo(float).tiny)
    return AdaptationVerdict(
        mechanism="adaptation",
        verdict=word,
        effect=effect,
        interval=_over_arms(effect, kind, even, opposite_effects),
        summary=_words(kind, folds),
        reason=f"learning rates change by a factor of at most {short(float(np.exp(effect)))}",
        kind=kind,
        magnitudes=scales,
        learning_rates=rates,
        opposite_learning_rates=opposite,
        even_effects=even,
        constant_effects=constant,
        asymmetry=float(np.max(np.abs(rates - opposite) / size)),
        steps_to_adapt=None if kind == "none" else _steps_to_adapt(dossier, kind, even, driven),
        spectral_change=change,
        fold_gradients=folds,
        attracting_share=None if branch is None else float(branch.attracting.mean()),
        provenance=provenance(),
    )


def _words(kind, folds):
    """What there is, for the summary of a report."""
    if kind == "none":
        return ""
    driver = "squared gradients" if kind == "squared gradient" else "a nonlinear odd state"
    switch = ""
    if folds is not None and len(folds) > 1:
        switch = f", and a switch with hysteresis between gradients of {folds[0]:.2g} and {folds[-1]:.2g}"
    return f"a gain driven by {driver}{switch}"


def _steps_to_adapt(dossier, kind, even, driven):
    squared = kind == "squared gradient"
    at = int(np.argmax(np.abs(even) if squared else driven))
    # Every second state: alternating gradients leave the same sign behind.
    states = (dossier.driven.alternating if squared else dossier.driven.constant)[at, 2::2]
    if dossier.learning_rates.magnitude or squared:
        rates = dossier.probe.gain(states, np.full(len(states), dossier.driven.magnitudes[at]))
    else:
        rates = dossier.probe.slope(states, np.zeros(len(states)))
    if not np.isfinite(rates).all():
        return None
    away = np.abs(rates - rates[-1]) > np.exp(-1) * np.abs(rates - rates[-1]).max()
    return 2 + 2 * int(np.flatnonzero(away)[-1] + 1 if away.any() else 0)


def _branch(dossier, change):
    """The curve of fixed points, where there is more than a linear state."""
    if change is None or change <= SPECTRAL_CHANGE or not dossier.operating_point.is_fixed:
        return None
    return dossier.known("branch")


def _over_arms(effect, kind, even, opposite):
    """The effect and what the other kind of stimulus gives: -g instead of +g, constant instead of alternating."""
    if kind == "none":
        return [0.0, effect]
    other = float(np.abs(opposite).max())
    return [min(effect, other), max(effect, other)] if other > PRESENT else [effect, effect]


def _first(effects):
    found = np.flatnonzero(effects > PRESENT)
    return int(found[0]) if len(found) else None


def _log_ratio(before, after):
    tiny = 1e-12 * np.abs(before).max(initial=0.0) + np.finfo(float).tiny
    with np.errstate(all="ignore"):
        ratio = np.log(np.maximum(np.abs(before), tiny) / np.maximum(np.abs(after), tiny))
    return np.where(np.isfinite(ratio), ratio, 0.0)


def _effects(dossier, calm, states):
    """Logarithm of the ratio of gains: around 0 or the center, whichever changed less.

    At each state's own magnitude or at a tenth of it, whichever changed more: after gradients of one magnitude, a
    normalization by the largest of them does to this magnitude what it did before.
    """
    scales, probe = dossier.driven.magnitudes, dossier.probe
    largest = 1e4 * dossier.range.high  # a memory holds many gradients
    centers = probe.centers(states, largest)
    resting = np.broadcast_to(probe.centers(dossier.autonomous.states[-1:], largest), centers.shape)
    found = np.isfinite(centers) & np.isfinite(resting)
    centers, resting = np.where(found, centers, 0.0), np.where(found, resting, 0.0)
    effects = np.zeros(len(scales))
    for magnitudes in (scales, 0.1 * scales):
        around_zero = _log_ratio(probe.gain(calm, magnitudes), probe.gain(states, magnitudes))
        around = _log_ratio(probe.gain(calm, magnitudes, resting), probe.gain(states, magnitudes, centers))
        around = np.where(found, around, around_zero)
        smaller = np.where(np.abs(around) < np.abs(around_zero), around, around_zero)
        agreed = np.where(np.sign(around) == np.sign(around_zero), smaller, 0.0)
        effects = np.where(np.abs(agreed) > np.abs(effects), agreed, effects)
    return effects


def _rates(dossier, states):
    if dossier.learning_rates.magnitude:
        return dossier.probe.gain(states, dossier.driven.magnitudes)
    return dossier.probe.slope(states, np.zeros(len(states)))


def _is_more_than_saturation(dossier, odd):
    """Whether the gain falls otherwise than by a saturation of memory and gradient together.

    Where `dx = phi(a h + c g)`, the sensitivities to state and gradient fall in proportion: `C / D` stays what it is.
    """
    calm = dossier.autonomous.states[-1]
    try:
        resting = linearize(dossier.optimizer, calm)
        picked = np.flatnonzero((np.abs(odd) > PRESENT) & (np.abs(odd) < _GONE))[:_NUM_COMPARED]
        for i in picked:
            state = dossier.driven.constant[i, -1]
            here = linearize(dossier.optimizer, state)
            moved = (state - calm) / dossier.driven.magnitudes[i]
            before, after = resting.C / resting.D @ moved, here.C / here.D @ moved
            if abs(after - before) > CHANGED_RATIO * (1 + abs(before)):
                return True
    except ValueError:
        return False
    return False


def _spectral_change(dossier):
    """Largest distance of an eigenvalue of dF/dh after constant gradients from the nearest one without any."""
    picked = dossier.driven.constant[np.linspace(0, len(dossier.driven.magnitudes) - 1, 5).astype(int), -1]
    if not dossier.autonomous.states.shape[1]:
        return 0.0
    try:
        resting = np.linalg.eigvals(linearize(dossier.optimizer, dossier.autonomous.states[-1]).A)
        spectra = [np.linalg.eigvals(linearize(dossier.optimizer, state).A) for state in picked]
    except (ValueError, np.linalg.LinAlgError):
        return None
    return float(max(np.abs(spectrum[:, None] - resting).min(1).max() for spectrum in spectra))
