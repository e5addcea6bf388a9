"""Where and why a learned optimizer falls behind on a model that it was not trained for.

    python -m benchmarks.leaving_home [--steps N] [--optimizer NAME]

A small convolutional network learns digits, with AdamW and with an optimizer that was meta-trained on 200 steps of
dense networks, recorded all along. Then the learned one runs again with one thing changed at a time.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import optoscope
from benchmarks._report import numbers_of, record
from optoscope._core.markdown import table
from optoscope.artifacts.as_optimizer import as_rule
from optoscope.optimizers import AbstractOptimizer, lift

EXAMPLE = Path(__file__).parent.parent / "examples" / "digits_convolution.py"
#: Steps that the optimizer was trained on, and how many make a period of the table.
HOME, PERIOD = 200, 300


class Memoryless(AbstractOptimizer):
    """Another optimizer without what its memory makes it do where the present gradient is 0."""

    inner: AbstractOptimizer

    def initial_state(self):
        return self.inner.initial_state()

    def step(self, h, g):
        new, update = self.inner.step(h, g)
        return new, update - self.inner.step(h, jnp.zeros_like(g))[1]


class Cooled(AbstractOptimizer):
    """Another optimizer whose updates shrink as one over the steps beyond those at home."""

    inner: AbstractOptimizer

    def initial_state(self):
        return jnp.append(self.inner.initial_state(), 0.0)

    def step(self, h, g):
        new, update = self.inner.step(h[:-1], g)
        return jnp.append(new, h[-1] + 1), update / jnp.maximum(1.0, h[-1] / HOME)


def train(optimizer: Any, num_steps: int, channels: int = 4) -> tuple[np.ndarray, optoscope.Recording]:
    """Return the loss of all digits before each step, and the recording."""
    spec = importlib.util.spec_from_file_location("digits_convolution", EXAMPLE)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    images, labels = load_digits(return_X_y=True)
    images, labels = jnp.asarray(images, jnp.float32).reshape(-1, 8, 8, 1) / 16, jnp.asarray(labels)
    tx = optoscope.recorded(optimizer, steps=num_steps)
    params = example.initial(jax.random.key(0), channels)

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (64,), 0, len(images))
        value, gradients = jax.value_and_grad(example.loss_of)(params, (images[rows], labels[rows]))
        updates, state = tx.update(gradients, state, params, value=value)
        return (optax.apply_updates(params, updates), state), example.loss_of(params, (images, labels))

    keys = jax.random.split(jax.random.key(1), num_steps)
    (_, state), losses = jax.jit(lambda start: jax.lax.scan(step, start, keys))((params, tx.init(params)))
    return np.asarray(losses, float), optoscope.recording(state)


def from_memory(rule: AbstractOptimizer, gradients: np.ndarray) -> np.ndarray:
    """Return the updates that a rule would have made at each step had that one gradient been 0 [step, component]."""

    def step(h, g):
        return jax.vmap(rule.step)(h, g)[0], jax.vmap(rule.step)(h, jnp.zeros_like(g))[1]

    start = jnp.tile(rule.initial_state(), (gradients.shape[1], 1))
    return np.asarray(jax.jit(lambda gs: jax.lax.scan(step, start, gs))(jnp.asarray(gradients, jnp.float32))[1], float)


def periods(losses: np.ndarray, r: optoscope.Recording, away: np.ndarray) -> list[dict[str, float]]:
    """Say of each period what the optimizer did to the sampled components."""
    norm = lambda array: float(np.sqrt(np.mean(array**2)))
    rows = []
    for first in range(0, len(losses), PERIOD):
        here = slice(first, first + PERIOD)
        g, dx = r.gradients[here], r.updates[here]
        rows.append(
            {
                "first": first,
                "loss": float(losses[here][-1]),
                "gradient": norm(g),
                "update": norm(dx),
                "rate": float(-np.sum(g * dx) / np.sum(g * g)),
                "along": float(-np.sum(g * dx) / np.sqrt(np.sum(g * g) * np.sum(dx * dx))),
                "kept": float(np.linalg.norm(dx.sum(0)) / np.sum(np.linalg.norm(dx, axis=1))),
                "memory": norm(away[here]) / norm(dx),
            }
        )
    return rows


def leaving_home_table() -> str:
    """Return what the last measurement showed, in Markdown."""
    found = numbers_of("leaving_home")
    ends = ["optimizer", *(f"step {one['first'] + PERIOD}" for one in found["runs"][0]["periods"])]
    cells = [[one["name"], *(f"{part['loss']:.3g}" for part in one["periods"])] for one in found["runs"]]
    parts = [table(ends, cells)]
    columns = [
        "steps",
        "gradient",
        "update",
        "update over gradient",
        "cosine",
        "share that adds up",
        "without gradient",
    ]
    for one in found["runs"][2:4]:
        rows = [
            [
                f"{part['first']} to {part['first'] + PERIOD - 1}",
                f"{part['gradient']:.2g}",
                f"{part['update']:.2g}",
                f"{part['rate']:.2g}",
                f"{part['along']:.2f}",
                f"{part['kept']:.0%}",
                f"{part['memory']:.0%}",
            ]
            for part in one["periods"]
        ]
        parts += [f"{one['name']}:", table(columns, rows)]
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> None:
    """Run all, and keep what they showed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--optimizer", default="mnist")
    options = parser.parse_args(arguments)
    rule = as_rule(options.optimizer)
    learned = {
        f"learned ({options.optimizer})": rule,
        "learned, memory's part taken away": Memoryless(rule),
        f"learned, updates shrink after {HOME} steps": Cooled(rule),
    }
    # What is run, and the rule of one component; the decay of AdamW moves a parameter by 1e-4 of an update's rate.
    tries = {
        **{f"AdamW, rate {rate:g}": (optax.adamw(rate), as_rule(optax.adam(rate))) for rate in (0.003, 0.01, 0.03)},
        **{name: (lift(one), one) for name, one in learned.items()},
    }
    runs = []
    for name, (optimizer, one) in tries.items():
        losses, r = train(optimizer, options.steps)
        runs.append({"name": name, "periods": periods(losses, r, from_memory(one, r.gradients))})
        print(name, [round(part["loss"], 4) for part in runs[-1]["periods"]], flush=True)
    record("leaving_home", {"steps": options.steps, "runs": runs})


if __name__ == "__main__":
    main()
