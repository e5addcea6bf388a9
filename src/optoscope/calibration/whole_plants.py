"""Whole optimizers whose truth is known: norms at every scope, factored gains, spectral maps, decay, noise, rhythm."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

#: Thresholds, decays and noise that are planted; what is smaller is not promised to be seen.
_THRESHOLDS = (0.3, 1.0, 5.0)


class WholePlant(NamedTuple):
    """A whole optimizer, and what is true of it.

    Attributes:
        name: what it is.
        make: returns it.
        unit: what is treated as one, as `Structure.unit` has it.
        threshold: the norm and the value at which it clips; None if it does not.
        decay: kind and size, as `Structure.decay` has them.
        noise: whether it draws random numbers.
        rhythm: the gradients that make a step, and what is made of them.
        spectral: whether it commutes with rotations of rows and columns.
    """

    name: str
    make: Callable[[], optax.GradientTransformation]
    unit: str
    threshold: tuple[str, float] | None = None
    decay: tuple[str, float] = ("none", 0.0)
    noise: bool = False
    rhythm: tuple[int, str | None] = (1, None)
    spectral: bool = False


def whole_plants() -> list[WholePlant]:
    """Return all of them; those of even and of odd place are two halves alike."""
    return [*_clipped(), *_normalized(), *_of_matrices(), *_decaying(), *_noisy(), *_accumulating(), *_plain()]


def _stateless(function: Callable[[Any], Any]) -> optax.GradientTransformation:
    return optax.stateless(lambda updates, params: jax.tree.map(function, updates))


def _norm(axes: tuple[int, ...] | None, mean: bool = False) -> Callable[[Any], Any]:
    reduce = jnp.mean if mean else jnp.sum
    return lambda g: jnp.sqrt(reduce(g**2, axis=axes, keepdims=axes is not None))


def _clip_at(norm: Callable[[Any], Any], value: float) -> optax.GradientTransformation:
    """Gradients scaled down to a norm where they are beyond it."""
    return _stateless(lambda g: g * jnp.minimum(1.0, value / jnp.maximum(norm(g), 1e-30)))


#: Scopes of norms: how it is planted, the unit that it makes, and what it is called.
_SCOPES: dict[str, tuple[Callable[[float], optax.GradientTransformation], str, str]] = {
    "all": (optax.clip_by_global_norm, "network", "norm of all gradients"),
    "a matrix": (lambda v: _clip_at(_norm(None), v), "layer", "norm of a matrix's gradients"),
    "a matrix's mean": (optax.clip_by_block_rms, "layer", "root mean square of a matrix's gradients"),
    "a row": (lambda v: _clip_at(_norm((-1,)), v), "row and column", "norm of a row's gradients"),
    "a column": (lambda v: _clip_at(_norm((-2,)), v), "row and column", "norm of a column's gradients"),
    "a component": (optax.clip, "component", "size of a component's gradient"),
}


def _clipped() -> list[WholePlant]:
    found = []
    for scope, (clip, unit, norm) in _SCOPES.items():
        for value, then in zip(_THRESHOLDS, (optax.sgd(0.1), optax.sgd(0.02, momentum=0.9), optax.sgd(1e-3))):
            make = lambda clip=clip, value=value, then=then: optax.chain(clip(value), then)
            found.append(WholePlant(f"clipping of {scope} at {value:g}", make, unit, (norm, value)))
    for value in _THRESHOLDS:  # in disguise: behind it the gradients' size is divided out
        make = lambda value=value: optax.chain(optax.clip_by_global_norm(value), optax.adam(1e-3))
        found.append(WholePlant(f"Adam behind a norm of {value:g}", make, "network", ("norm of all gradients", value)))
    return found


def _normalized() -> list[WholePlant]:
    divide = lambda norm: _stateless(lambda g: g / (norm(g) + 1e-30))
    return [
        WholePlant("all normalized", lambda: optax.chain(optax.contrib.normalize(), optax.sgd(0.1)), "network"),
        WholePlant("matrices normalized", lambda: optax.chain(divide(_norm(None)), optax.sgd(0.1)), "layer"),
        WholePlant("rows normalized", lambda: optax.chain(divide(_norm((-1,))), optax.sgd(0.1)), "row and column"),
        WholePlant("columns normalized", lambda: optax.chain(divide(_norm((-2,))), optax.sgd(0.1)), "row and column"),
        WholePlant("NovoGrad", lambda: optax.novograd(1e-3), "layer"),
        WholePlant(
            "momentum of normalized matrices",
            lambda: optax.chain(divide(_norm(None, mean=True)), optax.sgd(0.1, momentum=0.9)),
            "layer",
        ),
    ]


def _of_matrices() -> list[WholePlant]:
    def polar(g):
        left, _, right = jnp.linalg.svd(g, full_matrices=False)
        return left @ right

    def squared(g):  # g (g' g), a rotation-equivariant map
        return g @ (g.T @ g) / 400.0

    factored = lambda rate: optax.chain(
        optax.scale_by_factored_rms(min_dim_size_to_factor=1), optax.scale_by_learning_rate(rate)
    )
    centered = lambda g: g - g.mean(-1, keepdims=True)
    return [
        WholePlant("Muon", lambda: optax.contrib.muon(0.02), "matrix", spectral=True),
        WholePlant("polar factors", lambda: optax.chain(_stateless(polar), optax.sgd(0.1)), "matrix", spectral=True),
        WholePlant(
            "polar factors of momentum",
            lambda: optax.chain(optax.trace(0.9), _stateless(polar), optax.scale(-0.1)),
            "matrix",
            spectral=True,
        ),
        WholePlant(
            "cubes of matrices", lambda: optax.chain(_stateless(squared), optax.sgd(0.1)), "matrix", spectral=True
        ),
        WholePlant("factored squares", lambda: factored(1e-2), "row and column"),
        WholePlant("factored squares, larger", lambda: factored(0.3), "row and column"),
        WholePlant("centered rows", lambda: optax.chain(_stateless(centered), optax.sgd(0.1)), "matrix"),
    ]


def _decaying() -> list[WholePlant]:
    found = []
    for size in (1e-5, 1e-3, 2e-2):
        decoupled = lambda inner, size=size: optax.chain(inner, optax.add_decayed_weights(-size))
        coupled = lambda inner, size=size: optax.chain(optax.add_decayed_weights(size), inner)
        found += [
            WholePlant(
                f"Adam with decoupled decay {size:g}",
                lambda of=decoupled: of(optax.adam(1e-3)),
                "component",
                decay=("decoupled", size),
            ),
            WholePlant(
                f"signs with decoupled decay {size:g}",
                lambda of=decoupled: of(optax.sign_sgd(1e-2)),
                "component",
                decay=("decoupled", size),
            ),
            WholePlant(
                f"momentum with coupled decay {size:g}",
                lambda of=coupled: of(optax.sgd(0.1, momentum=0.9)),
                "component",
                decay=("coupled", size),
            ),
            WholePlant(
                f"Adam with coupled decay {size:g}",
                lambda of=coupled: of(optax.adam(1e-2)),
                "component",
                decay=("coupled", size),
            ),
        ]
    both = lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.1))
    found.append(
        WholePlant("AdamW behind a norm", both, "network", ("norm of all gradients", 1.0), ("decoupled", 1e-4))
    )
    return found


def _noisy() -> list[WholePlant]:
    make = lambda size: optax.chain(optax.add_noise(size**2, 0.0, 0), optax.sgd(0.1))
    return [
        WholePlant(f"noise of {size:g}", lambda size=size: make(size), "component", noise=True)
        for size in (0.01, 0.1, 1.0)
    ]


def _accumulating() -> list[WholePlant]:
    several = lambda num: optax.MultiSteps(optax.sgd(0.1, momentum=0.9), num).gradient_transformation()
    sums = lambda num: optax.chain(optax.apply_every(num), optax.scale(-0.1))
    plant = lambda name, make, num: WholePlant(name, lambda: make(num), "component", rhythm=(num, "mean"))
    return [
        *(plant(f"{num} gradients for a step", several, num) for num in (2, 3, 4, 8, 20, 32)),
        *(plant(f"sums of {num}", sums, num) for num in (2, 5)),
    ]


def _plain() -> list[WholePlant]:
    return [
        WholePlant("gradient descent", lambda: optax.sgd(0.1), "component"),
        WholePlant("Adam", lambda: optax.adam(1e-3), "component"),
        WholePlant("Lion", lambda: optax.lion(1e-4, weight_decay=0.0), "component"),
        WholePlant("RMSprop", lambda: optax.rmsprop(1e-2), "component"),
        WholePlant("Adagrad", lambda: optax.adagrad(0.1), "component"),
        WholePlant("Nesterov", lambda: optax.sgd(0.1, momentum=0.9, nesterov=True), "component"),
    ]
