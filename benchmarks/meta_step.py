"""Speed of one meta-gradient against a plain yardstick, and the share of the machine's matrix-product peak."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks._report import in_turn, record, seconds
from optoscope.cli.devices import use_all_cores
from optoscope.optimizers import GRUOptimizer
from optoscope.running import meta_objective, sample_problems
from optoscope.running.share_out import replicate
from optoscope.tasks import LinearRegression
from optoscope.training import MetaTrainConfig
from optoscope.training.meta_step import make_objective_and_gradient

SIZES = ((64, 32), (256, 64), (32, 64))
NUM_STEPS = 200
NUM_PARAMS = 5


def yardstick(task: LinearRegression, num_problems: int):
    """`vmap` + `scan` + `checkpoint` + autodiff of the same cell, one matrix per gate: what one would write first."""

    def cell(weights, h, g):
        u = jax.nn.sigmoid(weights["A_u"] * g + weights["W_u"] @ h + weights["b_u"])
        r = jax.nn.sigmoid(weights["A_r"] * g + weights["W_r"] @ h + weights["b_r"])
        c = jnp.tanh(weights["A_c"] * g + weights["W_c"] @ (r * h) + weights["b_c"])
        h = u * h + (1 - u) * c
        return h, weights["w"] @ h + weights["b"]

    def objective(weights, key):
        problems, keys = sample_problems(task, key, num_problems)

        def one(problem, key):
            @jax.checkpoint
            def step(carry, _):
                x, h = carry
                loss, g = jax.value_and_grad(lambda x: task.loss(problem, x, key))(x)
                h, dx = jax.vmap(functools.partial(cell, weights))(h, g)
                return (x + dx, h), loss

            start = (problem.initial_params, jnp.tile(weights["h0"], (NUM_PARAMS, 1)))
            (x, _), losses = jax.lax.scan(step, start, length=NUM_STEPS)
            return meta_objective(jnp.append(losses, task.loss(problem, x, key)))

        return jnp.mean(jax.vmap(one)(problems, keys))

    return jax.jit(jax.value_and_grad(objective))


def plain_weights(optimizer: GRUOptimizer):
    """The same network with one matrix per gate."""
    units = optimizer.num_units
    w_u, w_r = jnp.split(optimizer.gate_weights, 2, axis=1)
    a = optimizer.input_weights.reshape(3, units)
    b = optimizer.biases.reshape(3, units)
    return {
        "W_u": w_u.T,
        "W_r": w_r.T,
        "W_c": optimizer.candidate_weights.T,
        "A_u": a[0],
        "A_r": a[1],
        "A_c": a[2],
        "b_u": b[0],
        "b_r": b[1],
        "b_c": b[2],
        "w": optimizer.readout_weights,
        "b": optimizer.readout_bias,
        "h0": optimizer.initial,
    }


def sgemm_peak() -> float:
    """GFLOP/s of a large float32 matrix product."""
    a = jax.random.normal(jax.random.key(0), (4096, 4096))
    product = jax.jit(lambda a: a @ a)
    return 2 * 4096**3 / min(seconds(lambda: product(a).block_until_ready(), repeats=5)) / 1e9


def _wait(function, *arguments):
    return jax.block_until_ready(function(*arguments))


def main() -> None:
    use_all_cores()
    task, peak, numbers = LinearRegression(), sgemm_peak(), {}
    for num_units, num_problems in SIZES:
        config = MetaTrainConfig(num_units=num_units, batch_size=num_problems, num_steps=NUM_STEPS, l2=0.0)
        optimizer = GRUOptimizer.create(num_units, key=jax.random.key(0))
        optimizer = jax.tree.map(lambda leaf: leaf + 1e-3, optimizer)  # so that no gradient is zero
        ours = eqx.filter_jit(make_objective_and_gradient(config, jax.local_devices()))
        placed = replicate(optimizer, jax.local_devices())
        plain, weights = yardstick(task, num_problems), plain_weights(optimizer)
        key = jax.random.key(1)
        median = in_turn(
            {
                "plain": functools.partial(_wait, plain, weights, key),
                "ours": functools.partial(_wait, ours, task, placed, key),
            }
        )
        # One pass forward and two in reverse through the three gates' matrices; nothing is counted twice.
        flops = 3 * 2 * 3 * num_units**2 * NUM_PARAMS * num_problems * NUM_STEPS
        numbers[f"{num_units} units, {num_problems} problems"] = {
            "plain ms": round(1e3 * median["plain"], 1),
            "ours ms": round(1e3 * median["ours"], 1),
            "times as fast": round(median["plain"] / median["ours"], 2),
            "share of SGEMM peak": round(flops / median["ours"] / 1e9 / peak, 3),
        }
    record("meta_step", {"SGEMM peak GFLOP/s": round(peak), **numbers})


if __name__ == "__main__":
    main()
