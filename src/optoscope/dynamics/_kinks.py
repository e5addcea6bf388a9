"""Where an update bends or jumps: there, automatic derivatives silently take one side's, or half of each."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from optoscope._core.chunks import RUNS, in_chunks
from optoscope._core.compiled import compiled
from optoscope.optimizers import AbstractOptimizer

#: Impulses by which both sides are tried: a bend is one at every size, a curvature only at the large ones.
_SIZES = (1e-6, 1e-9, 1e-12)
#: Updates that are compared: a kink of the state shows in the updates that follow.
_NUM_STEPS = 4
#: Difference of the two sides' slopes, relative to them, that makes a kink, and how many roundings count as one.
_BEND, _ROUNDINGS = 1e-3, 64
#: Growth of a slope from one size to the next, a thousandth of it, that makes a jump: a root's grows by 32.
_JUMP = 300


def has_kink(
    optimizer: AbstractOptimizer,
    states: Float[np.ndarray, "point state"],
    gradients: Float[np.ndarray, " point"],
) -> Bool[np.ndarray, " point"]:
    """Tell where a gradient a little above and one a little below have different slopes, inside `in_float64`.

    The updates that follow a small impulse of the gradient are compared with those that follow its opposite, for
    impulses of three sizes: at a kink their slopes differ at all of them, at a jump they grow without end. What
    rounding hides is neither.
    """
    sizes = np.array(_SIZES) * np.maximum(1.0, np.abs(gradients))[:, None]
    base, ahead, behind = in_chunks(lambda *rows: _responses(optimizer, *rows), RUNS, states, gradients, sizes)
    with np.errstate(all="ignore"):
        slopes = (ahead - base[:, None]) / sizes[..., None], (base[:, None] - behind) / sizes[..., None]
        differences = np.abs(slopes[0] - slopes[1]).max(-1)
        largest = (np.abs(slopes[0]) + np.abs(slopes[1])).max(-1)
        rounding = _ROUNDINGS * np.finfo(float).eps * np.abs(base).max(-1)[:, None] / sizes
        bends = (differences > _BEND * largest + rounding).all(1)
        jumps = (largest[:, 1:] > _JUMP * largest[:, :-1]).all(1) & (largest > rounding).all(1)
        return bends | jumps


@compiled()
def _responses(optimizer, states, gradients, sizes):
    """Updates [point, step] without an impulse, and [point, size, step] after one and after its opposite."""

    def run(h, g, impulse):
        sequence = g + impulse * (jnp.arange(_NUM_STEPS) == 0)
        return jax.lax.scan(lambda h, g: optimizer.step(h, g), h, sequence)[1]

    def around(h, g, size):
        impulses = jnp.concatenate([jnp.zeros(1), size, -size])
        found = jax.vmap(lambda impulse: run(h, g, impulse))(impulses)
        return found[0], found[1 : 1 + len(_SIZES)], found[1 + len(_SIZES) :]

    return jax.vmap(around)(states, gradients, sizes)
