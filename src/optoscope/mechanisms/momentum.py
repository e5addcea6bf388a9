"""Momentum: the update depends on past gradients.

**Definition.** Near the operating point (a fixed point at g = 0, or a state along the run without a gradient) a small
gradient at one step changes the updates of this step and of later ones: the impulse response `r_0, r_1, ...`. There
is momentum if a share above `PRESENT` of `sum |r_k|` comes later than the present step. For heavy ball this share is
its decay. What the state looks like does not enter; only modes that gradients drive and updates read count.

**Estimator.** Where the optimizer has derivatives, its linearization in float64 gives the modes exactly
(Maheswaranathan et al., 2021, App. C): `r_k = -Re sum_j alpha_j beta_j^k`. Dominant modes are the fewest that leave a
relative residual of the impulse response below `RESIDUAL`. Rules that are singular at rest (a root of a mean square)
are linearized after alternating gradients, where their mean square is not 0 and small gradients do not change it to
first order. A rule that takes a sign has no slope: there the memory is what a gradient must be in order to cancel the
update, `k` steps after a single one; it is fitted by modes, and its learning rates are relative to that of the
present step.

**When it misleads.** At operating points other than the one named, rates differ (by a schedule or an adaptation).
Repeated decays share an eigenvector and come out as close pairs. A random network remembers gradients for a step or
two: the untrained network, where it is given, is the control.
"""

import dataclasses
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Complex, Float

from optoscope._provenance import provenance
from optoscope.dynamics import linearize, modes
from optoscope.mechanisms._material import Material
from optoscope.mechanisms._verdict import Verdict, short

#: Share of the response later than the present step from which on there is momentum; below `ABSENT` there is none.
PRESENT, ABSENT = 0.1, 0.05
#: Relative residual (root of the sum of squares) that the dominant modes may leave of the impulse response.
RESIDUAL = 0.01
#: Length of the impulse response, in runs.
_HORIZON = 10
#: Decays that differ by no more than this are one: eigenvalues that coincide are known no better.
SAME_DECAY = 1e-6


@dataclasses.dataclass(frozen=True)
class MomentumVerdict(Verdict):
    """Momentum; `effect` is the share of the response to a gradient that comes later than the present step.

    Attributes:
        decays: `beta_j` of the dominant modes, largest learning rate first.
        learning_rates: their `alpha_j`, at the operating point.
        num_dominant: how many modes dominate.
        residual: of the impulse response, relative, that they leave.
        impulse_response: updates that follow a unit gradient, relative to a unit gradient.
        operating_step: iteration of the operating point; None at a fixed point.
        operating_gradient: magnitude of the alternating gradients that led to it; 0 at rest.
        is_fixed_point: whether it is a fixed point at g = 0.
        r2: of the linearized optimizer's updates on test problems; None without a task.
        vertical_shift: share of the change of the update function along the leading mode that is an offset; None
            without modes.
        total_variance_ratio: variance of states over test problems, at the last step over the largest; None without
            a task.
        untrained_effect: the same share before meta-training; None if it was not given.
        provenance: who made it.
    """

    decays: Complex[np.ndarray, " mode"]
    learning_rates: Complex[np.ndarray, " mode"]
    num_dominant: int
    residual: float
    impulse_response: Float[np.ndarray, " step"]
    operating_step: int | None
    operating_gradient: float
    is_fixed_point: bool
    r2: float | None
    vertical_shift: float | None
    total_variance_ratio: float | None
    untrained_effect: float | None
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        data = super().to_json()
        pairs = zip(data.pop("decays"), data.pop("learning_rates"))
        return {"verdict": data.pop("verdict"), "modes": [{"beta": b, "alpha": a} for b, a in pairs], **data}


def assess_momentum(material: Material) -> MomentumVerdict:
    """Assess momentum from the experiments in `material`."""
    return _assess(material)


def _assess(material):
    num_steps = material.num_steps
    try:
        linear = linearize(material.optimizer, material.operating_state)
        response = impulse_response(linear, _HORIZON * num_steps)
    except ValueError:
        linear, response = None, np.zeros(num_steps)
    sign_like = not np.any(np.abs(response) > 0) and not material.is_idle
    if sign_like:
        response = _memory_behind_sign(material)
    if response is None or not np.any(response):
        return _verdict(material, "absent", 0.0, [0.0, 0.0], "the update is 0 for every gradient")
    total = np.abs(response).sum()
    effect = float(np.abs(response[1:]).sum() / total)
    decays, rates, residual = _modes(None if sign_like else linear, response)
    word = "present" if effect > PRESENT else "absent" if effect < ABSENT else "undecided"
    return _verdict(
        material,
        word,
        effect,
        [effect, effect],
        f"{effect:.1%} of the response to a gradient comes later than the present step",
        decays=decays,
        learning_rates=rates,
        residual=residual,
        response=response,
    )


def _verdict(
    material, word, effect, interval, reason, *, decays=None, learning_rates=None, residual=0.0, response=None
):
    decays = np.zeros(0, complex) if decays is None else decays
    return MomentumVerdict(
        mechanism="momentum",
        verdict=word,
        effect=effect,
        interval=interval,
        summary=_summary(decays, learning_rates) if word == "present" else "",
        reason=reason,
        decays=decays,
        learning_rates=np.zeros(0, complex) if learning_rates is None else learning_rates,
        num_dominant=len(decays),
        residual=residual,
        impulse_response=np.zeros(material.num_steps) if response is None else response,
        operating_step=material.operating_step,
        operating_gradient=material.operating_gradient,
        is_fixed_point=material.is_fixed,
        r2=None,
        vertical_shift=None,
        total_variance_ratio=None,
        untrained_effect=None,
        provenance=provenance(),
    )


def _summary(decays, rates):
    kept = [b for b in decays if b.imag >= 0 and abs(b) > 0.02]
    words = [short(b.real) if abs(b.imag) < 1e-9 else f"{short(b.real)}±{short(b.imag)}i" for b in kept]
    if len(words) <= 1:
        return f"momentum with timescale {', '.join(words)}" if words else "momentum"
    number = {2: "two", 3: "three", 4: "four", 5: "five"}.get(len(words), str(len(words)))
    return f"momentum with {number} timescales, {', '.join(words[:-1])} and {words[-1]}"


def impulse_response(linear, num_steps: int) -> np.ndarray:
    """Return the updates that follow one unit gradient in a linear system."""
    response, h = [linear.D], linear.B
    for _ in range(num_steps - 1):
        response.append(float(linear.C @ h))
        h = linear.A @ h
    return np.array(response)


def _modes(linear, response):
    direct = 0.0
    decays = rates = np.zeros(0, complex)
    if linear is not None:
        try:
            found = modes(linear)
            decays, rates, direct = found.decays, found.learning_rates, found.direct
        except ValueError:
            pass
    if not len(decays):
        decays, rates = fit_modes(response)
    if direct:
        decays, rates = np.append(decays, 0.0), np.append(rates, direct)
    return _dominant(*_merged(decays, rates), response)


def _merged(decays, rates):
    """Make one mode of those with one decay: how its learning rate falls to its eigenvectors is chance."""
    left, merged = list(range(len(decays))), []
    while left:
        near = [i for i in left if abs(decays[i] - decays[left[0]]) <= SAME_DECAY]
        left = [i for i in left if i not in near]
        decay, rate = decays[near].mean(), rates[near].sum()
        is_real = abs(decay.imag) <= SAME_DECAY / 2
        merged.append((decay.real, rate.real) if is_real else (decay, rate))
    pairs = np.array(merged, complex).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _dominant(decays, rates, response):
    """The fewest modes, conjugate pairs together, that leave less than `RESIDUAL` of the response."""
    powers = decays[:, None] ** np.arange(len(response))
    parts = -(rates[:, None] * powers)
    leaders = [i for i in range(len(decays)) if decays[i].imag >= 0]
    pairs = []
    for i in leaders:
        partner = [i]
        if decays[i].imag > 0:
            others = [j for j in range(len(decays)) if decays[j].imag < 0]
            partner.append(min(others, key=lambda j: abs(decays[j] - decays[i].conjugate())))
        pairs.append(partner)
    size = np.linalg.norm(response)
    chosen, left = [], response.copy()
    remaining = list(pairs)
    while remaining and np.linalg.norm(left) > RESIDUAL * size:
        best = min(remaining, key=lambda p: np.linalg.norm(left - parts[p].sum(0).real))
        remaining.remove(best)
        chosen += best
        left = left - parts[best].sum(0).real
    order = sorted(range(len(chosen)), key=lambda i: (-round(abs(rates[chosen[i]]), 12), -decays[chosen[i]].imag))
    chosen = [chosen[i] for i in order]
    return decays[chosen], rates[chosen], float(np.linalg.norm(left) / size)


def fit_modes(response: np.ndarray, *, tolerance: float = 1e-9, most: int = 8):
    """Fit `-r_k = sum_j alpha_j beta_j^k` to an impulse response (Kung, 1978: from the Hankel matrix).

    A first value that does not fit what follows is a mode with decay 0.
    """
    tail = -response[1:]
    if not np.any(tail):
        return np.zeros(1, complex), np.array([-response[0]], complex)
    n = len(tail) // 2
    hankel = scipy.linalg.hankel(tail[:n], tail[n - 1 : 2 * n - 1])
    U, s, _ = np.linalg.svd(hankel)
    order = int(min(most, max(1, (s > tolerance * s[0]).sum())))
    observe = U[:, :order] * np.sqrt(s[:order])
    A = np.linalg.lstsq(observe[:-1], observe[1:], rcond=None)[0]
    decays = np.linalg.eigvals(A).astype(complex)
    powers = decays[None, :] ** np.arange(1, len(response))[:, None]
    rates = np.linalg.lstsq(powers, tail.astype(complex), rcond=None)[0]
    direct = -response[0] - rates.sum()
    return np.append(decays, 0.0), np.append(rates, direct)


def _memory_behind_sign(material):
    """What a gradient must be to cancel the update, k steps after a single one, as an impulse response."""
    size = material.operating_gradient or float(np.sqrt(material.low * material.high))
    num_steps = material.num_steps
    sequence = np.zeros((1, num_steps))
    sequence[0, 0] = size
    states, _ = material.probe.drive(sequence)
    centers = material.probe.centers(states[0, 1:num_steps], size * 1e6)
    if not np.isfinite(centers).all():
        return None
    return np.append(-1.0, centers / size)
