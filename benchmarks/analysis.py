"""Speed of tuning and of the search for fixed points."""

import time

import jax
import numpy as np

from benchmarks._report import record, seconds
from optoscope import artifacts, tasks
from optoscope.dynamics import find_fixed_points
from optoscope.training import tune


def main() -> None:
    numbers = {}
    jax.random.normal(jax.random.key(0)).block_until_ready()  # JAX's own start is not counted
    for rule in ("momentum", "rmsprop", "adam"):
        start = time.perf_counter()
        tune(tasks.get("linear_regression"), rule, key=jax.random.key(0))
        numbers[f"2500 samples of {rule} x 64 problems, leaders again, compile included, s"] = round(
            time.perf_counter() - start, 2
        )
    optimizer = artifacts.load_trained("momentum_like").optimizer
    seeds = np.random.default_rng(0).uniform(-1, 1, (505, optimizer.num_units))
    found = find_fixed_points(optimizer, gradient=0.0, seeds=seeds)
    times = seconds(lambda: find_fixed_points(optimizer, gradient=0.0, seeds=seeds))
    numbers["fixed points of a GRU-64 from 505 seeds, after compilation, s"] = round(float(np.median(times)), 3)
    numbers["largest residual"] = float(found.residuals.max())
    numbers["seeds that converged"] = int(found.converged[found.seed_points].sum())
    record("analysis", numbers)


if __name__ == "__main__":
    main()
