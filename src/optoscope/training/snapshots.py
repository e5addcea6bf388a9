"""What a run of meta-training had learned at some time."""

from pathlib import Path

import jax
import numpy as np

from optoscope import tasks
from optoscope.artifacts import TrainedOptimizer
from optoscope.optimizers import GRUOptimizer
from optoscope.running.run_log import read_records
from optoscope.training.config import MetaTrainConfig, preset
from optoscope.training.meta_step import untrained
from optoscope.training.meta_train import meta_train


def snapshot_within(seconds: float, trained: TrainedOptimizer, run: Path) -> tuple[GRUOptimizer, float]:
    """Return the latest weights kept within some seconds of a run, and when they were reached.

    Where the run itself had not begun, they are those of the run that it starts from, with its own scales.

    Args:
        seconds: counted from the beginning of the run that it starts from, if there is one.
        trained: what the run made.
        run: its directory, with its log.
    """
    before = trained.metrics.get("seconds_of_start", 0.0)
    if seconds < before:
        config = MetaTrainConfig(**trained.config)
        setting, _, name = str(config.warm_start).partition(":")
        start = meta_train(
            tasks.get(name),
            config=preset(setting, name),
            key=jax.random.key(trained.seed or 0),
            directory=run / "start",
            resume=True,
        )
        snapshot, reached = snapshot_within(seconds, start, run / "start")
        return snapshot.embedded_in(untrained(config, jax.random.key(0))), reached
    log = read_records(run)
    steps, ends = [0] + [entry["step"] for entry in log], [0.0] + [entry["seconds"] for entry in log]
    times = before + np.interp(trained.snapshot_steps, steps, ends)
    index = int(np.flatnonzero(times <= seconds)[-1])
    return trained.snapshot(index), float(times[index])
