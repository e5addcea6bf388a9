"""Meta-gradients of the network tasks: time, memory and share of the machine's peak, and against a plain yardstick.

`python -m benchmarks.networks` measures two moons, and MNIST where it is at hand. Each size runs in a process of its
own, so that its peak memory is its own.
"""

import json
import subprocess
import sys

from benchmarks._report import in_turn, record

#: name: task, units, problems, steps, and multiply-adds of one pass of the inner network over its data
CASES = {
    "two moons, GRU-32, 8 problems": ("two_moons", 32, 8, 200, 1024 * (2 * 64 + 2 * 64 * 64 + 64)),
    "mnist, GRU-16, 2 problems": ("mnist", 16, 2, 200, 100 * (26**2 * 144 + (24**2 + 22**2) * 2304 + 77440)),
}


def measure(name: str) -> dict[str, float]:
    """Run one meta-gradient after one that is not counted."""
    import time

    import equinox as eqx
    import jax

    from optoscope import tasks
    from optoscope.cli.devices import use_all_cores
    from optoscope.optimizers import GRUOptimizer
    from optoscope.training import MetaTrainConfig
    from optoscope.training.memory import compiled_bytes, peak_bytes, resident_bytes
    from optoscope.training.meta_step import make_objective_and_gradient

    use_all_cores()
    task_name, units, problems, steps, products = CASES[name]
    task, devices = tasks.get(task_name), jax.local_devices()
    config = MetaTrainConfig(num_units=units, batch_size=problems, num_steps=steps, l2=0.0)
    optimizer = GRUOptimizer.create(units, key=jax.random.key(0), input_scale=30.0, output_scale=0.01)
    optimizer = jax.tree.map(lambda leaf: leaf + 1e-3, optimizer)  # so that no gradient is zero
    data, structure = eqx.partition(task, eqx.is_array)
    function = make_objective_and_gradient(config, devices)
    compiled = (
        jax.jit(lambda data, *rest: function(eqx.combine(data, structure), *rest))
        .lower(data, optimizer, jax.random.key(1))
        .compile()
    )
    predicted = resident_bytes(devices) + compiled_bytes(compiled, len(devices))
    jax.block_until_ready(compiled(data, optimizer, jax.random.key(1)))
    start = time.perf_counter()
    jax.block_until_ready(compiled(data, optimizer, jax.random.key(2)))
    taken = time.perf_counter() - start
    count = task.cost
    # A gradient is three passes of the network, its derivative forward over reverse six; the cell is one and two back.
    flops = 2 * problems * steps * (9 * products + 3 * 3 * units**2 * count)
    return {
        "s": round(taken, 2),
        "ms per step and problem": round(1e3 * taken / steps / problems, 2),
        "predicted peak GB": round(predicted / 1e9, 2),
        "measured peak GB": round(peak_bytes(devices) / 1e9, 2),
        "GFLOP/s": round(flops / taken / 1e9, 1),
    }


def against_plain(num_units: int = 32, num_problems: int = 8, num_steps: int = 20) -> dict[str, float]:
    """Two moons against `vmap` + `scan` + `checkpoint` + autodiff, both with one state kept per step."""
    import functools

    import equinox as eqx
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from benchmarks.meta_step import plain_weights
    from optoscope import tasks
    from optoscope.cli.devices import use_all_cores
    from optoscope.optimizers import GRUOptimizer
    from optoscope.running import meta_objective, sample_problems
    from optoscope.training import MetaTrainConfig
    from optoscope.training.meta_step import make_objective_and_gradient

    use_all_cores()
    task = tasks.get("two_moons")

    def cell(weights, h, g):
        u = jax.nn.sigmoid(weights["A_u"] * g + weights["W_u"] @ h + weights["b_u"])
        r = jax.nn.sigmoid(weights["A_r"] * g + weights["W_r"] @ h + weights["b_r"])
        c = jnp.tanh(weights["A_c"] * g + weights["W_c"] @ (r * h) + weights["b_c"])
        h = u * h + (1 - u) * c
        return h, weights["w"] @ h + weights["b"]

    def objective(weights, key):
        problems, keys = sample_problems(task, key, num_problems)

        def one(problem, key):
            flat, unravel = ravel_pytree(problem.initial_params)
            loss_of = lambda x: task.loss(problem, unravel(x), key)

            @jax.checkpoint
            def step(carry, _):
                x, h = carry
                loss, g = jax.value_and_grad(loss_of)(x)
                h, dx = jax.vmap(functools.partial(cell, weights))(h, 30.0 * g)
                return (x + 0.01 * dx, h), loss

            (x, _), losses = jax.lax.scan(step, (flat, jnp.tile(weights["h0"], (flat.size, 1))), length=num_steps)
            return meta_objective(jnp.append(losses, loss_of(x)))

        return jnp.mean(jax.vmap(one)(problems, keys))

    optimizer = GRUOptimizer.create(num_units, key=jax.random.key(0), input_scale=30.0, output_scale=0.01)
    optimizer = jax.tree.map(lambda leaf: leaf + 1e-3, optimizer)
    config = MetaTrainConfig(num_units=num_units, batch_size=num_problems, num_steps=num_steps, l2=0.0)
    ours = eqx.filter_jit(make_objective_and_gradient(config, jax.local_devices()))
    plain, weights, key = jax.jit(jax.value_and_grad(objective)), plain_weights(optimizer), jax.random.key(1)
    median = in_turn(
        {
            "plain": lambda: jax.block_until_ready(plain(weights, key)),
            "ours": lambda: jax.block_until_ready(ours(task, optimizer, key)),
        },
        repeats=2,
        calls=2,
    )
    return {
        "plain s": round(median["plain"], 2),
        "ours s": round(median["ours"], 2),
        "times as fast": round(median["plain"] / median["ours"], 2),
    }


#: what is varied: task, problems and steps of three points each
LINEAR = {
    "parameters": [(f"two_moons(widths=({width}, {width}, {width}))", 4, 20) for width in (45, 64, 91)],
    "steps": [("two_moons", 4, steps) for steps in (10, 20, 40)],
    "problems": [("two_moons", problems, 20) for problems in (2, 4, 8)],
}


def linear(num_units: int = 32) -> dict[str, list[dict[str, float]]]:
    """Seconds of a meta-gradient at three sizes each of parameters, steps and problems."""
    import equinox as eqx
    import jax

    from optoscope import tasks
    from optoscope.cli.devices import use_all_cores
    from optoscope.optimizers import GRUOptimizer
    from optoscope.training import MetaTrainConfig
    from optoscope.training.meta_step import make_objective_and_gradient

    use_all_cores()
    optimizer = GRUOptimizer.create(num_units, key=jax.random.key(0), input_scale=30.0, output_scale=0.01)
    optimizer = jax.tree.map(lambda leaf: leaf + 1e-3, optimizer)
    points, functions = {}, {}
    for name, problems, steps in {point for points in LINEAR.values() for point in points}:
        task = tasks.get(name)
        config = MetaTrainConfig(num_units=num_units, batch_size=problems, num_steps=steps, l2=0.0)
        function = eqx.filter_jit(make_objective_and_gradient(config, jax.local_devices()))
        functions[name, problems, steps] = lambda function=function, task=task: jax.block_until_ready(
            function(task, optimizer, jax.random.key(1))
        )
        count = task.cost
        points[name, problems, steps] = {"parameters": count, "problems": problems, "steps": steps}
    median = in_turn(functions, repeats=3, calls=1)
    return {varied: [points[one] | {"s": round(median[one], 3)} for one in ones] for varied, ones in LINEAR.items()}


def peak() -> float:
    """The machine's peak, in GFLOP/s: that of a large matrix product."""
    from benchmarks.meta_step import sgemm_peak
    from optoscope.cli.devices import use_all_cores

    use_all_cores()
    return round(sgemm_peak())


def _in_a_process(argument: str) -> dict | float | None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.networks", argument], capture_output=True, text=True)
    if done.returncode:
        print(f"left out: {argument}: {done.stderr.strip().splitlines()[-1]}")
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    if len(sys.argv) > 1:
        others = {"plain": against_plain, "linear": linear, "peak": peak}
        print(json.dumps(others[sys.argv[1]]() if sys.argv[1] in others else measure(sys.argv[1])))
        return
    numbers = {}
    parts = {name: name for name in CASES} | {
        "plain": "two moons, 20 steps, against plain",
        "linear": "cost of a meta-gradient",
        "peak": "SGEMM peak GFLOP/s",
    }
    for argument, name in parts.items():
        if (found := _in_a_process(argument)) is not None:
            numbers[name] = found
    record("networks", numbers)


if __name__ == "__main__":
    main()
