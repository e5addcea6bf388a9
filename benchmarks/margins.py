"""Does the margin pass 1 before a run spikes? Twenty runs, four models and five rates, from calm to broken.

    python -m benchmarks.margins [--steps N] [--every N] [--models NAME ...] [--seed N] [--batch N] [--runs FILE]

The rate rises from nothing to that of the row over the first half of a run. Loss and margin are those of all 256
examples; so are the gradients, unless --batch says how many a step takes.
"""

import argparse
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits, make_moons

import optoscope
from benchmarks._report import numbers_of, record
from optoscope._core.markdown import table
from optoscope.recordings.findings import spikes


class Setup(NamedTuple):
    """A model, its optimizer, and the rates to try."""

    loss: Any
    data: Any
    initial: Any
    optimizer: Any
    rates: tuple[float, ...]


def _dense(key, sizes, scale=1.0):
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        (scale * jax.random.normal(k, (a, b)) / a**0.5, jnp.zeros(b)) for k, a, b in zip(keys, sizes[:-1], sizes[1:])
    ]


def _forward(params, x):
    for w, b in params[:-1]:
        x = jnp.tanh(x @ w + b)
    w, b = params[-1]
    return x @ w + b


def setups(seed: int = 0) -> dict[str, Setup]:
    """The four models, each with 256 examples; labels of digits are smoothed, so that curvature does not vanish."""
    points, labels = make_moons(256, noise=0.3, random_state=seed)
    points, labels = jnp.asarray(points, jnp.float32), jnp.asarray(labels, jnp.float32)
    images, digits = load_digits(return_X_y=True)
    first = 256 * (seed % 6)
    images, digits = (
        jnp.asarray(images[first : first + 256], jnp.float32) / 16,
        optax.smooth_labels(jnp.eye(10)[digits[first : first + 256]], 0.1),
    )
    wave = jnp.linspace(-1, 1, 256)[:, None]
    key = jax.random.key(seed)

    def moons(params, batch):
        logits = _forward(params, batch[0])[:, 0]
        return jnp.mean(jax.nn.softplus(logits) - batch[1] * logits)

    def dense_digits(params, batch):
        return optax.softmax_cross_entropy(_forward(params, batch[0]), batch[1]).mean()

    def convolution(params, batch):
        x = batch[0].reshape(-1, 8, 8, 1)
        patches = jnp.stack([x[:, i : i + 6, j : j + 6, 0] for i in range(3) for j in range(3)], -1)
        x = jnp.tanh(patches @ params["first"])  # as patches times a matrix: fast on a CPU
        logits = x.reshape(len(x), -1) @ params["dense"]
        return optax.softmax_cross_entropy(logits, batch[1]).mean()

    def regression(params, batch):
        return jnp.mean((_forward(params, batch[0]) - batch[1]) ** 2)

    kernels = {
        "first": jax.random.normal(key, (9, 8)) / 3,
        "dense": jax.random.normal(jax.random.key(seed + 1), (288, 10)) / 288**0.5,
    }
    adam = optax.inject_hyperparams(optax.adam, static_args=("b1", "b2"))(1.0, b1=0.9, b2=0.99)
    heavy = optax.inject_hyperparams(optax.sgd, static_args=("momentum",))(1.0, momentum=0.9)
    adamw, plain = (optax.inject_hyperparams(one)(1.0) for one in (optax.adamw, optax.sgd))
    moon_data, digit_data, wave_data = (points, labels), (images, digits), (wave, jnp.sin(4 * wave))
    return {
        "two moons, Adam": Setup(moons, moon_data, _dense(key, (2, 32, 32, 1)), adam, (3e-3, 1e-2, 3e-2, 0.1, 0.3)),
        "digits, momentum": Setup(dense_digits, digit_data, _dense(key, (64, 32, 32, 10)), heavy, (1, 3, 6, 12, 24)),
        "digits convolution, AdamW": Setup(convolution, digit_data, kernels, adamw, (3e-3, 1e-2, 3e-2, 0.1, 0.3)),
        "regression, gradient descent": Setup(
            regression, wave_data, _dense(key, (1, 32, 32, 1)), plain, (0.01, 0.03, 0.1, 0.2, 0.4)
        ),
    }


class Run(NamedTuple):
    """What one run did: the loss before each step, and the margins."""

    model: str
    rate: float
    losses: list[float]
    steps: list[int]
    margins: list[float]


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _advance(carry, loss, update, num, batch_size, data, rate, warm, key):
    def step(carry, _):
        params, state, count = carry
        value = loss(params, data)
        rows = jax.random.choice(jax.random.fold_in(key, count), 256, (batch_size,), replace=False)
        batch = data if batch_size == 256 else tuple(x[rows] for x in data)
        gradients = jax.grad(loss)(params, batch)
        now = rate * jnp.minimum(1.0, (count + 1) / warm)  # set here, so that nothing is compiled once more for a rate
        state = state._replace(hyperparams={**state.hyperparams, "learning_rate": now})
        updates, state = update(gradients, state, params)
        return (optax.apply_updates(params, updates), state, count + 1), value

    return jax.lax.scan(step, carry, length=num)


def run(name: str, setup: Setup, rate: float, *, num_steps: int, every: int, batch_size: int = 256) -> Run:
    """Train once, and measure the margin every so many steps."""
    state = setup.optimizer.init(setup.initial)
    state = state._replace(hyperparams={k: jnp.asarray(v, jnp.float32) for k, v in state.hyperparams.items()})
    carry = (setup.initial, state, jnp.asarray(0))
    losses, steps, margins, found = [], [], [], None
    for _ in range(num_steps // every):
        carry, part = _advance(
            carry, setup.loss, setup.optimizer.update, every, batch_size, setup.data, rate, num_steps / 2,
            jax.random.key(0),
        )  # fmt: skip
        losses += np.asarray(part, float).tolist()
        if not np.isfinite(losses[-1]):
            break
        try:
            found = optoscope.margin(setup.loss, carry[0], setup.optimizer, carry[1], batches=[setup.data], start=found)
        except ValueError:  # the curvature is not finite any more
            continue
        steps.append(len(losses))
        margins.append(found.margin)
    return Run(name, float(rate), losses, steps, margins)


#: Spikes closer together than this count as one.
APART = 20
#: A margin this high at more than such a share of the measurements is that of a broken run.
HIGH, OFTEN = 1.1, 0.1


def judge(one: Run) -> dict[str, Any]:
    """Say of one run what counts.

    A spike begins where the loss is above 1.5 times its running minimum, or no number, after 20 steps at least that
    were neither. It was foretold if the margin was above 1 at a measurement before it and after the spike before; how
    many steps ahead, is counted from the first measurement of the stretch above 1 that was the last before the spike.
    A run without a spike is called broken if the margin was above 1.1 at more than one in ten measurements.
    """
    losses, steps, margins = (np.array(values, float) for values in one[2:])
    each = spikes(losses)
    where = each[np.diff(each, prepend=-APART) >= APART]
    ahead, begin = [], 0
    for spike in where:
        above = np.flatnonzero((steps > begin) & (steps <= spike) & (margins > 1))
        if len(above):
            runs = np.split(above, np.flatnonzero(np.diff(above) > 1) + 1)
            ahead.append(int(spike - steps[runs[-1][0]]))
        begin = spike
    passed = bool((margins > 1).any())
    return {
        "model": one.model,
        "rate": one.rate,
        "spikes": len(where),
        "foretold": len(ahead),
        "ahead": ahead,
        "first": ahead[0] if ahead else None,
        "highest": float(margins.max(initial=0.0)),
        "passed": passed,
        "broken": bool(not len(where) and len(margins) and np.mean(margins > HIGH) > OFTEN),
        "ends": "no number" if not np.isfinite(losses[-1]) else f"{losses[-1]:.3g}",
    }


def margins_table() -> str:
    """Return what the last measurement showed, in Markdown."""
    columns = ["model", "rate", "spikes", "foretold", "steps ahead", "highest margin", "last loss", "called broken"]
    cells = [
        [
            one["model"],
            f"{one['rate']:g}",
            one["spikes"],
            one["foretold"],
            ", ".join(map(str, one["ahead"])),
            f"{one['highest']:.2f}",
            one["ends"],
            "" if one["spikes"] else "yes" if one["broken"] else "no",
        ]
        for one in numbers_of("margins")["rows"]
    ]
    fresh = f"With other examples and other first parameters (`--seed 1`): {_summary('margins_seed_1')}"
    return "\n\n".join([table(columns, cells), _summary("margins"), fresh])


def _summary(name: str) -> str:
    rows = numbers_of(name)["rows"]
    total, told = (sum(one[key] for one in rows) for key in ("spikes", "foretold"))
    every = [step for one in rows for step in one["ahead"]]
    firsts = [one["first"] for one in rows if one["first"] is not None]
    calm = [one for one in rows if not one["spikes"]]
    return (
        f"{told} of {total} spikes were foretold, {np.median(every or [np.nan]):.0f} steps ahead in the median "
        f"({np.median(firsts or [np.nan]):.0f} for the first spike of each run). {len(calm)} runs had no spike: "
        f"{sum(one['passed'] for one in calm)} of them passed 1 at some time, "
        f"{sum(one['broken'] for one in calm)} of them were called broken."
    )


def main(arguments: list[str] | None = None) -> None:
    """Run all, and keep what they showed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--models", nargs="*", help="all without it")
    parser.add_argument("--seed", type=int, default=0, help="of the models' parameters, and which examples they get")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--runs", type=Path, help="file to which each run is added; those in it are not run again")
    options = parser.parse_args(arguments)
    known = setups(options.seed)
    names = options.models or list(known)
    there = options.runs.read_text().splitlines() if options.runs and options.runs.exists() else []
    done = {(one.model, one.rate): one for one in (Run(**json.loads(line)) for line in there)}
    for name in names:
        for rate in map(float, known[name].rates):
            if (name, rate) not in done:
                one = run(
                    name, known[name], rate, num_steps=options.steps, every=options.every, batch_size=options.batch
                )
                done[name, rate] = one
                if options.runs:
                    with options.runs.open("a") as file:
                        file.write(json.dumps(one._asdict()) + "\n")
            print(judge(done[name, rate]), flush=True)
    rows = [judge(one) for one in done.values()]
    if names == list(known):
        parts = {"seed": options.seed, "batch": options.batch % 256}
        record(
            "_".join(["margins", *(f"{key}_{value}" for key, value in parts.items() if value)]),
            {"steps": options.steps, "every": options.every, "rows": rows},
        )


if __name__ == "__main__":
    main()
