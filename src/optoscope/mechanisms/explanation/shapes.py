"""Static maps by shape: what one gradient counts for, whatever came before."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np
import scipy
from jaxtyping import Float

#: Relative error within which a shape describes a map, at all but a few of the magnitudes tried.
_FITS, _SHARE = 3e-3, 0.97
#: Ratios below this share of the largest are nothing.
_NOTHING = 1e-18
#: Scales of shapes with steps that are tried, per decade; of smooth ones a quarter, at every so many magnitudes.
_PER_DECADE, _EVERY = 24, 3


class StaticMap(eqx.Module):
    """`f(x)`, as a named shape or as a table.

    Attributes:
        name: of the shape; "table" if none fits.
        slope: factor of the shape.
        scale: `t`, where it turns, in units of what goes in; 0 without one.
        number: exponent of a power; slope for negative x over that for positive x, where the two sides differ; slope
            beyond a corner over that below it.
        sizes: magnitudes at which it was sampled.
        above, below: `f(x) / x` there, for positive and for negative x.
    """

    name: str = eqx.field(static=True)
    slope: float
    scale: float
    sizes: Float[np.ndarray, " grid"]
    above: Float[np.ndarray, " grid"]
    below: Float[np.ndarray, " grid"]
    number: float = 1.0

    @property
    def is_linear(self) -> bool:
        """Whether it is proportional."""
        return self.name == "linear"

    @property
    def clips(self) -> bool:
        """Whether it is a kind of clipping: large gradients count for less."""
        return SHAPES[self.name].clips if self.name in SHAPES else self.name == "corner" and abs(self.number) < 1

    @property
    def has_tangent(self) -> bool:
        """Whether small gradients count in proportion to their size, as the slope says."""
        return self.name not in ("sign", "ternary", "power")

    def __call__(self, x: Any, xp: Any = np) -> Any:
        """Apply it with NumPy or with jax.numpy."""
        if self.name == "linear":
            return self.slope * x
        if self.name == "power":
            return self.slope * xp.sign(x) * xp.abs(x) ** self.number
        if self.name == "two slopes":
            return self.slope * xp.where(x > 0, x, self.number * x)
        if self.name == "corner":
            below = xp.clip(x, -self.scale, self.scale)
            return self.slope * (below + self.number * (x - below))
        if self.name in SHAPES:
            return self.slope * self.scale * SHAPES[self.name].apply(x / self.scale, xp)
        logs = xp.log(xp.maximum(xp.abs(x), 1e-300))
        grid = xp.log(self.sizes)
        ratio = xp.where(x >= 0, xp.interp(logs, grid, self.above), xp.interp(logs, grid, self.below))
        return ratio * x

    @property
    def formula(self) -> str:
        """It in symbols, of `x`."""
        if self.name == "linear":
            return "x" if self.slope == 1 else f"{self.slope:.4g} x"
        head = "" if self.slope == 1 else f"{self.slope:.4g} "
        if self.name == "power":
            return f"{head}sign(x) |x|^{self.number:.4g}"
        if self.name == "two slopes":
            return f"{head}(x if x > 0 else {self.number:.4g} x)"
        if self.name == "corner":
            t = f"{self.scale:.4g}"
            return f"{head}(x if |x| < {t} else sign(x) ({t} + {self.number:.4g} (|x| - {t})))"
        if self.name not in SHAPES:
            return "f(x), a table"
        factor = self.slope * self.scale
        inner = "x" if self.scale == 1 else f"(x/{self.scale:.4g})"
        head = "" if factor == 1 else f"{factor:.4g} "
        return head + SHAPES[self.name].text.replace("x", inner)


@dataclasses.dataclass(frozen=True)
class Shape:
    """A shape of scale 1.

    Attributes:
        apply: of x and NumPy or jax.numpy.
        text: in symbols.
        words: in a sentence.
        clips: whether it is a kind of clipping: large gradients count for less.
        jumps: scale over the place of its first jump; 0 without one.
        has_steps: whether it goes by many steps, so that only a scale close to its own fits at all.
    """

    apply: Callable[[Any, Any], Any]
    text: str
    words: str
    clips: bool = False
    jumps: float = 0.0
    has_steps: bool = False


SHAPES: dict[str, Shape] = {
    "sign": Shape(lambda x, xp: xp.sign(x), "sign(x)", "only the sign of the gradient counts", True),
    "hard clip": Shape(lambda x, xp: xp.clip(x, -1, 1), "clip(x, -1, 1)", "hard clipping", True),
    "tanh": Shape(lambda x, xp: xp.tanh(x), "tanh(x)", "soft clipping", True),
    "algebraic": Shape(lambda x, xp: x / xp.sqrt(1 + x * x), "x/sqrt(1 + x^2)", "soft clipping", True),
    "softsign": Shape(lambda x, xp: x / (1 + xp.abs(x)), "x/(1 + |x|)", "soft clipping", True),
    "logarithm": Shape(lambda x, xp: xp.sign(x) * xp.log1p(xp.abs(x)), "sign(x) log(1 + |x|)", "a logarithm", True),
    "inverse sinh": Shape(lambda x, xp: xp.arcsinh(x), "asinh(x)", "a logarithm", True),
    "Cauchy": Shape(lambda x, xp: x / (1 + x * x), "x/(1 + x^2)", "redescending clipping", True),
    "Welsch": Shape(lambda x, xp: x * xp.exp(-xp.minimum(x * x, 700.0)), "x exp(-x^2)", "redescending clipping", True),
    "skip": Shape(
        lambda x, xp: xp.where(xp.abs(x) < 1, x, 0.0), "x if |x| < 1 else 0", "large gradients are left out", True, 1.0
    ),
    "cubic": Shape(lambda x, xp: x + x**3, "x + x^3", "an update that grows faster than its tangent"),
    "sinh": Shape(
        lambda x, xp: xp.sinh(xp.clip(x, -20, 20)),
        "sinh(clip(x, -20, 20))",
        "an update that grows faster than its tangent",
    ),
    "soft threshold": Shape(
        lambda x, xp: xp.sign(x) * xp.maximum(xp.abs(x) - 1, 0), "sign(x) max(|x| - 1, 0)", "a dead zone"
    ),
    "hard threshold": Shape(
        lambda x, xp: xp.where(xp.abs(x) > 1, x, 0.0), "x if |x| > 1 else 0", "a dead zone", jumps=1.0
    ),
    "ternary": Shape(
        lambda x, xp: xp.where(xp.abs(x) > 1, xp.sign(x), 0.0),
        "sign(x) if |x| > 1 else 0",
        "all gradients count the same, but for a dead zone",
        clips=True,
        jumps=1.0,
    ),
    "quantized": Shape(lambda x, xp: xp.round(x), "round(x)", "quantization into equal steps", has_steps=True),
    "powers of two": Shape(
        lambda x, xp: xp.sign(x) * 2.0 ** xp.floor(xp.log2(xp.abs(x) + 1e-300)),
        "sign(x) 2^floor(log2 |x|)",
        "quantization to powers of two",
    ),
    "one-sided": Shape(lambda x, xp: xp.maximum(x, 0), "max(x, 0)", "only positive gradients count"),
    "other side": Shape(lambda x, xp: xp.minimum(x, 0), "min(x, 0)", "only negative gradients count"),
    "magnitude": Shape(lambda x, xp: xp.abs(x), "|x|", "only the magnitude of the gradient counts, not its sign"),
}
#: Shapes without a scale of their own.
_SCALELESS = ("one-sided", "other side", "magnitude", "powers of two")


def fit_map(sizes: np.ndarray, above: np.ndarray, below: np.ndarray) -> StaticMap:
    """Name the shape of a map from `f(x)/x` at several magnitudes, for positive and for negative x.

    Args:
        sizes: magnitudes, increasing.
        above, below: `f(x) / x` at x = +sizes and at -sizes.
    """
    ratios = np.stack([above, below])
    size = np.abs(ratios).max(initial=0.0)
    first = float(np.median(ratios)) or size
    linear = StaticMap("linear", first, 0.0, sizes, above, below)
    if _misfit(ratios, np.full_like(ratios, linear.slope)) < _FITS:
        return linear
    for name, slope, number, model in _plain_ones(sizes, above, below):
        if _misfit(ratios, model) < _FITS:
            return StaticMap(name, slope, 0.0, sizes, above, below, number)
    x = np.stack([sizes, -sizes])
    best, least = None, np.inf
    for name, shape in SHAPES.items():
        scales = np.ones(1) if name == "sign" or name in _SCALELESS else _likely_scales(shape, x, ratios)
        slopes, misfits = _compare(shape, scales, x, ratios)
        i = int(np.argmin(misfits))
        if misfits[i] < least - 1e-6:
            best = StaticMap(name, float(slopes[i]), float(scales[i]), sizes, above, below)
            least = float(misfits[i])
    if best is not None and least < _FITS:
        return best
    return _corner(sizes, above, below) or StaticMap("table", 1.0, 0.0, sizes, above, below)


def _plain_ones(sizes, above, below):
    """A power and two slopes: shapes without a scale, whose numbers are read off."""
    if np.all(above * below > 0):
        exponent, offset = np.polyfit(np.log(sizes), np.log(np.abs(above)), 1)
        if abs(exponent + 1) > 1e-6 and abs(exponent) > 1e-4:
            slope = float(np.sign(above[0]) * np.exp(offset))
            yield "power", slope, float(exponent + 1), np.stack([slope * sizes**exponent] * 2)
    first, other = float(np.median(above)), float(np.median(below))
    if first and other:
        model = np.stack([np.full_like(sizes, first), np.full_like(sizes, other)])
        yield "two slopes", first, other / first, model


def _corner(sizes, above, below):
    """Two slopes with a corner at t between: beyond it, with slopes a and b, `f(x)/x = b + (a - b) t/x`."""
    slope, (far, near) = float(above[0]), above[[-1, -3]]
    held = (near - far) / (1 / sizes[-3] - 1 / sizes[-1])
    beyond = float(far - held / sizes[-1])
    if slope and beyond and abs(slope - beyond) > _FITS * abs(slope):
        scale = float(held / (slope - beyond))
        if sizes[0] < scale < sizes[-1]:
            share = np.minimum(sizes, scale) / sizes
            model = np.stack([slope * share + beyond * (1 - share)] * 2)
            if _misfit(np.stack([above, below]), model) < _FITS:
                return StaticMap("corner", slope, scale, sizes, above, below, beyond / slope)
    return None


def _likely_scales(shape: Shape, x: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """The best scale of a shape, refined, and the best one before."""
    sizes = x[0]
    every, per_decade = (1, _PER_DECADE) if shape.has_steps else (_EVERY, _PER_DECADE // 4)
    scales = np.geomspace(sizes[0], sizes[-1], round(per_decade * np.log10(sizes[-1] / sizes[0])) + 1)
    errors = _compare(shape, scales, x[:, ::every], ratios[:, ::every], smooth=True)[1]
    i = int(np.argmin(errors))
    if errors[i] > 0.5:
        return scales[i : i + 1]
    ends = np.log(scales[[max(i - 1, 0), min(i + 1, len(scales) - 1)]])
    fine = scipy.optimize.minimize_scalar(
        lambda log: float(_compare(shape, np.exp([log]), x, ratios, smooth=True)[1][0]),
        bounds=tuple(ends),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return np.array([np.exp(fine.x), scales[i]])


def _compare(
    shape: Shape, scales: np.ndarray, x: np.ndarray, ratios: np.ndarray, smooth: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and misfit of a shape at each of several scales."""
    with np.errstate(all="ignore"):
        at = scales[:, None, None]
        shaped = at * shape.apply(x / at, np) / x
        shaped = np.where(np.isfinite(shaped), shaped, 0.0)
        both = (shaped != 0) & (ratios != 0)
        factors = np.sort(np.where(both, ratios / shaped, np.inf).reshape(len(scales), -1), axis=1)
        count = both.sum((1, 2))
        rows = np.arange(len(scales))
        last = np.maximum(count - 1, 0)
        medians = (factors[rows, last // 2] + factors[rows, last - last // 2]) / 2
        slopes = np.where(count > 0, medians, 0.0)
        return slopes, _misfit(ratios, slopes[:, None, None] * shaped, smooth)


def _misfit(ratios, found, smooth=False):
    """Relative error at most points; its mean where it is to be minimized."""
    size = np.maximum(np.maximum(np.abs(ratios), np.abs(found)), _NOTHING * np.abs(ratios).max(initial=0.0) + 1e-300)
    errors = np.abs(ratios - found) / size
    return errors.mean((-2, -1)) if smooth else np.quantile(errors, _SHARE, axis=(-2, -1))
