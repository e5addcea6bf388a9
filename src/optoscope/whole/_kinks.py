"""Where an optimizer's behavior breaks as its gradients grow, and in which norm."""

import dataclasses
from typing import Any

import numpy as np

from optoscope.whole._bench import AbstractBench, Arrays, Case
from optoscope.whole._exponents import PARAMETER_SIZE, SHAPE, Setting, make_case

#: The scales that are swept: 12 decades, each after a few gradients of its own size, so that a gain that follows the
#: gradients does not hide what comes before it.
CALM = 10.0 ** np.arange(-6, 6, 0.5)
#: Scales that are tried at once, relative to the gradients before, and their number: there the response has a slope.
_SPAN, _TRIED = (1.8, 11.0), 10
_CALM_STEPS = 6
#: The entry whose response is looked at.
_ENTRY = (2, 3)
#: Slopes that differ by less do not break; a break is sharp if so large a share of it remains at the finest zoom.
_SMALLEST_CHANGE, _SHARP_SHARE = 0.1, 0.5
_ZOOMS, _POINTS = 4, 16
#: A norm explains a break if in another pattern it is met within this share of where it is expected.
_AGREE = 0.02


@dataclasses.dataclass(frozen=True)
class Break:
    """A scale at which the slope of the response changes at once.

    Attributes:
        scale: of the gradients.
        before, after: slopes of log response against log scale on both sides.
    """

    scale: float
    before: float
    after: float


def respond(bench: AbstractBench, pattern: Arrays, calm: float, scales: np.ndarray) -> np.ndarray:
    """The size of the update of one entry after one gradient of each scale, after a few of scale `calm`."""
    shapes = tuple(part.shape for part in pattern)
    case = make_case(Setting("constant", PARAMETER_SIZE), _CALM_STEPS, shapes=shapes, seed=4)
    case = Case(case.params, [np.repeat(calm * part[None], _CALM_STEPS, 0) for part in pattern])
    updates = bench.after(case, [[s * part for part in pattern] for s in scales])
    return np.abs([u[0][_ENTRY] for u in updates])


def find_breaks(bench: AbstractBench, pattern: Arrays) -> list[Break]:
    """Find the sharp breaks of the response to one gradient, over 12 decades of its scale."""
    breaks: list[Break] = []
    for calm in CALM:
        scales = calm * np.geomspace(*_SPAN, _TRIED)
        changes = np.abs(np.diff(_slopes(scales, respond(bench, pattern, calm, scales))))
        for k in np.flatnonzero(changes > _SMALLEST_CHANGE):
            if changes[k] < changes[max(k - 1, 0) : k + 2].max():
                continue
            found = _zoomed(bench, pattern, calm, scales[max(k - 1, 0)], scales[min(k + 3, len(scales) - 1)])
            if found is None or not _stays(bench, pattern, found):
                continue
            if not any(abs(np.log(found.scale / b.scale)) < 0.05 for b in breaks):
                breaks.append(found)
    return breaks


def _zoomed(bench, pattern, calm, low, high):
    """The break between two scales, if the change of slope does not spread when looked at more closely."""
    total = before = after = None
    for _ in range(_ZOOMS):
        scales = np.geomspace(low, high, _POINTS)
        slopes = _slopes(scales, respond(bench, pattern, calm, scales))
        changes = np.abs(np.diff(slopes))
        k = int(changes.argmax())
        left, right = max(k - 1, 0), min(k + 2, len(slopes) - 1)
        before, after = float(slopes[left]), float(slopes[right])
        total = abs(slopes[-1] - slopes[0]) if total is None else total
        low, high = scales[left], scales[right + 1]
    if total is None or before is None or after is None or not np.isfinite([before, after]).all():
        return None
    if abs(after - before) < max(_SMALLEST_CHANGE, _SHARP_SHARE * min(total, 1.0)) or max(abs(before), abs(after)) > 20:
        return None
    return Break(float(np.sqrt(low * high)), before, after)


def _stays(bench, pattern, one: Break) -> bool:
    """Whether a break stands where it is after gradients of other sizes: else it is relative to them."""
    return all(_breaks_at(bench, pattern, one.scale, one, one.scale / ratio) for ratio in (3.0, 6.5))


def _slopes(scales, sizes):
    with np.errstate(all="ignore"):
        slopes = np.diff(np.log(sizes)) / np.diff(np.log(scales))
    return np.where(np.isfinite(slopes), slopes, 0.0)


def _patterns() -> dict[str, Arrays]:
    rng = np.random.default_rng(6)
    dense = [rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)]
    row, column, entry = np.zeros(SHAPE), np.zeros(SHAPE), np.zeros(SHAPE)
    row[_ENTRY[0]], column[:, _ENTRY[1]] = dense[0][_ENTRY[0]], dense[0][:, _ENTRY[1]]
    entry[_ENTRY] = 1.0
    nothing = 0 * dense[1]
    return {
        "entry": [entry, nothing],
        "row": [row, nothing],
        "column": [column, nothing],
        "matrix": [dense[0], nothing],
        "all": dense,
    }


#: For each scope the number that a threshold is compared with.
NORMS: dict[str, Any] = {
    "norm of all gradients": lambda parts: np.sqrt(sum((part**2).sum() for part in parts)),
    "norm of a matrix's gradients": lambda parts: np.sqrt((parts[0] ** 2).sum()),
    "norm of a row's gradients": lambda parts: np.sqrt((parts[0][_ENTRY[0]] ** 2).sum()),
    "norm of a column's gradients": lambda parts: np.sqrt((parts[0][:, _ENTRY[1]] ** 2).sum()),
    "size of a component's gradient": lambda parts: np.abs(parts[0][_ENTRY]),
}

#: The means that some of them are, and of how many numbers.
_MEANS = {
    "root mean square of all gradients": 2 * SHAPE[0] * SHAPE[1],
    "root mean square of a matrix's gradients": SHAPE[0] * SHAPE[1],
}


def find_thresholds(bench: AbstractBench) -> list[dict[str, Any]]:
    """Find the thresholds and the norms that they are compared with.

    Returns:
        For each the `norm` (None if no norm explains it), its `value`, the `scale` of normal gradients at which it was
        met, and the slopes of the response on both sides.
    """
    patterns = _patterns()
    return [_explained(bench, patterns, one) for one in find_breaks(bench, patterns["entry"])]


def _explained(bench, patterns, one: Break) -> dict[str, Any]:
    found = {"norm": None, "value": one.scale, "scale": one.scale, "slope_below": one.before, "slope_above": one.after}
    for name, norm in NORMS.items():
        value = one.scale * norm(patterns["entry"])
        others = ("row", "column", "matrix", "all")
        if all(_breaks_at(bench, patterns[other], value / norm(patterns[other]), one) for other in others):
            mean = "root mean square" + name.removeprefix("norm")
            if mean in _MEANS and _is_a_mean(bench, one):
                return {**found, "norm": mean, "value": float(value / np.sqrt(_MEANS[mean]))}
            return {**found, "norm": name, "value": float(value)}
    return found


def _is_a_mean(bench, one: Break) -> bool:
    """Whether a break is met earlier in tensors of a quarter of the size: a mean is taken there over fewer."""
    entry = np.zeros((SHAPE[0] // 2, SHAPE[1] // 2))
    entry[_ENTRY] = 1.0
    try:
        return _breaks_at(bench, [entry, 0 * entry], one.scale / 2, one)
    except Exception:
        return False  # it does not take other shapes


def _breaks_at(bench, pattern, scale, one, calm=None):
    """Whether the response to a pattern breaks within two percent of a scale."""
    calm = scale / 4 if calm is None else calm
    scales = scale * np.exp([-2 * _AGREE, -_AGREE, _AGREE, 2 * _AGREE])
    slopes = _slopes(scales, respond(bench, pattern, calm, scales))
    return bool(abs(slopes[2] - slopes[0]) > 0.4 * abs(one.after - one.before))


__all__ = ["NORMS", "Break", "find_breaks", "find_thresholds", "respond"]
