"""At which curvature one component of a whole optimizer becomes unstable, at gradients of a stated size."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from optoscope._core.checks import check_number
from optoscope._core.provenance import provenance
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope._core.types import Float
from optoscope.artifacts.as_optimizer import as_whole
from optoscope.dynamics import Linearization, Probe, linearize
from optoscope.dynamics.stability import joint_matrices
from optoscope.optimizers import AbstractOptimizer, from_optax
from optoscope.optimizers.context import Context
from optoscope.whole._bench import make_functions
from optoscope.whole.component import find_component
from optoscope.whole.decay import find_decay

#: Curvatures are looked at so many decades around the inverse of the learning rate, at first at so many of each.
_DECADES, _PER_DECADE = 4.0, 24
#: Size of a perturbation beside the component's own gradients, and the curvatures that are simulated at once.
_PERTURBATION, _TOGETHER = 1e-7, 24
#: Simulation looks at curvatures this far on both sides of a predicted edge, and once more around what it found.
_AROUND = 1.5
#: Steps under the stimulus before the component is displaced, and again afterwards; a component in context knows 512.
_NUM_STEPS = 256
#: A displacement that has grown by this factor (a logarithm) is on its way to where nothing is linear.
_AWAY = 8.0


@dataclasses.dataclass(frozen=True)
class WholeEdges(Result):
    """Edges of stability of one component of a whole optimizer, predicted and measured.

    The others get gradients of constant size and stay where they are, as `Context` has it; the component's own gradient
    is `stimulus + c (x - x0)`: what drives it, and what a loss of curvature `c` adds when it is displaced from the run
    `x0` without one. Predicted is the curvature at which the product of the matrices
    `[[A, (c + l) B], [C, 1 + (c + l) D - k]]` along the stimulus has the spectral radius 1, with the component's
    linearization, a decoupled decay `k` and a coupled one `l`. Measured is the curvature at which the difference of
    two runs of the whole optimizer neither grows nor dies out.

    Attributes:
        view: how the component was taken: "own", "context" or "spectral".
        scale: root mean square of the others' gradients, and the size of the component's own.
        stimulus: of the component: "alternating gradients", or "a singular value at 0".
        decay: `k`; coupled: `l`.
        predicted, measured: every edge; the measured one is NaN where none was met nearby.
        learning_rate: mean of `-(D + C (1 - A)^-1 B)` along the stimulus.
        kink: whether the stimulus meets a kink, where the derivative is the one at the stimulus itself.
        sentence: in words.
        provenance: who made it.
    """

    view: str
    scale: float
    stimulus: str
    decay: float
    coupled: float
    predicted: Float[np.ndarray, " edge"]
    measured: Float[np.ndarray, " edge"]
    learning_rate: float
    kink: bool
    sentence: str
    provenance: dict[str, Any]

    @property
    def headline(self) -> str:
        """What was found."""
        return f"{self.sentence}."

    def tables(self) -> list[Table]:
        """Return each edge, predicted and measured."""
        rows = [
            [float(edge), float(found), float(found / edge - 1)] for edge, found in zip(self.predicted, self.measured)
        ]
        return [Table("edges", ["predicted", "measured", "error"], rows, title="Edges of stability")]


def find_edges(optimizer: Any, *, scale: float = 1.0) -> WholeEdges:
    """Predict and measure at which curvatures one component of a whole optimizer is stable.

    Args:
        optimizer: whatever `find_component` takes.
        scale: of the gradients: adaptive optimizers have the edge that belongs to what they have seen.

    Raises:
        TypeError: if it is no optimizer.
        ValueError: if no component can be taken out, or it has no derivative at these gradients.

    >>> import optax
    >>> found = find_edges(optax.sgd(0.1, momentum=0.9, nesterov=False))
    >>> round(float(found.predicted[0]), 6), bool(abs(found.measured[0] / 38 - 1) < 0.01)
    (38.0, True)
    """
    check_number("scale", scale, low=0, open_low=True, hint="1 gives all gradients of order 1")
    component = find_component(optimizer)
    decay = find_decay(optimizer)
    context = (component.context or Context())._replace(gradients=scale)
    rule = component.optimizer
    if component.context is not None and scale != component.context.gradients:
        rule = from_optax(as_whole(optimizer), context=context)
    # A singular value is displaced from 0: larger ones that are normalized hardly change with their gradient.
    own = 0 * np.arange(_NUM_STEPS) if component.view == "spectral" else scale * (-1.0) ** np.arange(_NUM_STEPS)
    shares = {kind: decay.size if decay.kind == kind else 0.0 for kind in ("decoupled", "coupled")}
    points, kink = _along(rule, own)
    rate = float(np.mean([_lasting(at) for at in points]))
    radius = lambda c: _radius(points, c, shares)
    predicted = _crossings(radius, abs(float(np.mean([at.D for at in points]))) or abs(rate))
    measured = np.array([_measured(optimizer, context, own, edge) for edge in predicted])
    words = "a singular value at 0" if component.view == "spectral" else "alternating gradients"
    return WholeEdges(
        view=component.view,
        scale=float(scale),
        stimulus=words,
        decay=shares["decoupled"],
        coupled=shares["coupled"],
        predicted=predicted,
        measured=measured,
        learning_rate=rate,
        kink=kink,
        sentence=_sentence(predicted, measured, scale, words),
        provenance=provenance(num_steps=_NUM_STEPS, scale=scale),
    )


def _along(rule: AbstractOptimizer, own: np.ndarray) -> tuple[list[Linearization], bool]:
    """The linearizations in the middle of where a displacement is followed, and whether they meet a kink."""
    states = Probe(rule).drive(np.tile(own, 2)[None])[0][0]
    at = [13 * len(own) // 8 // 2 * 2 + k for k in range(2)]
    try:
        return [linearize(rule, states[k], float(own[k % len(own)])) for k in at], False
    except ValueError as error:
        if "kink" not in str(error):
            raise
    # A little to the side, where the gradients of a run lie that is displaced by a little.
    return [linearize(rule, states[k], float(own[k % len(own)]) * (1 + 1e-4)) for k in at], True


def _lasting(at: Linearization) -> float:
    try:
        return float(-at.D - at.C @ np.linalg.solve(np.eye(len(at.B)) - at.A, at.B))
    except np.linalg.LinAlgError:
        return -float(at.D)


def _radius(points: list[Linearization], curvature: float, decays: dict[str, float]) -> float:
    """Spectral radius per step of state and displacement, once through the phases of the stimulus."""
    whole = np.eye(len(points[0].B) + 1)
    for at in points:
        step = joint_matrices(at, np.array([curvature + decays["coupled"]]))[0]
        step[-1, -1] -= decays["decoupled"]
        whole = step @ whole
    met = np.arange(len(whole)) == len(whole) - 1  # what a displacement changes: a counter it does not
    while (more := (np.abs(whole[:, met]) > 0).any(1) & ~met).any():
        met |= more
    whole = whole[np.ix_(met, met)]
    return float(np.abs(np.linalg.eigvals(whole)).max() ** (1 / len(points)))


def _crossings(radius: Any, rate: float) -> np.ndarray:
    """Every curvature at which the radius passes 1 on the way up or down."""
    if not np.isfinite(rate) or rate == 0:
        return np.zeros(0)
    grid = np.geomspace(10**-_DECADES, 10**_DECADES, round(2 * _DECADES * _PER_DECADE)) / rate
    excess = np.array([radius(c) - 1 for c in grid])
    excess[np.abs(excess) < 1e-9] = 0.0  # a counter, or an average that nothing changes, has the eigenvalue 1
    clear = np.flatnonzero(excess)
    found = [
        scipy.optimize.brentq(lambda log: radius(np.exp(log)) - 1, np.log(grid[i]), np.log(grid[j]))
        for i, j in itertools.pairwise(clear)
        if excess[i] * excess[j] < 0
    ]
    return np.exp(np.array(found, float))


def _measured(optimizer, context, own, edge) -> float:
    """The curvature near a predicted one at which the difference of two runs neither grows nor dies out."""
    around = _AROUND
    for _ in range(2):
        curvatures = edge * np.geomspace(1 / around, around, _TOGETHER)
        growth = _growth(optimizer, context, own, curvatures)
        changes = np.flatnonzero(np.sign(growth[1:]) != np.sign(growth[:-1]))
        if not len(changes):
            return float("nan")
        k = changes[np.abs(np.log(curvatures[changes] / edge)).argmin()]
        low, high = growth[k], growth[k + 1]
        share = low / (low - high) if np.isfinite([low, high]).all() else 0.5
        edge = float(curvatures[k] * (curvatures[k + 1] / curvatures[k]) ** share)
        around = around ** (2 / _TOGETHER)
    return edge


def _growth(optimizer, context, own, curvatures) -> np.ndarray:
    """Growth per step of the displacement of one component of the whole optimizer, for each curvature."""
    init, update = make_functions(optimizer)
    with jax.enable_x64(True):
        start = [jnp.asarray(part) for part in context.start()]
        fixed = [jnp.asarray(part) for part in context.gradient(0)]
        size = jnp.asarray(_PERTURBATION * context.gradients)

        def step(carry, inputs):
            t, g, curvature, shift = inputs
            x, state = carry
            flip = jnp.where((context.pattern == "alternating") & (t % 2 == 1), -1.0, 1.0)
            gradients = [flip * part for part in fixed]
            gradients[0] = gradients[0].at[0, 0].set(g + curvature * shift)
            params = [start[0].at[0, 0].set(x), *start[1:]]
            updates, state = update(gradients, state, params)
            return (x + updates[0][0, 0], state)

        def run(curvature):
            def both(carry, inputs):
                t, g = inputs
                one, other = carry
                shift = other[0] - one[0]
                one, other = step(one, (t, g, 0.0, 0.0)), step(other, (t, g, curvature, shift))
                return (one, other), other[0] - one[0]

            steps, gradients = jnp.arange(_NUM_STEPS), jnp.asarray(own)
            alone = lambda carry, inputs: (step(carry, (*inputs, 0.0, 0.0)), None)
            settled = jax.lax.scan(alone, (jnp.zeros(()), init(start)), (steps, gradients))[0]
            displaced = (settled[0] + size / curvature, settled[1])
            return jax.lax.scan(both, (settled, displaced), (_NUM_STEPS + steps, gradients))[1]

        found = np.abs(np.asarray(jax.jit(jax.vmap(run))(jnp.asarray(curvatures))))
    with np.errstate(all="ignore"):
        logs = np.log(found)
        width = _NUM_STEPS // 8  # the largest of a window follows the envelope of an oscillation
        early, late = logs[:, 2 * width : 4 * width].max(1), logs[:, -2 * width :].max(1)
        away = ~(logs.max(1) < logs[:, 0] + _AWAY)
        return np.where(away, np.inf, np.where(np.isfinite(late), (late - early) / (4 * width), -np.inf))


def _sentence(predicted, measured, scale, words) -> str:
    if not len(predicted):
        return f"no edge of stability was found for {words} beside others of size {scale:g}"
    told = [f"{edge:.4g} (measured {found:.4g})" for edge, found in zip(predicted, measured)]
    return f"for {words} beside others of size {scale:g} the edge of stability is at a curvature of {', '.join(told)}"
