"""The law of an adaptive gain: what past gradients divide a gradient by."""

import types
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
import scipy
from jaxtyping import Float, Int

#: Relative error (root of the mean square of logarithms) within which a law describes the gains.
FITS = 0.1
#: Error from which on nothing better is looked for.
_EXACT = 1e-6
_TINY = 1e-300
#: A mean that forgets less than this a step is a sum.
_FORGETS = 1e-6
#: Exponents nearer to 1 than this are tried as 1.
_NEARLY = 0.05


class GainLaw(eqx.Module):
    """`v' = decay v + weight |u|^power` (or the larger of `decay v` and `|u|^power`), divided by `N(v')`.

    `N = v'^(exponent/power) + eps`, or `(v' + eps)^(exponent/power)` with eps inside. Centered, the square of the mean
    `c' = decay c + (1 - decay) u` is taken away from v'. With `peak`, N goes by the largest v' so far.

    Attributes:
        kind: "mean" (weight 1 - decay), "sum" (decay 1, weight 1) or "maximum".
        decay: of v.
        power: of what is averaged: 2 for squares, 1 for magnitudes.
        exponent: of N: 1 where N grows as gradients do.
        eps: what keeps N away from 0.
        is_inside: whether eps stands inside the root.
        start: v before the first gradient.
        is_centered: whether the mean is taken away.
        peak: whether the largest v so far counts.
        corrected: whether v' counts divided by `1 - decay^(n + 1)`, n from 0.
        delay: whether the present gradient does not enter its own N.
    """

    kind: str = eqx.field(static=True)
    decay: float
    power: float
    exponent: float
    eps: float
    is_inside: bool = eqx.field(static=True)
    start: float
    is_centered: bool = eqx.field(static=True, default=False)
    peak: bool = eqx.field(static=True, default=False)
    corrected: bool = eqx.field(static=True, default=False)
    delay: bool = eqx.field(static=True, default=False)

    @property
    def weight(self) -> float:
        """What a gradient adds."""
        return 1 - self.decay if self.kind == "mean" else 1.0

    def begin(self) -> list[float]:
        """State before the first gradient: v, mean, largest v."""
        return [self.start, 0.0, self.start]

    def advance(self, v: Any, c: Any, top: Any, u: Any, n: Any, xp: Any = np) -> tuple[Any, Any, Any, Any]:
        """Return the new v, mean, largest v, and N, at step n."""
        fed = xp.abs(u) ** self.power
        new = xp.maximum(self.decay * v, fed) if self.kind == "maximum" else self.decay * v + self.weight * fed
        c = self.decay * c + (1 - self.decay) * u
        counted = v if self.delay else new
        if self.is_centered:
            counted = xp.maximum(counted - c * c, 0.0)
        if self.corrected:
            counted = counted / (1 - self.decay ** (n + 1))
        top = xp.maximum(top, counted)
        if self.peak:
            counted = top
        root = self.exponent / self.power
        size = (counted + self.eps) ** root if self.is_inside else counted**root + self.eps
        return new, c, top, size

    @property
    def words(self) -> str:
        """What drives it, in a few words."""
        return self._driver + self._guard

    @property
    def _guard(self) -> str:
        if self.is_inside:
            return f", eps {self.eps:.3g} inside the root"
        return f", eps {self.eps:.3g} outside the root"

    @property
    def _driver(self) -> str:
        what = {2.0: "squared gradients", 1.0: "magnitudes of gradients"}.get(self.power, f"|g|^{self.power:.3g}")
        if self.kind == "maximum":
            return f"the largest gradient so far, which fades by {self.decay:.4g} a step"
        if self.kind == "sum":
            return f"the sum of {what}"
        return f"the mean of {what} over {1 / max(1 - self.decay, 1e-12):,.3g} steps (decay {self.decay:.6g})"

    @property
    def formula(self) -> str:
        """It in symbols."""
        fed = f"|u|^{self.power:.4g}"
        head = (
            f"v' = max({self.decay:.6g} v, {fed})"
            if self.kind == "maximum"
            else f"v' = {self.decay:.6g} v + {self.weight:.4g} {fed}"
        )
        counted = "v" if self.delay else "v'"
        if self.corrected:
            counted = f"{counted}/(1 - {self.decay:.6g}^(n + 1))"
        if self.is_centered:
            head += f"; c' = {self.decay:.6g} c + {1 - self.decay:.4g} u"
            counted = f"({counted} - c'^2)"
        if self.peak:
            head += f"; p' = max(p, {counted})"
            counted = "p'"
        root = self.exponent / self.power
        size = (
            f"({counted} + {self.eps:.4g})^{root:.4g}" if self.is_inside else f"({counted}^{root:.4g} + {self.eps:.4g})"
        )
        return f"{head}; N = {size}"


#: Structures that are tried, the usual ones first.
STRUCTURES: tuple[dict[str, Any], ...] = (
    {"kind": "mean", "power": 2.0, "corrected": True},
    {"kind": "mean", "power": 2.0},
    {"kind": "mean", "power": 2.0, "is_inside": True},
    {"kind": "sum", "power": 2.0, "is_inside": True},
    {"kind": "sum", "power": 2.0},
    {"kind": "maximum", "power": 1.0},
    {"kind": "mean", "power": 1.0},
    {"kind": "mean", "power": 2.0, "is_centered": True},
    {"kind": "mean", "power": 2.0, "is_centered": True, "is_inside": True},
    {"kind": "mean", "power": 2.0, "peak": True},
    {"kind": "mean", "power": 2.0, "peak": True, "corrected": True},
    {"kind": "mean", "power": 2.0, "delay": True},
)
#: What a structure leaves out.
_PLAIN = {"is_inside": False, "is_centered": False, "peak": False, "corrected": False, "delay": False}


class Gains(NamedTuple):
    """Gains that were measured: the odd part of the update for a gradient, after a history, over this gradient.

    Attributes:
        histories: [measurement, step] of what had come in, from the first step on.
        last: the gradient with which each was measured.
        inverse: of the gain.
        groups: measurements of one group were made at one step, hence at one learning rate.
    """

    histories: Float[np.ndarray, "measurement step"]
    last: Float[np.ndarray, " measurement"]
    inverse: Float[np.ndarray, " measurement"]
    groups: Int[np.ndarray, " measurement"]


def predict(law: Any, gains: Gains) -> Float[np.ndarray, " measurement"]:
    """Return `log N` of each measurement, from all of its history at once; a history that is shorter begins with NaN.

    `GainLaw.advance` says the same one gradient at a time. `law` is a `GainLaw`, or has the same attributes.
    """
    u, last = gains.histories, np.abs(gains.last)
    num_steps = u.shape[1]
    is_there = ~np.isnan(u)
    fed = np.where(is_there, np.abs(u), 0.0) ** law.power
    ages = np.arange(num_steps)[::-1]
    fade = law.decay**ages
    length = is_there.sum(1)
    left = law.start * law.decay**length
    if law.kind == "maximum":
        before = np.maximum((fed * fade).max(1, initial=0.0), left)
        now = np.maximum(law.decay * before, last**law.power)
    else:
        before = law.weight * (fed @ fade) + left
        now = law.decay * before + law.weight * last**law.power
    counted = before if law.delay else now
    if law.corrected:
        counted = counted / np.maximum(1 - law.decay ** (length + 1.0), _TINY)
    if law.peak:
        course = scipy.signal.lfilter([law.weight], [1.0, -law.decay], fed, axis=1)
        seen = length[:, None] - ages
        course = np.where(seen > 0, course + law.start * law.decay ** np.maximum(seen, 0), 0.0)
        if law.corrected:
            course = course / np.maximum(1 - law.decay ** np.maximum(length[:, None] - ages, 1.0), _TINY)
        counted = np.maximum(np.maximum(course.max(1, initial=0.0), counted), law.start)
    root = law.exponent / law.power
    sizes = []
    for sign in (1, -1):
        c = 0.0
        if law.is_centered:  # which sees the sign
            c = law.decay * (1 - law.decay) * (np.where(is_there, u, 0.0) @ fade) + sign * (1 - law.decay) * gains.last
        rest = np.maximum(counted - c**2, 0.0)
        sizes.append((rest + law.eps) ** root if law.is_inside else rest**root + law.eps)
    return -np.log(np.maximum(0.5 / np.maximum(sizes[0], _TINY) + 0.5 / np.maximum(sizes[1], _TINY), _TINY))


def fit_law(gains: Gains) -> tuple[GainLaw, float] | None:
    """Find the law of gains; returns it with the relative error that is left, or None if none comes near."""
    target = np.log(gains.inverse)
    scale = float(np.exp(np.log(gains.last).mean()))
    best = None
    for structure in STRUCTURES:
        found = _fit(structure, scale, gains, target)
        if best is None or found[1] < 0.5 * best[1] or (_is_sum(best[0]) and found[1] < 2 * best[1] + _EXACT):
            best = found
        if best[1] < _EXACT and not _is_sum(best[0]):
            break
    return best if best is not None and best[1] < FITS else None


def _is_sum(law: GainLaw) -> bool:
    """Whether a mean forgets nothing: a sum says it better."""
    return law.kind == "mean" and 1 - law.decay < _FORGETS


def _fit(structure, scale, gains, target):
    is_sum = structure["kind"] == "sum"
    power = structure["power"]

    def law_of(numbers):
        logit, log_eps, log_start, exponent = numbers
        exponent = np.clip(exponent, -4, 4)
        unit = power if structure.get("is_inside") else exponent
        return {
            **_PLAIN,
            **structure,
            "decay": 1.0 if is_sum else float(1 / (1 + np.exp(-np.clip(logit, -40, 40)))),
            "exponent": float(exponent),
            "eps": float(np.exp(np.clip(log_eps, -90, 90)) * scale**unit),
            "start": float(np.exp(np.clip(log_start, -90, 90)) * scale**power),
        }

    def residuals(numbers):
        with np.errstate(all="ignore"):
            numbers = law_of(numbers)
            weight = 1 - numbers["decay"] if structure["kind"] == "mean" else 1.0
            wrong = predict(types.SimpleNamespace(**numbers, weight=weight), gains) - target
        wrong = np.where(np.isfinite(wrong), wrong, 1e3)
        for members in groups:
            wrong[members] -= wrong[members].mean()
        return wrong

    groups = [gains.groups == group for group in np.unique(gains.groups)]
    best = None
    for logit, log_eps, log_start in ((3.0, -20.0, -60.0), (3.0, -60.0, -60.0), (5.0, -20.0, -8.0)):
        found = scipy.optimize.least_squares(
            residuals,
            [logit, log_eps, log_start, 1.0],
            loss="soft_l1",
            f_scale=0.05,
            max_nfev=30,
            x_scale=[1, 3, 5, 0.2],
        )
        if found.cost < 0.5 * len(target) * FITS**2:
            found = scipy.optimize.least_squares(residuals, found.x, x_scale="jac", xtol=1e-12, ftol=1e-12, max_nfev=60)
        numbers, error = found.x, _size(residuals(found.x))
        if error > _EXACT and abs(numbers[3] - 1) < _NEARLY:  # a full normalization, most likely
            fixed = scipy.optimize.least_squares(
                lambda some: residuals([*some, 1.0]), numbers[:3], loss="soft_l1", f_scale=1e-3, max_nfev=80
            )
            again = _size(residuals([*fixed.x, 1.0]))
            if again < 1.2 * error:
                numbers, error = np.array([*fixed.x, 1.0]), again
        if best is None or error < best[1]:
            best = (GainLaw(**law_of(numbers)), error)
        if error < _EXACT:
            break
    return best


def _size(residuals):
    return float(np.sqrt(np.mean(residuals**2)))
