"""The law of an adaptive gain: what past gradients divide a gradient by."""

import dataclasses
import itertools
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy
from jaxtyping import Float, Int

#: Relative error (root of the mean square of logarithms) within which a law describes the gains.
FITS = 0.1
#: Error from which on nothing better is looked for.
_EXACT = 1e-6
#: Change of the error below which the gains do not show a number.
_UNSEEN = 1e-5
_TINY = 1e-300
#: A mean that forgets less than this a step is a sum.
_FORGETS = 1e-6
#: What remembers less than this of one step for the next is a static map.
_STATIC = 1e-6
#: Exponents nearer to 1 than this are tried as 1; nearer to 0 there is no gain.
_NEARLY = 0.05
#: One number, or those of several laws that are tried at once.
Number = float | Float[np.ndarray, "law 1"]
#: Steps by which numbers are changed for derivatives.
_STEP = 1e-5
#: Structures that are tried from further starts too, where none fits at once.
_AGAIN = 3
#: Error of gains from which on numbers are said to one digit.
_FAR_FROM_EXACT = 1e-4
#: Error of gains from which on the words say that a law is a rough one, and the exponent below which it is none at all.
_ROUGH, _LEAST_OF_ROUGH = 0.01, 0.2


#: Of a field that is part of a law's structure, not one of its numbers.
_FIXED = {"static": True}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GainLaw:
    """`v' = decay v + weight |u|^power` (or the larger of `decay v` and `|u|^power`), divided by `N(v')`.

    Additive, v moves towards `|u|^power` by `(1 - decay) |u|^power` (Yogi; Zaheer et al., 2018).

    `N = v'^(exponent/power) + eps`, or `(v' + eps)^(exponent/power)` with eps inside (of a maximum: with `|u| + eps` in
    place of `|u|`). Centered, the square of the mean
    `c' = decay c + (1 - decay) u` is taken away from v'. About the mean, `u - c'` is fed in place of u, with
    `c' = mean_decay c + (1 - mean_decay) u` (AdaBelief). With `peak`, N goes by the largest v' so far. With `echoes`,
    N is divided by `(e + eps)^(exponent/power)` of a mean `e` of its own updates `(u/N)^power` so far (Adadelta).

    Attributes:
        kind: "mean" (weight 1 - decay), "sum" (decay 1, weight 1), "maximum" or "additive".
        decay: of v.
        power: of what is averaged: 2 for squares, 1 for magnitudes.
        exponent: of N: 1 where N grows as gradients do.
        eps: what keeps N away from 0.
        is_inside: whether eps stands inside the root.
        start: v before the first gradient.
        is_centered: whether the square of the mean is taken away.
        about_mean: whether deviations from the mean are fed, and the mean is what is divided.
        mean_decay: of that mean.
        peak: whether the largest v so far counts.
        corrected: whether v' counts divided by `1 - decay^(n + 1)`, n from 0.
        delay: whether the present gradient does not enter its own N.
        echoes: whether its own updates count too.
        begins: step from which on it divides; before, N is 1.
        error: what it leaves of the gains that it was fitted to, relative to them.
    """

    kind: str = dataclasses.field(metadata=_FIXED)
    decay: Number
    power: float = dataclasses.field(metadata=_FIXED)
    exponent: Number
    eps: Number
    is_inside: bool = dataclasses.field(metadata=_FIXED)
    start: Number
    is_centered: bool = dataclasses.field(metadata=_FIXED, default=False)
    about_mean: bool = dataclasses.field(metadata=_FIXED, default=False)
    mean_decay: Number = 0.0
    peak: bool = dataclasses.field(metadata=_FIXED, default=False)
    corrected: bool = dataclasses.field(metadata=_FIXED, default=False)
    delay: bool = dataclasses.field(metadata=_FIXED, default=False)
    echoes: bool = dataclasses.field(metadata=_FIXED, default=False)
    begins: int = dataclasses.field(metadata=_FIXED, default=0)
    error: float = dataclasses.field(metadata=_FIXED, default=0.0)

    @property
    def weight(self) -> Number:
        """What a gradient adds."""
        return 1 - self.decay if self.kind == "mean" else 1.0

    def begin(self) -> tuple[Any, ...]:
        """State before the first gradient: v, mean, largest v, mean of its own updates."""
        return self.start, 0.0, self.start, 0.0

    def advance(self, state: tuple[Any, ...], u: Any, n: Any, xp: Any = np, *, sized: bool = True) -> tuple[Any, Any]:
        """Return the new state, and N at step n; without N where it is not asked for and nothing needs it."""
        v, c, top, e = state
        if self.is_centered or self.about_mean:
            forgets = 1 - (self.mean_decay if self.about_mean else self.decay)
            c = c + forgets * (u - c)
        fed = xp.abs(u - c if self.about_mean else u)
        fed = fed if self.power == 1 else fed * fed if self.power == 2 else fed**self.power
        if self.kind == "maximum" and self.is_inside:
            fed = fed + self.eps
        if self.kind == "maximum":
            new = xp.maximum(self.decay * v, fed)
        elif self.kind == "additive":
            new = v - (1 - self.decay) * xp.sign(v - fed) * fed
        else:
            new = self.decay * v + self.weight * fed
        size = None
        if sized or self.peak or self.echoes:
            counted = v if self.delay else new
            if self.is_centered:
                counted = xp.maximum(counted - c * c, 0.0)
            if self.corrected:
                counted = counted / (1 - self.decay ** (n + 1))
            if self.peak:
                top = counted = xp.maximum(top, counted)
            if sized or self.echoes:
                size = self._size(counted, xp)
        if self.echoes:
            size = size / (e + self.eps) ** (self.exponent / self.power)
            e = self.decay * e + (1 - self.decay) * xp.abs(u / size) ** self.power
        if size is not None and self.begins:
            size = xp.where(n < self.begins, 1.0, size)
        return (new, c, top, e), size

    def _size(self, counted: Any, xp: Any) -> Any:
        root = self.exponent / self.power
        if self.kind == "maximum" and self.is_inside:
            return counted**root
        return (counted + self.eps) ** root if self.is_inside else counted**root + self.eps

    @property
    def is_rough(self) -> bool:
        """Whether its numbers are those of a law that only comes near."""
        return self.error > _ROUGH

    @property
    def words(self) -> str:
        """What drives it, in a few words."""
        late = f", from step {self.begins} on" if self.begins else ""
        echo = ", over that of its own updates" if self.echoes else ""
        start = f", begun at {self.start:.3g}" if self.start and self.error <= _FAR_FROM_EXACT else ""
        peak = "the largest so far of " if self.peak else ""
        power = f", to the power {self.exponent / self.power:.3g}" if abs(self.exponent - 1) > _NEARLY else ""
        rough = "roughly " if self.is_rough else ""
        return rough + peak + self._driver + power + echo + start + self._guard + late

    @property
    def _guard(self) -> str:
        if not self.eps or self.is_rough:
            return ""
        where = "the maximum" if self.kind == "maximum" else "the root"
        eps = f"{self.eps:.3g}" if self.error <= _FAR_FROM_EXACT else f"about {self.eps:.1g}"
        return f", eps {eps} {'inside' if self.is_inside else 'outside'} {where}"

    @property
    def _driver(self) -> str:
        what = {2.0: "squared gradients", 1.0: "magnitudes of gradients"}.get(self.power, f"|g|^{self.power:.3g}")
        if self.about_mean:
            what = f"squared deviations of gradients from their mean (decay {self.mean_decay:.6g})"
        if self.kind == "maximum":
            fades = "" if 1 - self.decay < _FORGETS else f", which fades by {self.decay:.4g} a step"
            return f"the largest gradient so far{fades}"
        if self.kind == "sum":
            return f"the sum of {what}"
        if self.kind == "additive":
            return f"a mean of {what} that moves towards each by {1 - self.decay:.3g} of it, as Yogi's"
        steps = 1 / max(1 - self.decay, 1e-12)
        if self.error > _FAR_FROM_EXACT:
            return f"the mean of {what} over about {steps:,.1g} steps"
        return f"the mean of {what} over {steps:,.3g} steps (decay {self.decay:.6g})"

    @property
    def formula(self) -> str:
        """It in symbols."""
        fed = f"|{'u - c' + chr(39) if self.about_mean else 'u'}|^{self.power:.4g}"
        if self.kind == "maximum" and self.is_inside:
            fed += f" + {self.eps:.4g}"
        head = {
            "maximum": f"v' = max({self.decay:.6g} v, {fed})",
            "additive": f"v' = v - {1 - self.decay:.4g} sign(v - {fed}) {fed}",
        }.get(self.kind, f"v' = {self.decay:.6g} v + {self.weight:.4g} {fed}")
        counted = "v" if self.delay else "v'"
        if self.corrected:
            counted = f"({counted}/(1 - {self.decay:.6g}^(n + 1)))"
        if self.about_mean:
            head = f"c' = {self.mean_decay:.6g} c + {1 - self.mean_decay:.4g} u; {head}"
        if self.is_centered:
            head += f"; c' = {self.decay:.6g} c + {1 - self.decay:.4g} u"
            counted = f"({counted} - c'^2)"
        if self.peak:
            head += f"; p' = max(p, {counted})"
            counted = "p'"
        root = self.exponent / self.power
        size = (
            counted
            if self.kind == "maximum" and self.is_inside
            else (
                f"({counted} + {self.eps:.4g})^{root:.4g}"
                if self.is_inside
                else f"({counted}^{root:.4g} + {self.eps:.4g})"
            )
        )
        if self.echoes:
            size += f"/(e + {self.eps:.4g})^{root:.4g}"
            size += f"; e' = {self.decay:.6g} e + {1 - self.decay:.4g} |u/N|^{self.power:.4g}"
        late = f" (1 before step {self.begins})" if self.begins else ""
        return f"{head}; N = {size}{late}"


#: Structures that are tried, the usual ones first.
STRUCTURES: tuple[dict[str, Any], ...] = (
    {"kind": "mean", "power": 2.0, "corrected": True},
    {"kind": "mean", "power": 2.0},
    {"kind": "mean", "power": 2.0, "is_inside": True},
    {"kind": "sum", "power": 2.0, "is_inside": True},
    {"kind": "sum", "power": 2.0},
    {"kind": "maximum", "power": 1.0},
    {"kind": "maximum", "power": 1.0, "is_inside": True},
    {"kind": "mean", "power": 1.0},
    {"kind": "mean", "power": 2.0, "is_centered": True},
    {"kind": "mean", "power": 2.0, "is_centered": True, "is_inside": True},
    {"kind": "mean", "power": 2.0, "corrected": True, "about_mean": True, "is_inside": True},
    {"kind": "mean", "power": 2.0, "corrected": True, "about_mean": True},
    {"kind": "mean", "power": 2.0, "peak": True},
    {"kind": "mean", "power": 2.0, "peak": True, "corrected": True},
    {"kind": "mean", "power": 2.0, "delay": True},
    {"kind": "mean", "power": 2.0, "is_inside": True, "echoes": True},
    {"kind": "additive", "power": 2.0, "corrected": True},
    {"kind": "additive", "power": 2.0},
)
#: What a structure leaves out.
_PLAIN = {
    "is_inside": False,
    "is_centered": False,
    "about_mean": False,
    "peak": False,
    "corrected": False,
    "delay": False,
    "echoes": False,
}


class Gains(NamedTuple):
    """Gains that were measured: the odd part of the update for a gradient, after a history, over this gradient.

    Attributes:
        histories: [measurement, step] of what had come in, from the first step on; NaN after the end of a shorter one.
        last: the gradient with which each was measured.
        inverse: of the gain.
        groups: measurements of one group were made at one step, hence at one learning rate.
    """

    histories: Float[np.ndarray, "measurement step"]
    last: Float[np.ndarray, " measurement"]
    inverse: Float[np.ndarray, " measurement"]
    groups: Int[np.ndarray, " measurement"]


def predict(law: Any, gains: Gains) -> Float[np.ndarray, "*law measurement"]:
    """Return `log N` of each measurement, of one law or, where its numbers are columns, of several at once.

    Args:
        law: a `GainLaw` whose numbers are floats, or arrays [law, 1].
        gains: only their histories and last gradients are read.
    """
    many = np.shape(np.asarray(law.decay))[:1]
    found = np.zeros((*many, len(gains.last)))
    lengths = (~np.isnan(gains.histories)).sum(1)
    for length in np.unique(lengths):
        rows = lengths == length
        u, last = gains.histories[rows].T, np.abs(gains.last[rows])
        state = law.begin()
        for n in range(length):
            state, _ = law.advance(state, u[n], n, sized=False)
        size, back = (law.advance(state, sign * last, length)[1] for sign in (1, -1))
        gain = 0.5 / np.maximum(size, _TINY) + 0.5 / np.maximum(back, _TINY)
        if law.about_mean:  # the mean itself is divided, by another number for either sign
            held = law.mean_decay * state[1] / (1 - law.mean_decay) / last
            gain = gain + held * (0.5 / np.maximum(size, _TINY) - 0.5 / np.maximum(back, _TINY))
        found[..., rows] = -np.log(np.maximum(np.abs(gain), _TINY))
    return found


def fit_law(gains: Gains, *, begins: int = 0, is_even: bool = True) -> GainLaw | None:
    """Find the law of gains; None if none comes near.

    Args:
        gains: measured ones.
        begins: step from which on it divides.
        is_even: whether the signs of earlier gradients do not matter: then no mean is taken away.
    """
    fits: list[_Fit] = []
    for structure in STRUCTURES:
        if is_even and (structure.get("is_centered") or structure.get("about_mean")):
            continue
        fits.append(_Fit(structure, gains, begins))
        for _ in range(_AT_ONCE):
            if fits[-1].error > _EXACT:
                fits[-1].descend()
        if fits[-1].error < _EXACT and not _is_sum(fits[-1].law):
            break
    if min(fit.error for fit in fits) > _EXACT:
        for fit in sorted(fits, key=lambda fit: fit.error)[:_AGAIN]:
            for _ in range(_STARTS - _AT_ONCE):
                fit.descend()
    tried = [fit for fit in fits if not _is_sum(fit.law)]
    best = tried[0]
    for fit in tried[1:]:
        if fit.error < 0.5 * best.error and best.error > _EXACT:
            best = fit
    best.round()
    law = _as_maximum(best.law) if best.law.peak and best.law.decay < _STATIC else best.law
    is_static = law.kind != "sum" and law.decay < _STATIC
    least = _LEAST_OF_ROUGH if best.error > _ROUGH else _NEARLY
    is_nothing = abs(law.exponent) < least and not law.echoes
    return None if is_static or is_nothing or best.error >= FITS else law


def _as_maximum(law: GainLaw) -> GainLaw:
    """The largest so far of means that forget at once is the largest gradient so far."""
    numbers = {"decay": 1.0, "start": float(law.start ** (1 / law.power)), "kind": "maximum", "power": 1.0}
    return dataclasses.replace(law, peak=False, corrected=False, **numbers)


def _is_sum(law: GainLaw) -> bool:
    """Whether a mean forgets nothing: a sum says it better."""
    return law.kind == "mean" and bool(1 - law.decay < _FORGETS)


class _Fit:
    """The numbers of one structure, fitted to gains by least squares of logarithms."""

    def __init__(self, structure: dict[str, Any], gains: Gains, begins: int):
        self.structure, self.gains, self.begins = structure, gains, begins
        self.target = np.log(gains.inverse)
        self.scale = float(np.exp(np.log(gains.last).mean()))
        self.members = [gains.groups == group for group in np.unique(gains.groups)]
        self.error, self.numbers = np.inf, np.zeros(5)

    @property
    def law(self) -> GainLaw:
        """The best one so far."""
        return self._law_of(self.numbers)

    def _law_of(self, numbers: np.ndarray) -> GainLaw:
        """The law with some numbers [5], or laws with several [law, 5]: whatever they are, these are allowed."""
        logit, log_eps, log_start, exponent, mean_logit = np.moveaxis(numbers, -1, 0)
        decay = lambda value: 1 / (1 + np.exp(-np.clip(value, -40, 40)))
        exponent = np.clip(exponent, -4, 4)
        power = self.structure["power"]
        settings = {
            "decay": np.ones_like(logit) if self.structure["kind"] == "sum" else decay(logit),
            "exponent": exponent,
            "eps": _size_of(log_eps) * self.scale ** (power if self.structure.get("is_inside") else exponent),
            "start": _size_of(log_start) * self.scale**power,
            "mean_decay": decay(mean_logit),
        }
        shaped = {name: value[:, None] if numbers.ndim > 1 else float(value) for name, value in settings.items()}
        error = 0.0 if numbers.ndim > 1 else self.error
        return GainLaw(**shaped, **{**_PLAIN, **self.structure, "begins": self.begins, "error": error})

    def _residuals(self, numbers: np.ndarray) -> np.ndarray:
        """Logarithms of ratios [..., measurement] of predicted to measured ones, up to a factor for each group."""
        with np.errstate(all="ignore"):
            wrong = predict(self._law_of(numbers), self.gains) - self.target
        wrong = np.where(np.isfinite(wrong), wrong, 1e3)
        for members in self.members:
            wrong[..., members] -= wrong[..., members].mean(-1, keepdims=True)
        return wrong

    def _solve(self, start: np.ndarray, free: list[int], **options: Any) -> np.ndarray:
        """Least squares over some of the numbers, with derivatives of all of them from one call."""

        def whole(some):
            full = np.broadcast_to(start, (*some.shape[:-1], 5)).copy()
            full[..., free] = some
            return full

        def slopes(some):
            shifts = _STEP * np.eye(len(free))
            found = self._residuals(whole(np.concatenate([some + shifts, some - shifts])))
            return (found[: len(free)] - found[len(free) :]).T / (2 * _STEP)

        found = scipy.optimize.least_squares(
            lambda some: self._residuals(whole(some)), start[free], jac=slopes, x_scale=_SCALES[free], **options
        )
        return whole(found.x)

    def _free(self) -> list[int]:
        left_out = {0} if self.structure["kind"] == "sum" else set()
        return [i for i in range(5) if i not in left_out and (i < 4 or self.structure.get("about_mean"))]

    @cached_property
    def _starts(self) -> list[np.ndarray]:
        """The most promising places of a coarse grid, no two of them neighbors, and a usual one."""
        logits = (0.0,) if self.structure["kind"] == "sum" else _LOGITS
        grid = np.array([(*start, 1.0, 2.0) for start in itertools.product(logits, _LOG_EPS, _LOG_STARTS)])
        errors = np.sqrt(np.mean(np.minimum(np.abs(self._residuals(grid)), _FAR) ** 2, axis=-1))
        chosen: list[np.ndarray] = []
        for start in grid[np.argsort(errors, kind="stable")]:
            if all((start[:3] != other[:3]).sum() > 1 for other in chosen):
                chosen.append(start)
        return [chosen[0], np.array([3.0, -20.0, -60.0, 1.0, 2.0]), *chosen[1 : _STARTS - 1]]

    def descend(self) -> None:
        """Fit from the next start."""
        if not self._starts:
            return
        numbers = self._solve(self._starts.pop(0), self._free(), loss="soft_l1", f_scale=0.05, max_nfev=15)
        if _size(self._residuals(numbers)) < 2 * FITS:
            numbers = self._solve(numbers, self._free(), xtol=1e-12, ftol=1e-12, max_nfev=40)
        self._keep(numbers, 1.0)

    def round(self) -> None:
        """Take an exponent near 1 for 1, a full normalization, and leave out what gains do not show."""
        if self.error > _EXACT and abs(self.numbers[3] - 1) < _NEARLY:
            fixed, free = np.where(np.arange(5) == 3, 1.0, self.numbers), [i for i in self._free() if i != 3]
            self._keep(self._solve(fixed, free, loss="soft_l1", f_scale=1e-3, max_nfev=60), 1.2)
        for i in (2, 1):  # v before the first gradient, then eps
            without = np.where(np.arange(5) == i, -np.inf, self.numbers)
            error = _size(self._residuals(without))
            if error <= max(1.2 * self.error, self.error + _UNSEEN):
                self.numbers, self.error = without, error

    def _keep(self, numbers: np.ndarray, times: float) -> None:
        error = _size(self._residuals(numbers))
        if error < times * self.error:
            self.numbers, self.error = numbers, error


#: Grid of starts of a fit: decay's logit, logarithms of eps and of v before the first gradient, in units of gradients.
_LOGITS, _LOG_EPS, _LOG_STARTS = (-2.0, 1.0, 3.0, 6.0, 12.0), (-60.0, -20.0, -3.0), (-60.0, -14.0, -5.0, 2.0, 12.0)
#: How many of them are tried, and the logarithm of a ratio beyond which it does not matter how far off one is.
_STARTS, _FAR = 4, 5.0
#: So many of them are tried at once, the rest only where no structure fits.
_AT_ONCE = 2
#: Usual size of a change of each number.
_SCALES = np.array([1.0, 3.0, 5.0, 0.2, 1.0])


def _size_of(log):
    """What has this logarithm, within what floats can hold; none has 0."""
    return np.where(np.isneginf(log), 0.0, np.exp(np.clip(log, -90, 90)))


def _size(residuals):
    return float(np.sqrt(np.mean(residuals**2)))
