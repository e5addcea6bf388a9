"""The margin of a run in JAX."""

import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from optoscope._core.allowed import Allowed, check_setting, settings_of
from optoscope._core.types import Params
from optoscope.artifacts.as_optimizer import as_whole
from optoscope.optimizers import AbstractOptimizer, lift
from optoscope.recordings.margins import KERNEL_STEPS, Margin, edge_of, find_margin, shape_of

#: Components of each array of parameters whose response is followed.
_FOLLOWED = 16
#: A weight that depends on the signs of the other gradients by more than this share is not a component's own.
_OWN = 1e-2


def margin(
    loss: Callable[..., Any],
    params: Params,
    optimizer: Any,
    state: Any,
    *,
    batches: Sequence[Any] | None = None,
    top: Annotated[int, Allowed(1, 20)] = 1,
    layers: bool = False,
    spectrum: Annotated[int, Allowed(0, 100)] = 0,
    tolerance: Annotated[float, Allowed(1e-6, 0.2)] = 0.01,
    start: Margin | None = None,
    seed: int = 0,
) -> Margin:
    """Measure how far a run is from the edge of stability of its own optimizer.

    What the optimizer does to a small gradient is its derivative at a gradient of 0, with its present state held
    (Maheswaranathan et al., 2021, section 5), and what clipping makes of that among the present gradients.

    Args:
        loss: from parameters to a number; from parameters and a batch, if there are `batches`. Compiled once for each
            function, so pass the same one every time.
        params: the present parameters.
        optimizer: whatever `as_optimizer` takes; it must have derivatives.
        state: its present state.
        batches: pytrees, for an interval over them.
        top: how many of the largest eigenvalues.
        layers: whether to look at each array of parameters by itself, too.
        spectrum: number of random vectors for the whole spectrum; 0 for none. Each takes 24 products.
        tolerance: of the eigenvalue, relative.
        start: the margin some steps before: a warm start.
        seed: of the first direction and of random vectors.

    Returns:
        The margin.

    Raises:
        ValueError: if a number is not allowed, the optimizer has no slope (it takes signs) or no edge, or the curvature
            is not finite.

    >>> import optax
    >>> optimizer, x = optax.sgd(0.1), jnp.ones(2)
    >>> found = margin(lambda x: 5 * x[0] ** 2 + x[1] ** 2, x, optimizer, optimizer.init(x))
    >>> round(found.margin, 3), found.edges.round(2).tolist()
    (0.5, [2.0])
    """
    hints = settings_of(margin)
    for name, value in {"top": top, "spectrum": spectrum, "tolerance": tolerance}.items():
        check_setting(name, value, hints[name])
    optimizer = as_whole(optimizer)
    if isinstance(optimizer, AbstractOptimizer):
        optimizer = lift(optimizer)
    extra = () if batches is None else tuple(batches)
    cases: list[tuple[Any, ...]] = [(one,) for one in extra] or [()]
    _, unravel = ravel_pytree(params)
    gradients = jax.grad(loss)(params, *cases[0])
    gains, kernels, factor = _responses(optimizer, params, state, gradients)
    shapes = [shape_of(one) if np.abs(np.nan_to_num(one)).any() else None for one in kernels]
    if all(one is None for one in shapes):
        shape_of(np.zeros((KERNEL_STEPS, 1)))  # says why
    edges = np.array([np.nan if one is None else _edge(tuple(one.round(6).tolist())) for one in shapes])
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    other = _probe(optimizer, params, state, _signs(len(gains), seed))
    is_own = np.linalg.norm(other - gains) <= _OWN * np.linalg.norm(gains)
    factor = factor if is_own else 1.0  # among others, a component has no gain of its own
    scale = factor / np.repeat(np.nan_to_num(edges, nan=np.inf), sizes)
    weights = scale * gains
    if is_own and (weights < 0).any():
        raise ValueError("the optimizer moves some parameters up their gradients: there is no margin, it is unstable.")
    weigh = None if is_own else lambda v: scale * _linear(optimizer, params, state, unravel, v)
    ends = np.cumsum([0, *sizes]).tolist()
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree.leaves_with_path(params)]
    return find_margin(
        [lambda v, case=case: _product(loss, params, case, unravel, v) for case in cases],
        weights,
        edges=edges,
        layers={name: slice(a, b) for name, a, b in zip(names, ends[:-1], ends[1:])} if layers else {},
        clip_factor=factor,
        top=top,
        spectrum=spectrum,
        tolerance=tolerance,
        start=start,
        seed=seed,
        weigh=weigh,
    )


@functools.lru_cache(maxsize=64)
def _edge(kernel: tuple[float, ...]) -> float:
    return edge_of(np.array(kernel))


def _signs(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1.0, 1.0], size)


def _flat(tree: Any) -> np.ndarray:
    return np.asarray(ravel_pytree(tree)[0], np.float64)


@functools.partial(jax.jit, static_argnums=0)
def _hessian_product(loss, params, case, tangent):
    return jax.jvp(lambda x: jax.grad(loss)(x, *case), (params,), (tangent,))[1]


def _product(loss, params, case, unravel, v):
    return _flat(_hessian_product(loss, params, case, _as_params(params, unravel, v)))


def _as_params(params, unravel, v):
    vector = ravel_pytree(params)[0]
    return unravel(jnp.asarray(v, vector.dtype))


def _probe(optimizer, params, state, signs):
    """Minus the update for small gradients of the given signs, over them: each component's weight, if it is its own."""
    _, unravel = ravel_pytree(params)
    return signs * _linear(optimizer, params, state, unravel, signs)


def _linear(optimizer, params, state, unravel, v):
    """Minus the derivative of the update, at a gradient of 0, along a vector."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    return np.nan_to_num(-_flat(_first(optimizer.update, params, state, zeros, _as_params(params, unravel, v))))


@functools.partial(jax.jit, static_argnums=0)
def _first(update, params, state, gradients, tangents):
    return jax.jvp(lambda g: update(g, state, params)[0], (gradients,), (tangents,))[1]


def _responses(optimizer, params, state, gradients):
    """Gains of all components [component], responses of a few of each array [step, few], the factor of clipping."""
    zeros, ones = (jax.tree.map(lambda x, f=f: jnp.full_like(x, f), params) for f in (0.0, 1.0))
    rng = np.random.default_rng(0)
    places = [rng.permutation(x.size)[:_FOLLOWED] for x in jax.tree.leaves(params)]
    first, kernels = _follow(optimizer.update, params, state, zeros, ones, tuple(map(jnp.asarray, places)))
    gains = np.nan_to_num(-_flat(first))
    # The same for a few components whose own gradient is 0, among the others' present ones.
    few = [where[: max(1, x.size // 8)] for where, x in zip(places, jax.tree.leaves(params))]
    held = jax.tree.map(lambda g, where: g.ravel().at[where].set(0).reshape(g.shape), gradients, _like(gradients, few))
    among = [
        np.asarray(x).ravel()[w]
        for x, w in zip(jax.tree.leaves(_first(optimizer.update, params, state, held, ones)), few)
    ]
    alone = [np.asarray(x).ravel()[w] for x, w in zip(jax.tree.leaves(first), few)]
    with np.errstate(all="ignore"):
        ratios = np.concatenate(among) / np.concatenate(alone)
    ratios = ratios[np.isfinite(ratios)]
    factor = float(np.clip(np.median(ratios), 0, 1)) if len(ratios) else 1.0
    return gains, [-np.asarray(one, np.float64) for one in kernels], factor


def _like(tree, leaves):
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)


@functools.partial(jax.jit, static_argnums=0)
def _follow(update, params, state, zeros, ones, places):
    """Derivatives of the first update, and of this and the next ones at a few places, the state being held."""
    moving, fixed = eqx.partition(state, eqx.is_inexact_array)

    def step(g, h):
        updates, new = update(g, eqx.combine(h, fixed), params)
        return updates, eqx.filter(new, eqx.is_inexact_array)

    few = lambda tree: tuple(x.ravel()[where] for x, where in zip(jax.tree.leaves(tree), places))
    rest = jax.tree.map(jnp.zeros_like, moving)
    first, moved = jax.jvp(step, (zeros, moving), (ones, rest))[1]

    def follow(tangent, _):
        # Where a mean square is 0 its root has no slope; the rest of the state goes on.
        tangent = jax.tree.map(jnp.nan_to_num, tangent)
        found, tangent = jax.jvp(step, (zeros, moving), (zeros, tangent))[1]
        return tangent, few(found)

    _, later = jax.lax.scan(follow, moved, length=KERNEL_STEPS - 1)
    return first, tuple(jnp.concatenate([a[None], b]) for a, b in zip(few(first), later))
