"""The margin: how far a run is from the edge of stability of its own optimizer."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.statistics import bootstrap_interval
from optoscope._core.tables import Table

#: A product of the curvature with a vector, both flat.
Product = Callable[[np.ndarray], np.ndarray]
#: Steps of the response to one gradient, from which the edge is found.
KERNEL_STEPS = 64
#: Directions that Lanczos keeps at a time, and how often it starts over at most.
_KEPT, _RESTARTS = 12, 8
#: ARPACK's bound is on the residual, of which the error of an eigenvalue is about the square.
_RESIDUAL = 0.05
#: Singular values of the response below this share of the largest are rounding.
_ROUNDING = 1e-4
#: Responses of components that differ by more than this share are not of one shape.
_ONE_SHAPE = 0.02


@dataclasses.dataclass(frozen=True)
class Margin(Result):
    """Largest eigenvalue of the curvature, as the optimizer weighs it now, over the optimizer's own edge.

    `margin = lambda_max(S^1/2 H S^1/2)` with `S_i = p_i / edge`: `p_i` is how far component `i` moves at once for a
    small gradient of its own, in the optimizer's present state, and `edge` is the curvature times `p` at which an
    optimizer with this memory stops to be stable (2 for gradient descent, `2 (1 + b)` for a heavy ball of decay `b`).
    Above 1 a small displacement along that direction grows. Curvature that changes slowly is assumed, as is an
    optimizer that holds its gains; the edge is that of a small displacement, so what happens beyond it is not said.

    Attributes:
        margin: of all batches together: the mean of `batches`.
        low, high: 95% bootstrap interval of that mean over batches; NaN for fewer than three. The largest eigenvalue
            of a batch is on average above that of all data, so that few examples make it too large.
        batches: the margin of each batch.
        top: the largest eigenvalues over the edge, of the first batch.
        edges: the edge of each parameter group (torch) or array of parameters (JAX).
        layer_names: arrays of parameters that were looked at by themselves.
        layers: margin of each, the others held.
        spectrum_values, spectrum_weights: where the eigenvalues over the edge lie and which share of all directions
            lies there, estimated from random vectors; they add up to 1.
        clip_factor: what clipping makes of a small gradient among the present ones; the margin includes it.
        is_componentwise: whether the optimizer weighs each component by itself; if not, `S` is a matrix.
        num_products: products of the curvature with a vector that the largest eigenvalue took, for the first batch.
        is_converged: whether all eigenvalues were found to the tolerance.
        direction: the leading direction [component]; a warm start for the next time.
        provenance: who made it.
    """

    margin: float
    low: float
    high: float
    batches: Float[np.ndarray, " batch"]
    top: Float[np.ndarray, " mode"]
    edges: Float[np.ndarray, " group"]
    layer_names: list[str]
    layers: Float[np.ndarray, " layer"]
    spectrum_values: Float[np.ndarray, " point"]
    spectrum_weights: Float[np.ndarray, " point"]
    clip_factor: float
    is_componentwise: bool
    num_products: int
    is_converged: bool
    direction: Float[np.ndarray, " component"]
    provenance: dict[str, Any]

    @property
    def headline(self) -> str:
        """The margin, and what it says."""
        about = f", 95% {self.low:.3g} to {self.high:.3g}" if np.isfinite(self.low) else ""
        says = "beyond its optimizer's edge" if self.margin > 1 else "inside its optimizer's edge"
        return f"margin {self.margin:.3g}{about}: {says} ({self.num_products} products)"

    def tables(self) -> list[Table]:
        """The largest eigenvalues, and the margin of each array."""
        rows = [[f"direction {i + 1}", float(value)] for i, value in enumerate(self.top)]
        rows += [[name, float(value)] for name, value in zip(self.layer_names, self.layers)]
        return [Table("margins", ["of", "margin"], rows)]


def find_margin(
    products: Sequence[Product],
    weights: Float[np.ndarray, " component"],
    *,
    edges: Float[np.ndarray, " group"],
    layers: dict[str, slice],
    clip_factor: float,
    top: int,
    spectrum: int,
    tolerance: float,
    start: Margin | None,
    seed: int,
    weigh: Product | None = None,
) -> Margin:
    """Return the margin of curvatures that are given by their products with vectors.

    Args:
        products: one for each batch.
        weights: `p_i / edge`, clipping included.
        edges: as in `Margin`.
        layers: arrays of parameters to look at by themselves, as slices of the components.
        clip_factor: as in `Margin`.
        top: how many eigenvalues.
        spectrum: how many random vectors for the spectrum; 0 for none.
        tolerance: of the eigenvalues, relative.
        start: an earlier margin, to start from.
        seed: of random vectors.
        weigh: `S` times a vector, for an optimizer that does not weigh each component by itself.
    """
    rng = np.random.default_rng(seed)
    first = rng.standard_normal(len(weights))
    is_warm = start is not None and start.direction.shape == first.shape
    if start is not None and is_warm:
        first = start.direction + 0.01 * np.linalg.norm(start.direction) / np.linalg.norm(first) * first
    roots = np.sqrt(np.maximum(weights, 0))
    whole = _weighed(products[0], roots, weigh)
    found = [
        _leading(_weighed(one, roots, weigh), first, top if i == 0 else 1, tolerance, weigh is None, is_warm)
        for i, one in enumerate(products)
    ]
    values, vector, num_products, converged = found[0]
    margins = np.array([one[0][0] for one in found])
    inside = []
    for where in layers.values():
        mask = np.zeros(len(weights))
        mask[where] = 1
        masked = lambda v, mask=mask: mask * whole(mask * v)
        inside.append(_leading(masked, first * mask, 1, tolerance, weigh is None, is_warm)[0][0])
    nodes, shares = _spectrum(whole, len(weights), spectrum, rng)
    low, high = (
        bootstrap_interval(lambda rows: margins[rows].mean(1), len(margins), num_resamples=2000)
        if len(margins) > 2
        else (np.nan, np.nan)
    )
    return Margin(
        margin=float(margins.mean()),
        low=low,
        high=high,
        batches=margins,
        top=values,
        edges=edges,
        layer_names=list(layers),
        layers=np.array(inside, np.float64),
        spectrum_values=nodes,
        spectrum_weights=shares,
        clip_factor=clip_factor,
        is_componentwise=weigh is None,
        num_products=num_products,
        is_converged=all(one[3] for one in found) and converged,
        direction=vector,
        provenance=provenance(tolerance=tolerance, top=top, spectrum=spectrum, seed=seed),
    )


def edge_of(kernel: Float[np.ndarray, " step"]) -> float:
    """Return the edge of an optimizer by its response to one gradient, for an immediate response of 1.

    The response is written as a linear system (Ho and Kalman, 1966), whose edge `stability_map` finds.

    Args:
        kernel: minus the updates that follow one small gradient, over the first of them.

    Returns:
        The largest curvature up to which small displacements die out.

    Raises:
        ValueError: if there is none: nothing small dies out, or everything does.

    >>> round(edge_of(0.9 ** np.arange(64)), 4)
    3.8
    """
    from optoscope.dynamics import Linearization, stability_map
    from optoscope.optimizers import GradientDescent

    half = (len(kernel) - 1) // 2
    hankel = kernel[1:][np.add.outer(np.arange(half), np.arange(half))]
    left, sizes, right = np.linalg.svd(hankel)
    rank = int(np.sum(sizes > _ROUNDING * max(sizes[0], abs(kernel[0]))))
    observe = left[:, :rank] * np.sqrt(sizes[:rank])
    reach = np.sqrt(sizes[:rank])[:, None] * right[:rank]
    at = Linearization(
        A=np.linalg.lstsq(observe[:-1], observe[1:], rcond=None)[0],
        B=reach[:, 0],
        C=-observe[0],
        D=-float(kernel[0]),
        state=np.zeros(rank),
        gradient=0.0,
        next_state=np.zeros(rank),
        update=0.0,
        residual=0.0,
        provenance=provenance(),
    )
    found = stability_map(GradientDescent(1.0), [1e-4, 1e-3, 1e-2], point=at)
    if not found.stable_at_zero or not len(found.edges):
        raise ValueError(
            "this optimizer has no edge of stability in its present state: along a small curvature, a small "
            f"displacement {'dies out at any curvature' if found.stable_at_zero else 'does not die out'}."
        )
    return float(found.edges[0])


def shape_of(responses: Float[np.ndarray, "step component"]) -> Float[np.ndarray, " step"]:
    """Return the one shape of the responses of some components, 1 at first.

    Raises:
        ValueError: if none of them moves at once, or their shapes differ.
    """
    with np.errstate(all="ignore"):
        there = np.isfinite(responses).all(0) & (np.abs(responses[0]) > 0)
        if not there.any():
            raise ValueError(
                "no component moves at once for a small gradient of its own, so there is no margin: the optimizer "
                "takes a sign, its learning rate is 0, or no gradient has come yet."
            )
        shapes = responses[:, there] / responses[0, there]
    shape = np.median(shapes, axis=1)
    if np.median(np.linalg.norm(shapes - shape[:, None], axis=0)) > _ONE_SHAPE * np.linalg.norm(shape):
        raise ValueError("the components of one group remember gradients differently, so they have no common edge.")
    return shape


def _weighed(product: Product, roots: np.ndarray, weigh: Product | None) -> Product:
    """The preconditioned curvature: symmetric where the optimizer weighs each component by itself."""
    if weigh is None:
        return lambda v: roots * product(roots * v)
    return lambda v: weigh(product(v))


def _leading(
    product: Product, start: np.ndarray, top: int, tolerance: float, is_symmetric: bool, is_warm: bool
) -> tuple[np.ndarray, np.ndarray, int, bool]:
    """The largest eigenvalues, the vector of the first, how many products they took, and whether they converged."""

    import scipy.sparse.linalg

    linalg: Any = scipy.sparse.linalg
    values: Any
    vectors: Any
    size, count = len(start), 0

    def counted(v):
        nonlocal count
        count += 1
        found = product(np.ravel(v))
        if not np.isfinite(found).all():
            raise ValueError(
                "the curvature is not finite here; the run has diverged, or the loss has no second derivative."
            )
        return found

    if size <= 2 * _KEPT:
        matrix = np.stack([counted(row) for row in np.eye(size)], 1)
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2) if is_symmetric else np.linalg.eig(matrix)
        order = np.argsort(-values.real)[:top]
        return values.real[order], vectors[:, order[0]].real.copy(), count, True
    operator = linalg.LinearOperator((size, size), matvec=counted, dtype=np.float64)
    solve, which = (linalg.eigsh, "LA") if is_symmetric else (linalg.eigs, "LR")
    kept = min(size - 1, max(_KEPT, 2 * top + 3))
    # An eigenvalue is off by the residual at most, and by its square where the next one is far. Only near the direction
    # of an earlier margin is that known to be so.
    bound = max(tolerance, np.sqrt(tolerance) * _RESIDUAL / 0.1) if is_warm and is_symmetric else tolerance
    try:
        values, vectors = solve(operator, k=top, which=which, v0=start, ncv=kept, tol=bound, maxiter=_RESTARTS)
        converged = True
    except linalg.ArpackNoConvergence as error:
        values, vectors, converged = error.eigenvalues, error.eigenvectors, False
        if not len(values):
            values, vectors = np.array([np.nan]), start[:, None]
    except linalg.ArpackError:  # a start on which the curvature is 0: it has none
        values, vectors, converged = np.zeros(top), np.repeat(start[:, None], top, 1), True
    order = np.argsort(-values.real)
    return values.real[order], np.ascontiguousarray(vectors[:, order[0]].real), count, converged


def _spectrum(product: Product, size: int, vectors: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the distribution of eigenvalues, by stochastic Lanczos quadrature (Ubaru et al., 2017).

    scipy keeps the tridiagonal matrix of its Lanczos to itself, so these few lines make one.
    """
    from scipy.linalg import eigh_tridiagonal

    nodes, weights = [], []
    for _ in range(vectors):
        v = rng.choice([-1.0, 1.0], size)
        basis, diagonal, off = [v / np.linalg.norm(v)], [], []
        for _ in range(min(size, 2 * _KEPT)):
            w = product(basis[-1])
            diagonal.append(float(basis[-1] @ w))
            for _ in range(2):  # twice is enough
                w = w - sum((one @ w) * one for one in basis)
            off.append(float(np.linalg.norm(w)))
            if off[-1] < 1e-10 * max(map(abs, diagonal)):
                break
            basis.append(w / off[-1])
        values, ritz = eigh_tridiagonal(np.array(diagonal), np.array(off[: len(diagonal) - 1]))
        nodes.append(values)
        weights.append(ritz[0] ** 2 / vectors)
    if not nodes:
        return np.zeros(0), np.zeros(0)
    order = np.argsort(np.concatenate(nodes))
    return np.concatenate(nodes)[order], np.concatenate(weights)[order]
