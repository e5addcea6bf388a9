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
from optoscope.anatomy import linear_updates, mode_shift
from optoscope.dynamics import Linearization, linearize, modes
from optoscope.mechanisms._material import Material
from optoscope.mechanisms._verdict import Verdict, short

#: Share of the response later than the present step from which on there is momentum; below `ABSENT` there is none.
PRESENT, ABSENT = 0.1, 0.05
#: Relative residual (root of the sum of squares) that the dominant modes may leave of the impulse response.
RESIDUAL = 0.01
#: So many timescales are named in the summary.
_MOST_TOLD = 4
#: Length of the impulse response, in runs.
_HORIZON = 10
#: Growth of the impulse response after which it is cut off.
_EXPLODED = 1e9
#: Size of the Hankel matrix to which modes are fitted.
_HANKEL = 200
#: Change in one step, in units of the state's largest coordinate, below which a state stands still.
_SAME_POINT = 1e-7
#: Decays that differ by no more than this are one: eigenvalues that coincide are known no better.
SAME_DECAY = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class MomentumVerdict(Verdict):
    """Momentum; `effect` is the share of the response to a gradient that comes later than the present step.

    Attributes:
        decays: `beta_j` of the dominant modes, largest learning rate first.
        learning_rates: their `alpha_j`, at the operating point.
        num_dominant: how many modes dominate.
        effective_decays: the fewest timescales that leave as little of the impulse response: many eigenvalues of a
            network may act as one or two.
        residual: of the impulse response, relative, that they leave.
        impulse_response: updates that follow one gradient, relative to it.
        operating_step: iteration of the operating point; None at a fixed point.
        operating_gradient: magnitude of the alternating gradients that led to it; 0 at rest.
        is_fixed_point: whether it is a fixed point at g = 0.
        num_fixed_points: attracting ones at g = 0 in which runs from states under gradients of the range end; None
            if the run without a gradient does not come to rest.
        vertical_shift: share of the change of the update function along the leading mode that is an offset; None
            where it was not measured.
        r2: of the linearized optimizer's updates on the test problems; None without a task or a fixed point.
        r2_interval: 95% interval over test problems; empty without.
        total_variance_ratio: variance of states over test problems, at the last step over the largest; None without
            a task.
        provenance: who made it.
    """

    decays: Complex[np.ndarray, " mode"]
    learning_rates: Complex[np.ndarray, " mode"]
    num_dominant: int
    effective_decays: Complex[np.ndarray, " effective"]
    residual: float
    impulse_response: Float[np.ndarray, " step"]
    operating_step: int | None
    operating_gradient: float
    is_fixed_point: bool
    num_fixed_points: int | None
    vertical_shift: float | None
    r2: float | None
    r2_interval: list[float]
    total_variance_ratio: float | None
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        data = super().to_json()
        pairs = zip(data.pop("decays"), data.pop("learning_rates"))
        return {"verdict": data.pop("verdict"), "modes": [{"beta": b, "alpha": a} for b, a in pairs], **data}


def assess_momentum(material: Material) -> MomentumVerdict:
    """Assess momentum from the experiments in `material`."""
    length = _HORIZON * material.num_steps
    try:
        linear = linearize(material.optimizer, material.operating_state)
        response = impulse_response(linear, length)
    except ValueError:
        linear, response = None, np.zeros(length)
    is_smooth = bool(np.any(response))
    if not is_smooth and not material.is_idle:
        response = _memory_behind_sign(material)
    if response is None:
        return _verdict(
            material, "undecided", 0.0, reason="the update has neither a slope nor a gradient that cancels it"
        )
    if not np.any(response):
        return _verdict(material, "absent", 0.0, reason="the update is the same whatever the gradients are")
    effect = _late_share(response)
    decays, rates, residual = _modes(linear if is_smooth else None, response)
    others = _other_effects(material, length) if is_smooth else []
    reason = f"{effect:.1%} of the response to a gradient comes later than the present step"
    if not is_smooth:
        reason += "; learning rates are relative, because the update has no slope"
    return _verdict(
        material,
        "present" if effect > PRESENT else "absent" if effect < ABSENT else "undecided",
        effect,
        interval=[min([effect, *others]), max([effect, *others])],
        reason=reason,
        decays=decays,
        learning_rates=rates,
        residual=residual,
        impulse_response=response,
        num_fixed_points=_num_fixed_points(material) if material.is_fixed else None,
        vertical_shift=_vertical_shift(material, linear) if material.is_fixed and linear is not None else None,
        **(_beside_runs(material, linear) if material.visits is not None else {}),
    )


def _verdict(material, word, effect, *, reason, **found):
    nothing = np.zeros(0, complex)
    found = {
        "interval": [effect, effect],
        "decays": nothing,
        "learning_rates": nothing,
        "residual": 0.0,
        "impulse_response": np.zeros(material.num_steps),
        "num_fixed_points": None,
        "vertical_shift": None,
        "r2": None,
        "r2_interval": [],
        "total_variance_ratio": None,
        **found,
    }
    effective = _effective(found["decays"], found["learning_rates"], found["impulse_response"])
    found["impulse_response"] = found["impulse_response"][: material.num_steps]
    return MomentumVerdict(
        mechanism="momentum",
        verdict=word,
        effect=effect,
        summary=_summary(effective) if word == "present" else "",
        reason=reason,
        num_dominant=len(found["decays"]),
        effective_decays=effective,
        operating_step=material.operating_step,
        operating_gradient=material.operating_gradient,
        is_fixed_point=material.is_fixed,
        provenance=provenance(),
        **found,
    )


def _late_share(response):
    sizes = np.abs(response)
    return float(sizes[1:].sum() / sizes.sum())


def _other_effects(material, length):
    """The effect at states along the run without a gradient and after alternating ones."""
    last = material.num_steps
    states = [material.calm[last // 2], material.calm[last], material.alternating[len(material.scales) // 2, last]]
    effects = []
    for state in states:
        try:
            response = impulse_response(linearize(material.optimizer, state), length)
        except ValueError:
            continue
        if np.isfinite(response).all() and np.any(response):
            effects.append(_late_share(response))
    return effects


def _num_fixed_points(material):
    """Attracting fixed points at g = 0 in which runs end that start where gradients have led."""
    ends = np.concatenate([material.constant[:, -1], material.opposite[:, -1], material.alternating[:, -1]])
    ends = ends[np.isfinite(ends).all(1)]
    previous, rest = material.probe.settle(ends)
    size = max(1.0, float(np.abs(material.operating_state).max(initial=0.0)))
    still = np.abs(rest - previous).max(1, initial=0.0) <= _SAME_POINT * size
    distinct: list[np.ndarray] = [material.operating_state]
    for state in rest[still]:
        if all(np.abs(state - other).max(initial=0.0) > 1e3 * _SAME_POINT * size for other in distinct):
            distinct.append(state)
    return len(distinct)


def _vertical_shift(material, linear):
    try:
        found = modes(linear)
        if not len(found.decays):
            return None
        runs = np.concatenate([material.constant[: len(material.scales) // 2 + 1], material.alternating])
        reached = material.visits.states if material.visits is not None else runs
        shift = mode_shift(material.optimizer, material.operating_state, found, reached)
    except ValueError:
        return None
    changes = shift.updates - shift.updates[len(shift.updates) // 2]
    left = changes - changes.mean(1, keepdims=True)
    total = float((changes**2).sum())
    return float(1 - (left**2).sum() / total) if total > 0 else None


def _beside_runs(material, linear):
    variance = material.visits.total_variance
    found: dict[str, Any] = {"total_variance_ratio": float(variance[-1] / max(variance.max(), np.finfo(float).tiny))}
    if linear is None or not material.is_fixed:
        return found
    try:
        runs = linear_updates(linear, modes(linear), material.visits)
    except ValueError:
        return found
    errors, squares = runs.squared_errors.sum(1), runs.squares.sum(1)
    found["r2"] = float(1 - errors.sum() / squares.sum())
    drawn = np.random.default_rng(0).integers(len(errors), size=(1000, len(errors)))
    again = 1 - errors[drawn].sum(1) / squares[drawn].sum(1)
    return found | {"r2_interval": [float(q) for q in np.quantile(again, [0.025, 0.975])]}


def _summary(decays):
    kept = sorted((b for b in decays if b.imag >= 0 and abs(b) > 0.02), key=abs)
    words = [short(b.real) + (f"±{short(b.imag)}i" if abs(b.imag) > 1e-6 else "") for b in kept]
    if len(words) > _MOST_TOLD:
        return f"momentum spread over {len(words)} timescales up to {words[-1]}"
    if len(words) <= 1:
        return f"momentum with timescale {words[0]}" if words else "momentum"
    number = {2: "two", 3: "three", 4: "four"}[len(words)]
    return f"momentum with {number} timescales, {', '.join(words[:-1])} and {words[-1]}"


def impulse_response(linear: Linearization, num_steps: int) -> Float[np.ndarray, " step"]:
    """Return the updates that follow one unit gradient in a linear system, up to where an unstable one has exploded."""
    response, h = [linear.D], linear.B
    for _ in range(num_steps - 1):
        response.append(float(linear.C @ h))
        h = linear.A @ h
        if abs(response[-1]) > _EXPLODED * max(abs(response[0]), abs(response[1])) > 0:
            break
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


def fit_modes(
    response: np.ndarray, *, tolerance: float = 1e-9, most: int = 8
) -> tuple[Complex[np.ndarray, " mode"], Complex[np.ndarray, " mode"]]:
    """Fit `-r_k = sum_j alpha_j beta_j^k` to an impulse response (Kung, 1978: from its Hankel matrix).

    Args:
        response: `r_0, r_1, ...`; a first value that does not fit what follows is a mode with decay 0.
        tolerance: singular values below this share of the largest are noise.
        most: largest number of modes.

    Returns:
        Decays and learning rates.
    """
    tail = -response[1 : 2 * _HANKEL + 1]
    if not np.any(tail):
        return np.zeros(1, complex), np.array([-response[0]], complex)
    n = len(tail) // 2
    U, s, _ = np.linalg.svd(scipy.linalg.hankel(tail[:n], tail[n - 1 : 2 * n - 1]))
    order = int(min(most, max(1, (s > tolerance * s[0]).sum())))
    observe = U[:, :order] * np.sqrt(s[:order])
    decays = np.linalg.eigvals(np.linalg.lstsq(observe[:-1], observe[1:], rcond=None)[0]).astype(complex)
    powers = decays[None, :] ** np.arange(1, len(tail) + 1)[:, None]
    rates = np.linalg.lstsq(powers, tail.astype(complex), rcond=None)[0]
    return np.append(decays, 0.0), np.append(rates, -response[0] - rates.sum())


def _effective(decays, rates, response):
    """The fewest timescales that make the response, eigenvalues or not: many modes may act as one."""
    if len(decays) <= 2:
        return decays
    size = np.linalg.norm(response)
    for order in range(1, min(len(decays), 8)):
        fitted, weights = fit_modes(response, most=order)
        with np.errstate(all="ignore"):
            missed = np.linalg.norm(response + (weights @ fitted[:, None] ** np.arange(len(response))).real)
        if missed <= RESIDUAL * size:
            kept = np.abs(weights) > RESIDUAL * np.abs(weights).max()
            return fitted[kept & (np.abs(fitted) > 0)]
    return decays


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
