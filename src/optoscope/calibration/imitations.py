"""Networks trained to imitate rules of known mechanisms: what they imitate is the truth about them, as far as they do.

Trained by regression on random sequences of gradients, all at once. Those that are used without training are kept as
weights beside this file; `train_imitations` made them.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors
import safetensors.numpy
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from optoscope._core.checks import check_count
from optoscope._core.files import pack_arrays, write_whole
from optoscope._core.types import Array, PRNGKeyArray
from optoscope.calibration.parts import Clip, Drift, Memory, OddGain, Pipeline
from optoscope.optimizers import GRUOptimizer
from optoscope.optimizers.gru import WEIGHTS

#: Magnitudes of the gradients on which they are trained, and for which they are diagnosed.
TRAINED_RANGE = (1e-2, 1.0)
#: Largest error of an imitation that counts, in its worst sequence: root mean square, relative to the rule's.
ACCEPTED_ERROR = 0.03
NUM_UNITS = 16
_SHIPPED = Path(__file__).parent / "imitations.safetensors"
_NUM_STEPS, _BATCH, _BLOCK = 96, 48, 100
_JUMPS = 0.05  # a step
_KINDS = ("white noise", "constant", "alternating", "slow", "jumping")
#: Inputs of this size keep a network near the linear middle of its units.
_INPUT_SCALE, _OUTPUT_SCALE = 0.3, 3.0
#: Sequences, and their length, on which one step of the second stage rests; new ones every few steps.
_FEW, _SHORT, _RENEWED = 40, 64, 5
#: Most rounds of it, while an imitation is not accepted.
_ROUNDS = 3

#: What is imitated, with updates of order 1 for gradients of order 1; all have one structure.
RULES: dict[str, Pipeline] = {}


def _rule(name, decays, weights, *, direct=0.0, threshold=1e6, drift=0.0, depth=0.0, copies=1):
    parts = (
        Clip("soft", threshold),
        Memory(decays, weights, direct=direct),
        OddGain(0.8, 0.3, depth),
        Drift([np.exp(-1 / 15)], [drift]),
    )
    for i in range(copies):
        RULES[f"{name} {i + 1}" if copies > 1 else name] = Pipeline(parts, 1.0)


_rule("gradient descent", [0.0, 0.0], [0.0, 0.0], direct=1.0, copies=4)
_rule("heavy ball 0.5", [0.5, 0.0], [0.5, 0.0])
_rule("heavy ball 0.8", [0.8, 0.0], [0.2, 0.0])
_rule("heavy ball 0.9", [0.9, 0.0], [0.1, 0.0])
_rule("Nesterov 0.8", [0.8, 0.0], [0.16, 0.0], direct=0.2)
_rule("two timescales", [0.5, 0.9], [0.3, 0.04])
_rule("soft clipping", [0.0, 0.0], [0.0, 0.0], direct=1.0, threshold=0.3)
_rule("soft clipping, heavy ball 0.8", [0.8, 0.0], [0.2, 0.0], threshold=0.4)
_rule("decay", [0.0, 0.0], [0.0, 0.0], direct=0.5, drift=1.0)
_rule("heavy ball 0.7, decay", [0.7, 0.0], [0.15, 0.0], drift=1.0)
_rule("warm-up", [0.0, 0.0], [0.0, 0.0], direct=1.0, drift=-0.7)


@dataclasses.dataclass(frozen=True)
class Imitation:
    """A trained network and what it imitates.

    Attributes:
        name: of the rule.
        network: it.
        rule: what it imitates.
        errors: for each kind of sequence the error of the worst of many, which it was not trained on: root mean square
            over its steps, relative to the rule's updates.
    """

    name: str
    network: GRUOptimizer
    rule: Pipeline
    errors: dict[str, float]

    @property
    def is_accepted(self) -> bool:
        """Whether it is good enough to stand for its rule."""
        return max(self.errors.values()) <= ACCEPTED_ERROR


def imitations() -> list[Imitation]:
    """Return the networks that are kept with the library, with their fit measured anew."""
    with safetensors.safe_open(str(_SHIPPED), "numpy") as file:
        names = json.loads(file.metadata()["names"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    networks = [_network({field: array[i] for field, array in arrays.items()}) for i in range(len(names))]
    return _measured(dict(zip(names, networks)), key=jax.random.key(1))


def train_imitations(
    names: tuple[str, ...] = tuple(RULES),
    *,
    key: PRNGKeyArray,
    num_steps: int = 4500,
    num_refinements: int = 20,
    path: Path | None = None,
) -> list[Imitation]:
    """Train a network for each rule: Adam for all at once, then Levenberg and Marquardt's method for each.

    Args:
        names: from `RULES`.
        key: draws initial weights and gradients.
        num_steps: of Adam, with a learning rate that falls as a cosine.
        num_refinements: steps of the second method in a round; there are more rounds while it is not good enough.
        path: where to keep the weights.
    """
    check_count("num_steps", num_steps, minimum=_BLOCK)
    rules = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *(RULES[n] for n in names))
    start_key, train_key, test_key = jax.random.split(key, 3)
    networks = jax.vmap(_untrained)(jax.random.split(start_key, len(names)))
    transformation = optax.chain(optax.clip(1.0), optax.adam(optax.cosine_decay_schedule(0.01, num_steps), b2=0.98))
    state = jax.vmap(transformation.init)(networks)

    @jax.jit
    def block(networks, state, key):
        def step(carry, key):
            gradients = draw_sequences(key, _BATCH)[0]

            def one(network, state, rule):
                gradient = jax.grad(_loss)(network, rule, gradients)
                updates, state = transformation.update(gradient, state, network)
                return optax.apply_updates(network, updates), state

            networks, state = carry
            return jax.vmap(one)(networks, state, rules), None

        return jax.lax.scan(step, (networks, state), jax.random.split(key, _BLOCK))[0]

    for number in range(num_steps // _BLOCK):
        networks, state = block(networks, state, jax.random.fold_in(train_key, number))
    single = [jax.tree.map(lambda leaf, i=i: leaf[i], networks) for i in range(len(names))]
    single = [_refined_until_accepted(name, network, num_refinements) for name, network in zip(names, single)]
    if path is not None:
        keep(dict(zip(names, single)), path)
    return _measured(dict(zip(names, single)), key=test_key)


def keep(networks: dict[str, GRUOptimizer], path: Path) -> None:
    """Write the weights of networks to a file."""
    arrays = {f: np.stack([np.asarray(getattr(net, f), np.float32) for net in networks.values()]) for f in WEIGHTS}
    write_whole(path, pack_arrays(arrays, {"names": json.dumps(list(networks))}))


def _refined_until_accepted(name: str, network: GRUOptimizer, num_steps: int) -> GRUOptimizer:
    for round_number in range(_ROUNDS):
        network = refine(network, RULES[name], num_steps=num_steps, round_number=round_number)
        [imitation] = _measured({name: network}, key=jax.random.key(9))
        if imitation.is_accepted:
            break
    return network


def refine(network: GRUOptimizer, rule: Pipeline, *, num_steps: int, round_number: int = 0) -> GRUOptimizer:
    """Bring a network nearer to its rule by the method of Levenberg (1944) and Marquardt (1963).

    Args:
        network: that imitates the rule already.
        rule: what it imitates.
        num_steps: each solves one linear problem as large as the network.
        round_number: each round has its own sequences.
    """
    weights, unravel = ravel_pytree(network)
    weights, damping = np.asarray(weights, np.float64), 1e-3
    for number in range(num_steps):
        gradients = draw_sequences(jax.random.key(1000 * (round_number + 1) + number // _RENEWED), _FEW)[0][:_SHORT]
        normal, slope, error = (np.asarray(a, np.float64) for a in _normal_equations(weights, unravel, rule, gradients))
        while damping < 1e8:
            scaled = damping * np.diag(np.diag(normal)) + 1e-9 * np.trace(normal) / len(weights) * np.eye(len(weights))
            moved = weights - np.linalg.solve(normal + scaled, slope)
            new_error = float(_squared_error(moved, unravel, rule, gradients))
            if new_error < error:
                weights, damping = moved, max(damping / 4, 1e-9)
                break
            damping *= 4
    return unravel(jnp.asarray(weights, jnp.float32))


def _residuals(weights, unravel, rule, gradients):
    target = _run(rule, gradients)
    size = jnp.sqrt(jnp.mean(target**2, axis=0)) + 1e-3
    network = unravel(weights)

    def step(h, g):
        return jax.vmap(lambda h, g: network.step(h, g))(h, g)  # `step_components` has no forward mode

    start = jnp.tile(network.initial_state(), (gradients.shape[1], 1))
    return ((jax.lax.scan(step, start, gradients)[1] - target) / size).ravel() / np.sqrt(target.size)


@eqx.filter_jit
def _normal_equations(weights, unravel, rule, gradients):
    weights = jnp.asarray(weights, jnp.float32)
    residuals = _residuals(weights, unravel, rule, gradients)
    jacobian = jax.jacfwd(_residuals)(weights, unravel, rule, gradients)
    return jacobian.T @ jacobian, jacobian.T @ residuals, residuals @ residuals


@eqx.filter_jit
def _squared_error(weights, unravel, rule, gradients):
    residuals = _residuals(jnp.asarray(weights, jnp.float32), unravel, rule, gradients)
    return residuals @ residuals


def _network(arrays) -> GRUOptimizer:
    weights: dict[str, Any] = {field: jnp.asarray(arrays[field]) for field in WEIGHTS}
    return GRUOptimizer(**weights, input_scale=_INPUT_SCALE, output_scale=_OUTPUT_SCALE)


def _untrained(key):
    network = GRUOptimizer.create(NUM_UNITS, key=key, input_scale=_INPUT_SCALE, output_scale=_OUTPUT_SCALE)
    readout = jax.random.normal(key, (NUM_UNITS,)) / NUM_UNITS**0.5
    return eqx.tree_at(lambda n: n.readout_weights, network, readout)


def draw_sequences(key: PRNGKeyArray, number: int) -> tuple[Float[Array, "step run"], list[int]]:
    """Draw sequences of gradients of all magnitudes in `TRAINED_RANGE`, of several kinds in turn.

    Returns:
        The sequences, and the kind of each: white noise, constant, alternating in sign, slowly changing, and jumping
        now and then from one constant to another.
    """
    shape_key, size_key, sign_key, jump_key = jax.random.split(key, 4)
    low, high = np.log10(TRAINED_RANGE)
    sizes = 10 ** jax.random.uniform(size_key, (number,), minval=low, maxval=high)
    noise = jax.random.uniform(shape_key, (_NUM_STEPS, number), minval=-1.0)
    turns = jnp.where(jnp.arange(_NUM_STEPS) % 2 == 0, 1.0, -1.0)[:, None]
    slow = jnp.sin(jnp.cumsum(jnp.abs(noise), axis=0) * 0.3)
    levels = jnp.cumsum(jax.random.bernoulli(jump_key, _JUMPS, noise.shape), axis=0)
    jumping = jnp.take_along_axis(noise, levels, axis=0)
    forms = jnp.stack([noise, jnp.ones_like(noise), turns * jnp.ones_like(noise), slow, jumping])
    kinds = [i % len(_KINDS) for i in range(number)]
    signs = jnp.where(jax.random.bernoulli(sign_key, shape=(number,)), 1.0, -1.0)
    return forms[np.array(kinds), :, np.arange(number)].T * (sizes * signs), kinds


def _run(optimizer, gradients):
    def step(h, g):
        return optimizer.step_components(h, g)

    start = jnp.tile(optimizer.initial_state(), (gradients.shape[1], 1))
    return jax.lax.scan(step, start, gradients)[1]


def _loss(network, rule, gradients):
    """Squared error of each sequence in units of its target's, so that small gradients count as much as large ones."""
    target = _run(rule, gradients)
    errors = jnp.mean((_run(network, gradients) - target) ** 2, axis=0)
    return jnp.mean(errors / (jnp.mean(target**2, axis=0) + 1e-6))


def _measured(networks: dict[str, GRUOptimizer], *, key: PRNGKeyArray) -> list[Imitation]:
    gradients, kinds = draw_sequences(key, 64 * len(_KINDS))

    @jax.jit
    def errors(network, rule):
        target = _run(rule, gradients)
        return jnp.mean((_run(network, gradients) - target) ** 2, axis=0), jnp.mean(target**2, axis=0)

    found = []
    for name, network in networks.items():
        error, size = (np.asarray(part) for part in errors(network, RULES[name]))
        relative = np.sqrt(error / size)
        worst = {kind: float(relative[np.array(kinds) == i].max()) for i, kind in enumerate(_KINDS)}
        found.append(Imitation(name, network, RULES[name], worst))
    return found
