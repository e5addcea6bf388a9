"""Does the margin pass 1 before a run spikes? Twenty runs, four models and five rates, from calm to broken.

    python -m benchmarks.margins [--steps N] [--every N] [--models NAME ...]

What counts: a spike is a loss above 1.5 times its running minimum (once it has been back below, there may be another),
after the first tenth of the run, in which large margins die out. It was foretold if the margin had passed 1 at some
measurement since the end of that tenth, or of the spike before; how many steps ahead is counted from the first
measurement of the stretch above 1 that leads up to the spike. A run without a spike is called broken if more than half
of the measurements in its second half are above 1.1.
"""

import argparse
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits, make_moons

import optoscope
from optoscope.recordings.findings import spikes


class Setup(NamedTuple):
    """A model, its optimizer, and the rates to try."""

    loss: Any
    initial: Any
    optimizer: Any
    rates: tuple[float, ...]


class Row(NamedTuple):
    """What one run did."""

    model: str
    rate: float
    num_spikes: int
    num_foretold: int
    ahead: tuple[int, ...]
    last_margin: float
    called_broken: bool
    last_loss: float


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


def setups() -> dict[str, Setup]:
    """The four models, each with full batches of 256 examples."""
    points, labels = make_moons(256, noise=0.1, random_state=0)
    points, labels = jnp.asarray(points, jnp.float32), jnp.asarray(labels, jnp.float32)
    images, digits = load_digits(return_X_y=True)
    images, digits = jnp.asarray(images[:256], jnp.float32) / 16, jnp.asarray(digits[:256])
    wave = jnp.linspace(-1, 1, 256)[:, None]
    key = jax.random.key(0)

    def moons(params):
        logits = _forward(params, points)[:, 0]
        return jnp.mean(jax.nn.softplus(logits) - labels * logits)

    def dense_digits(params):
        return optax.softmax_cross_entropy_with_integer_labels(_forward(params, images), digits).mean()

    def convolution(params):
        x = images.reshape(-1, 8, 8, 1)
        patches = jnp.stack([x[:, i : i + 6, j : j + 6, 0] for i in range(3) for j in range(3)], -1)
        x = jnp.tanh(patches @ params["first"])  # as patches times a matrix: fast on a CPU
        logits = x.reshape(len(x), -1) @ params["dense"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, digits).mean()

    def regression(params):
        return jnp.mean((_forward(params, wave) - jnp.sin(4 * wave)) ** 2)

    kernels = {
        "first": jax.random.normal(key, (9, 8)) / 3,
        "dense": jax.random.normal(jax.random.key(1), (288, 10)) / 288**0.5,
    }
    adam = optax.inject_hyperparams(optax.adam, static_args=("b1", "b2"))(1.0, b1=0.9, b2=0.99)
    heavy = optax.inject_hyperparams(optax.sgd, static_args=("momentum",))(1.0, momentum=0.9)
    adamw, plain = (optax.inject_hyperparams(one)(1.0) for one in (optax.adamw, optax.sgd))
    return {
        "two moons, Adam": Setup(moons, _dense(key, (2, 32, 32, 1)), adam, (1e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
        "digits, momentum": Setup(dense_digits, _dense(key, (64, 32, 32, 10)), heavy, (0.003, 0.01, 0.1, 0.3, 1.0)),
        "digits convolution, AdamW": Setup(convolution, kernels, adamw, (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)),
        "regression, gradient descent": Setup(
            regression, _dense(key, (1, 32, 32, 1)), plain, (0.01, 0.03, 0.1, 0.3, 1.0)
        ),
    }


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _advance(carry, loss, update, num):
    def step(carry, _):
        params, state = carry
        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), value

    return jax.lax.scan(step, carry, length=num)


def run(name: str, setup: Setup, rate: float, *, num_steps: int, every: int) -> Row:
    """Train once, and measure the margin every so many steps."""
    optimizer = setup.optimizer
    state = optimizer.init(setup.initial)
    state.hyperparams["learning_rate"] = jnp.asarray(rate)  # so that nothing is compiled once more for another rate
    carry = (setup.initial, state)
    losses, steps, margins, found = [], [], [], None
    for _ in range(num_steps // every):
        carry, part = _advance(carry, setup.loss, optimizer.update, every)
        losses += np.asarray(part, float).tolist()
        if not np.isfinite(losses[-1]):
            break
        try:
            found = optoscope.margin(setup.loss, carry[0], optimizer, carry[1], start=found)
        except ValueError:  # the curvature is not finite any more
            break
        steps.append(len(losses))
        margins.append(found.margin)
    return judge(name, rate, np.array(losses), np.array(steps), np.array(margins), first=num_steps // 10)


def judge(name: str, rate: float, losses: np.ndarray, steps: np.ndarray, margins: np.ndarray, *, first: int) -> Row:
    """Say of one run what the module's docstring says counts."""
    where = [int(step) + first for step in spikes(losses[first:])]
    ahead, begin = [], first
    for spike in where:
        before = (steps >= begin) & (steps <= spike)
        above = np.flatnonzero(before & (margins > 1))
        if len(above):
            start = above[-1]
            while start - 1 in above:
                start -= 1
            ahead.append(spike - int(steps[start]))
        begin = spike + 1
    late = margins[steps > (steps[-1] if len(steps) else 0) / 2]
    return Row(
        name, rate, len(where), len(ahead), tuple(ahead), float(margins[-1]) if len(margins) else float("nan"),
        bool(not where and len(late) and np.mean(late > 1.1) > 0.5), float(losses[-1]),
    )  # fmt: skip


def table(rows: list[Row]) -> str:
    """Return the table in Markdown, with what it adds up to."""
    head = "| model | rate | spikes | foretold | steps ahead (median) | last margin | last loss | called broken |"
    lines = [head, "|---" * 8 + "|"]
    for one in rows:
        ahead = f"{np.median(one.ahead):.0f}" if one.ahead else ""
        lines.append(
            f"| {one.model} | {one.rate:g} | {one.num_spikes} | {one.num_foretold} | {ahead} | {one.last_margin:.2f} | "
            f"{one.last_loss:.3g} | {'yes' if one.called_broken else ''} |"
        )
    total, told = sum(one.num_spikes for one in rows), sum(one.num_foretold for one in rows)
    firsts = [one.ahead[0] for one in rows if one.ahead]
    calm = [one for one in rows if not one.num_spikes]
    every = [step for one in rows for step in one.ahead]
    broken = sum(one.called_broken for one in calm)
    lines += [
        "",
        f"{told} of {total} spikes were foretold, {np.median(every or [np.nan]):.0f} steps ahead in the median of all, "
        f"{np.median(firsts or [np.nan]):.0f} in that of each run's first; {broken} of {len(calm)} runs without a "
        "spike were called broken.",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> list[Row]:
    """Run all, and print the table."""
    known = setups()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(known))
    options = parser.parse_args(arguments)
    rows = []
    for name in options.models:
        for rate in known[name].rates:
            rows.append(run(name, known[name], rate, num_steps=options.steps, every=options.every))
            print(rows[-1], flush=True)
    print(table(rows))
    return rows


if __name__ == "__main__":
    main()
