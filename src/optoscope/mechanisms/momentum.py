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
import scipy
from jaxtyping import Complex, Float

from optoscope._core.provenance import provenance
from optoscope._core.statistics import bootstrap_interval
from optoscope.anatomy import Dossier
from optoscope.dynamics import linearize, settle
from optoscope.dynamics.modes import conjugate_units, fewest
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
        return data | {"modes": [{"beta": b, "alpha": a} for b, a in pairs]}


def assess_momentum(dossier: Dossier) -> MomentumVerdict:
    """Assess momentum from the dossier."""
    length = _HORIZON * dossier.num_steps
    linear = dossier.known("operating_linearization")
    response = np.zeros(length) if linear is None else _response(linear, length)
    is_smooth = bool(np.any(response))
    if not is_smooth and not dossier.is_idle:
        response = _memory_behind_sign(dossier)
    if response is None:
        return _verdict(
            dossier, "undecided", 0.0, reason="the update has neither a slope nor a gradient that cancels it"
        )
    if not np.any(response):
        return _verdict(dossier, "absent", 0.0, reason="the update is the same whatever the gradients are")
    effect = _late_share(response)
    decays, rates, residual = _modes(dossier if is_smooth else None, response)
    others = _other_effects(dossier, length) if is_smooth else []
    reason = f"{effect:.1%} of the response to a gradient comes later than the present step"
    if not is_smooth:
        reason += "; learning rates are relative, because the update has no slope"
    return _verdict(
        dossier,
        "present" if effect > PRESENT else "absent" if effect < ABSENT else "undecided",
        effect,
        interval=[min([effect, *others]), max([effect, *others])],
        reason=reason,
        decays=decays,
        learning_rates=rates,
        residual=residual,
        impulse_response=response,
        num_fixed_points=_num_fixed_points(dossier) if dossier.operating_point.is_fixed else None,
        vertical_shift=dossier.known("vertical_shift") if dossier.operating_point.is_fixed else None,
        **(_beside_runs(dossier, linear) if dossier.task is not None else {}),
    )


def _verdict(dossier, word, effect, *, reason, **found):
    nothing = np.zeros(0, complex)
    found = {
        "interval": [effect, effect],
        "decays": nothing,
        "learning_rates": nothing,
        "residual": 0.0,
        "impulse_response": np.zeros(dossier.num_steps),
        "num_fixed_points": None,
        "vertical_shift": None,
        "r2": None,
        "r2_interval": [],
        "total_variance_ratio": None,
        **found,
    }
    effective = _effective(found["decays"], found["learning_rates"], found["impulse_response"])
    found["impulse_response"] = found["impulse_response"][: dossier.num_steps]
    return MomentumVerdict(
        mechanism="momentum",
        verdict=word,
        effect=effect,
        summary=_summary(effective) if word == "present" else "",
        reason=reason,
        num_dominant=len(found["decays"]),
        effective_decays=effective,
        operating_step=dossier.operating_point.step,
        operating_gradient=dossier.operating_point.gradient,
        is_fixed_point=dossier.operating_point.is_fixed,
        provenance=provenance(),
        **found,
    )


def _response(linear, length):
    """The impulse response, up to where an unstable one has exploded."""
    response = linear.impulse_response(length)
    sizes = np.abs(response)
    exploded = np.flatnonzero(~(sizes <= _EXPLODED * sizes[:2].max())) if sizes[:2].any() else np.zeros(0, int)
    return response[: exploded[0] + 1] if len(exploded) else response


def _late_share(response):
    sizes = np.abs(response)
    return float(sizes[1:].sum() / sizes.sum())


def _other_effects(dossier, length):
    """The effect at states along the run without a gradient and after alternating ones."""
    calm, driven, last = dossier.autonomous.states, dossier.driven, dossier.num_steps
    effects = []
    for state in (calm[last // 2], calm[last], driven.alternating[len(driven.magnitudes) // 2, last]):
        try:
            response = _response(linearize(dossier.optimizer, state), length)
        except ValueError:
            continue
        if np.isfinite(response).all() and np.any(response):
            effects.append(_late_share(response))
    return effects


def _num_fixed_points(dossier):
    """Attracting fixed points at g = 0 in which runs end that start where gradients have led."""
    center, ends = dossier.center, dossier.driven.ends
    rest = settle(dossier.optimizer, ends[np.isfinite(ends).all(1)])
    size = max(1.0, float(np.abs(center).max(initial=0.0)))
    still = np.abs(settle(dossier.optimizer, rest, num_steps=1) - rest).max(1, initial=0.0) <= _SAME_POINT * size
    distinct: list[np.ndarray] = [center]
    for state in rest[still]:
        if all(np.abs(state - other).max(initial=0.0) > 1e3 * _SAME_POINT * size for other in distinct):
            distinct.append(state)
    return len(distinct)


def _beside_runs(dossier, linear):
    found: dict[str, Any] = {"total_variance_ratio": dossier.visits.variance_left}
    if linear is None or not dossier.operating_point.is_fixed:
        return found
    runs = dossier.linear
    errors, squares = runs.squared_errors.sum(1), runs.squares.sum(1)
    share = lambda rows: 1 - errors[rows].sum(1) / squares[rows].sum(1)
    interval = bootstrap_interval(share, len(errors), num_resamples=1000)
    return found | {"r2": runs.r_squared, "r2_interval": list(interval)}


def _summary(decays):
    kept = sorted((b for b in decays if b.imag >= 0 and abs(b) > 0.02), key=abs)
    words = [short(b.real) + (f"±{short(b.imag)}i" if abs(b.imag) > 1e-6 else "") for b in kept]
    if len(words) > _MOST_TOLD:
        return f"momentum spread over {len(words)} timescales up to {words[-1]}"
    if len(words) <= 1:
        return f"momentum with timescale {words[0]}" if words else "momentum"
    number = {2: "two", 3: "three", 4: "four"}[len(words)]
    return f"momentum with {number} timescales, {', '.join(words[:-1])} and {words[-1]}"


def _modes(dossier, response):
    direct = 0.0
    decays = rates = np.zeros(0, complex)
    found = None if dossier is None else dossier.known("operating_modes")
    if found is not None:
        decays, rates, direct = found.decays, found.learning_rates, found.direct
    if not len(decays):
        decays, rates = fit_modes(response)  # which has what passes the state by as a mode of its own
    elif direct:
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
    units = conjugate_units(decays)
    responses = -(rates[:, None] * decays[:, None] ** np.arange(len(response)))
    parts = np.array([responses[unit].sum(0).real for unit in units]).reshape(-1, len(response))
    picked, left = fewest(parts, response, RESIDUAL)
    chosen = [int(j) for i in picked for j in units[i]]
    order = sorted(range(len(chosen)), key=lambda i: (-round(abs(rates[chosen[i]]), 12), -decays[chosen[i]].imag))
    chosen = [chosen[i] for i in order]
    return decays[chosen], rates[chosen], float(np.linalg.norm(left) / np.linalg.norm(response))


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


def _memory_behind_sign(dossier):
    """What a gradient must be to cancel the update, k steps after a single one, as an impulse response."""
    size = dossier.operating_point.gradient or dossier.range.middle
    num_steps = dossier.num_steps
    sequence = np.zeros((1, num_steps))
    sequence[0, 0] = size
    states, _ = dossier.probe.drive(sequence)
    centers = dossier.probe.centers(states[0, 1:num_steps], size * 1e6)
    if not np.isfinite(centers).all():
        return None
    return np.append(-1.0, centers / size)
