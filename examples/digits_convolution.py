"""Train a convolutional network on digits in JAX, with momentum, AdamW and Muon, each recorded in its own state.

    python examples/digits_convolution.py [--record DIRECTORY] [--steps N]

`optoscope.recorded(...)` is the one change: it works inside `jit` and `scan`. The margin is measured at the end of each
run, and what was recorded is written where `optoscope examine DIRECTORY/momentum` reads it.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits

import optoscope


def initial(key: jax.Array, channels: int = 8) -> dict[str, dict[str, jax.Array]]:
    """Two convolutions and a dense layer."""
    keys = jax.random.split(key, 3)
    shapes = {"first": (3, 3, 1, channels), "second": (3, 3, channels, channels), "dense": (16 * channels, 10)}
    return {
        name: {
            "kernel": jax.random.normal(k, shape) / jnp.prod(jnp.array(shape[:-1])) ** 0.5,
            "bias": jnp.zeros(shape[-1]),
        }
        for (name, shape), k in zip(shapes.items(), keys)
    }


def loss_of(params, batch):
    """Cross-entropy of a batch."""
    images, labels = batch
    x = images
    for name in ("first", "second"):
        x = jax.lax.conv_general_dilated(
            x, params[name]["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jnp.tanh(x + params[name]["bias"])
    logits = x.reshape(len(x), -1) @ params["dense"]["kernel"] + params["dense"]["bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


OPTIMIZERS = {
    "momentum": lambda: optax.sgd(0.05, momentum=0.9),
    "adamw": lambda: optax.adamw(3e-3),
    "muon": lambda: optax.contrib.muon(3e-3),
}


def train(name: str, num_steps: int, batch_size: int = 64):
    """Train with one optimizer; returns losses, parameters, optimizer, state and batches to measure the margin on."""
    images, labels = load_digits(return_X_y=True)
    images, labels = jnp.asarray(images, jnp.float32).reshape(-1, 8, 8, 1) / 16, jnp.asarray(labels)
    optimizer = optoscope.recorded(OPTIMIZERS[name](), name=name)
    params = initial(jax.random.key(0))

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (batch_size,), 0, len(images))
        loss, gradients = jax.value_and_grad(loss_of)(params, (images[rows], labels[rows]))
        updates, state = optimizer.update(gradients, state, params, value=loss)
        return (optax.apply_updates(params, updates), state), loss

    keys = jax.random.split(jax.random.key(1), num_steps)
    (params, state), losses = jax.jit(lambda start: jax.lax.scan(step, start, keys))((params, optimizer.init(params)))
    batches = [(images[i::8], labels[i::8]) for i in range(4)]
    return losses, params, optimizer, state, batches


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train with each optimizer; returns the margins."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, default=None, metavar="DIRECTORY")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--optimizers", nargs="*", default=list(OPTIMIZERS), choices=list(OPTIMIZERS))
    options = parser.parse_args(arguments)
    margins = {}
    for name in options.optimizers:
        losses, params, optimizer, state, batches = train(name, options.steps)
        found = optoscope.margin(loss_of, params, optimizer, state, batches=batches)
        margins[name] = found.margin
        print(f"{name:10} loss {losses[0]:.3f} to {losses[-1]:.3f}, {found.headline}")
        if options.record is not None:
            optoscope.write_recording(optoscope.recording(state), options.record / name)
    return margins


if __name__ == "__main__":
    main()
