"""What an optimizer does to its parameters beside following gradients: decay, its kind, size and direction."""

import dataclasses
from typing import Any

import numpy as np

from optoscope._core.results import Result
from optoscope.whole._bench import Case, TorchBench, make_bench
from optoscope.whole._exponents import SHAPE

_STEPS, _SIZE = 48, 0.1
#: A share of what parameters change about updates that is explained, below which a kind of decay does not fit.
_FITS = 0.999
_NUDGE = 1e-4
#: Share of what parameters change that a decay of where they are may miss, and gradients too small to be clipped.
_REMEMBERED, _SMALL = 1e-6, 1e-3


@dataclasses.dataclass(frozen=True)
class Decay(Result):
    """How parameters are pulled, measured with parameters held in place.

    Attributes:
        kind: "none"; "decoupled" (each step takes a share of the parameter, whatever the gradients are); "coupled" (as
            if a share of the parameter were added to the gradient); "other" (the parameters are read otherwise).
        size: share of the parameter that one step takes ("decoupled", in the last step looked at), or that is added
            to the gradient ("coupled"); 0 otherwise.
        sizes: the share at each step, for "decoupled".
        follows_learning_rate: whether the share of a decoupled decay changes as the learning rate of the optimizer's
            groups does; None where that cannot be tried.
        unexplained: share of what the parameters do to updates that is not explained by `kind`.
        sentence: in words.
    """

    kind: str
    size: float
    sizes: list[float]
    follows_learning_rate: bool | None
    unexplained: float
    sentence: str


def find_decay(optimizer: Any) -> Decay:
    """Measure what an optimizer does to its parameters by itself.

    Runs are made with the same gradients at parameters x and 0, and with gradients g + nudge * x at 0. Decoupled decay
    is `dx(g, x) - dx(g, 0) = -size * x` at each step; coupled decay is `dx(g, x) = dx(g + size * x, 0)`.

    Args:
        optimizer: an optax transformation, a torch optimizer, its class or a factory, a stack, or a rule.

    Raises:
        CannotRun: if it cannot be run.
    """
    bench = make_bench(optimizer)
    rng = np.random.default_rng(21)
    x = [_SIZE * rng.standard_normal(SHAPE) for _ in range(2)]
    g = [rng.standard_normal((_STEPS, *SHAPE)) for _ in range(2)]
    nowhere = [0 * part for part in x]
    here, zero, nudged = bench.run(
        [
            Case(x, g),
            Case(nowhere, g),
            Case(nowhere, [part + _NUDGE * point for part, point in zip(g, x)]),
        ]
    )
    flat = lambda run: np.concatenate([part.reshape(_STEPS, -1) for part in run], axis=1)
    here, zero, nudged = flat(here), flat(zero), flat(nudged)
    point = np.concatenate([part.ravel() for part in x])
    pull = here - zero
    rounding = 16 * bench.rounding * max(_SIZE, np.abs(here).max())
    if np.abs(pull).max() <= rounding:
        return Decay("none", 0.0, [], None, 0.0, "no weight decay")
    sizes = -(pull @ point) / (point @ point)
    left = _left(pull, -np.outer(sizes, point))
    response = (nudged - zero) / _NUDGE
    size = float((pull * response).sum() / max((response**2).sum(), 1e-300))
    left_coupled = _left(pull, size * response) if size > 0 else np.inf
    steady = np.ptp(sizes) <= 1e-6 * np.abs(sizes).max()
    if left <= 1 - _FITS and left_coupled > 1e-6 and _is_remembered(bench, x, g, sizes, rounding, flat):
        size = _coupled_at_small_gradients(bench, x, g, flat)
        if size is not None:
            words = (
                f"coupled weight decay: {size:.3g} times the parameter is added to the gradient, behind the clipping"
            )
            return Decay("coupled", size, [], None, left, words)
    if left <= 1 - _FITS and (steady or left <= left_coupled) and left_coupled > 1e-6:
        follows = _follows(optimizer, bench, sizes, point, x, g, flat)
        return _decoupled(sizes, follows, left)
    if left_coupled <= 0.05:
        # A sign or a root bends: the nudge of the size found gives it to the last digits.
        size = _sharpened(bench, size, pull, zero, nowhere, g, x, flat)
        sentence = f"coupled weight decay: {size:.3g} times the parameter is added to the gradient"
        if left <= 1 - _FITS and steady:
            sentence += f", the same here as taking {sizes[-1]:.3g} of the parameter per step"
        return Decay("coupled", size, [], None, left_coupled, sentence)
    return Decay("other", 0.0, [], None, min(left, left_coupled), "updates depend on the parameters")


def _is_remembered(bench, x, g, sizes, rounding, flat) -> bool:
    """Whether a step takes a share of where parameters have been: one that is decoupled, of where they are."""
    runs = bench.run([Case(x, g, hold=False), Case([0 * part for part in x], g, hold=False)])
    difference = flat(runs[0]) - flat(runs[1])
    start = np.concatenate([part.ravel() for part in x])
    apart = start + np.cumsum(np.vstack([0 * start, difference[:-1]]), axis=0)
    missed = difference + sizes[:, None] * apart
    return bool(np.abs(missed).max() > max(16 * rounding, _REMEMBERED * np.abs(difference).max()))


def _coupled_at_small_gradients(bench, x, g, flat) -> float | None:
    """The size of a coupled decay where gradients and parameters are too small to be clipped; None if there is none."""
    small = lambda parts: [_SMALL * part for part in parts]
    nowhere = [0 * part for part in x]
    nudge = [part + _NUDGE * point for part, point in zip(small(g), small(x))]
    here, zero, nudged = (
        flat(run)
        for run in bench.run([Case(*pair) for pair in ((small(x), small(g)), (nowhere, small(g)), (nowhere, nudge))])
    )
    pull, response = here - zero, (nudged - zero) / _NUDGE
    size = float((pull * response).sum() / max((response**2).sum(), 1e-300))
    return size if size > 0 and _left(pull, size * response) < 1e-4 else None


def _decoupled(sizes, follows, left):
    moving = sizes[np.abs(sizes) > 1e-12 * np.abs(sizes).max()]
    size = float(sizes[-1]) if abs(sizes[-1]) > 0 else float(moving[-1])
    steady = np.ptp(moving) <= 1e-3 * np.abs(moving).max()
    words = f"decoupled weight decay: {size:.3g} of the parameter per step"
    if len(moving) < len(sizes):
        first = int(np.flatnonzero(np.abs(sizes) > 1e-12 * np.abs(sizes).max())[0])
        words += (
            f", from step {first} on" if len(moving) == len(sizes) - first else f", in {len(moving)} of {len(sizes)}"
        )
    elif not steady:
        words += f" ({sizes[0]:.3g} at the first)"
    if follows is not None:
        words += ", which follows the learning rate" if follows else ", whatever the learning rate is"
    return Decay("decoupled", size, sizes.tolist(), follows, left, words)


def _follows(optimizer, bench, sizes, point, x, g, flat):
    """Whether a doubled learning rate of the groups doubles the decay; None where there are no groups to change.

    It is doubled around each step, so that a scheduler goes on as it does.
    """
    if not isinstance(bench, TorchBench):
        return None

    def faster(params):
        made = bench.factory(params)
        inner = made if hasattr(made, "register_step_pre_hook") else made.optimizer
        if "lr" not in inner.param_groups[0]:
            raise ValueError("no learning rate in its groups")
        inner.register_step_pre_hook(lambda one, *_: _times(one, 2.0))
        inner.register_step_post_hook(lambda one, *_: _times(one, 0.5))
        return made

    try:
        runs = TorchBench(faster, bench.door).run([Case(x, g), Case([0 * part for part in x], g)])
    except Exception:
        return None
    here, zero = (flat(run) for run in runs)
    other = -((here - zero) @ point) / (point @ point)
    ratio = np.median(other[sizes != 0] / sizes[sizes != 0])
    return bool(abs(ratio - 2) < 0.02) if abs(ratio - 2) < 0.02 or abs(ratio - 1) < 0.02 else None


def _times(optimizer, factor):
    for group in optimizer.param_groups:
        group["lr"] = factor * group["lr"]


def _sharpened(bench, size, pull, zero, nowhere, g, x, flat):
    for _ in range(3):
        run = flat(bench.run([Case(nowhere, [part + size * point for part, point in zip(g, x)])])[0])
        reached = run - zero
        share = float((pull * reached).sum() / max((reached**2).sum(), 1e-300))
        size *= share
        if abs(share - 1) < 1e-6:
            break
    return size


def _left(values, fit):
    return float(((values - fit) ** 2).sum() / max((values**2).sum(), 1e-300))
