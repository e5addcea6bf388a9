"""Meta-train a learned optimizer: the loop around the meta-step, which can be stopped and resumed to the same bits."""

import contextlib
import dataclasses
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optoscope import tasks
from optoscope._checks import check_count, check_number
from optoscope._files import write_json, write_whole
from optoscope._provenance import provenance
from optoscope._types import PRNGKeyArray
from optoscope.artifacts import TrainedOptimizer
from optoscope.optimizers import GRUOptimizer
from optoscope.tasks import AbstractTask
from optoscope.training.checkpoints import load_checkpoint, save_checkpoint
from optoscope.training.config import MetaTrainConfig
from optoscope.training.meta_step import (
    MetaState,
    batch_objective,
    initial_meta_state,
    make_meta_step,
    replicate,
)
from optoscope.training.objective import Purpose


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a meta-training run stands; handed to the caller's `report` after every meta-step."""

    step: int
    num_steps: int
    objective: float
    validation: float | None
    best_validation: float
    num_skipped: int
    num_rollbacks: int
    steps_per_second: float
    seconds: float

    @property
    def seconds_left(self) -> float:
        """Time left at the present speed."""
        return (self.num_steps - self.step) / self.steps_per_second if self.steps_per_second else float("inf")


def meta_train(
    task: AbstractTask,
    *,
    config: MetaTrainConfig,
    key: PRNGKeyArray,
    directory: str | Path | None = None,
    resume: bool = False,
    preset: str = "custom",
    seed: int | None = None,
    report: Callable[[Progress], None] | None = None,
    checkpoint_seconds: float = 20.0,
) -> TrainedOptimizer:
    """Meta-train a GRU optimizer on a task by backpropagation through whole unrolls (App. D.2).

    Problems are shared out over all local devices as far as the batch size allows. A meta-step whose objective or
    gradient is not finite is skipped and counted, never applied. The weights that are best on validation problems,
    which are never trained on, are kept beside the last.

    Args:
        task: where problems come from.
        config: settings, usually from `preset`.
        key: determines everything random.
        directory: where checkpoints, the run log (`log.jsonl`) and the settings go; nothing is written if None.
        resume: go on from the newest checkpoint in `directory`; the result is the same to the last bit.
        preset: the preset's name, recorded in the result.
        seed: the seed that made `key`, recorded in the result.
        report: called after every meta-step.
        checkpoint_seconds: time between checkpoints.

    Returns:
        The best weights, with weights along meta-training, the validation curve and provenance.

    Raises:
        ValueError: if a setting is out of range, or `resume` finds a run with other settings.
        FileExistsError: if `directory` holds a run and `resume` is false.
        KeyboardInterrupt: on Ctrl-C, after the present meta-step is finished and saved.
    """
    _check(config)
    folder = None if directory is None else Path(directory)
    settings = {"task": repr(task), "config": dataclasses.asdict(config), "key": _key_data(key)}
    if folder is not None:
        _open_run(folder, settings, resume)
    devices = jax.local_devices()[: _num_devices(config.batch_size)]
    meta_step = make_meta_step(task, config, devices)
    validate = jax.jit(
        lambda optimizer: batch_objective(
            optimizer, task, config, Purpose.VALIDATE.key(key), config.num_validation_problems
        )
    )
    run = _Run.start(config, key)
    if folder is not None and resume and (checkpoint := load_checkpoint(folder, run.arrays)) is not None:
        run.restore(checkpoint)
        _truncate_log(folder / "log.jsonl", run.step)
    elif folder is not None:
        write_whole(folder / "log.jsonl", b"")
    run.state = replicate(run.state, devices)
    train_key = Purpose.TRAIN.key(key)
    began, before, last_saved, first_step = time.monotonic(), run.seconds, time.monotonic(), run.step
    run.observe(validate)
    with _deferred_interrupt() as interrupted:
        while run.step < config.num_meta_steps and not interrupted.is_set():
            run.state, objective = meta_step(run.state, train_key)
            # Waiting for each step keeps several from queueing up, which can deadlock collectives on the CPU.
            run.objectives.append(float(objective))
            run.step += 1
            run.seconds = before + time.monotonic() - began
            validation = run.observe(validate)
            if folder is not None and validation is not None:
                _append_log(folder / "log.jsonl", run.record(validation))
            if report is not None:
                speed = (run.step - first_step) / max(run.seconds - before, 1e-9)
                report(run.progress(config, validation, speed))
            if folder is not None and time.monotonic() - last_saved > checkpoint_seconds:
                save_checkpoint(folder, run.step, run.arrays, run.data)
                last_saved = time.monotonic()
        if folder is not None:
            save_checkpoint(folder, run.step, run.arrays, run.data)
    if interrupted.is_set():
        raise KeyboardInterrupt(f"stopped after meta-step {run.step}")
    return run.finish(task, config, preset, seed, len(devices))


class _Run:
    """What is saved in a checkpoint, and the bookkeeping on it."""

    def __init__(self, config: MetaTrainConfig, state: MetaState):
        self.config = config
        self.state = state
        self.best: GRUOptimizer = jax.tree.map(np.asarray, state.average)
        self.snapshot_steps = _snapshot_steps(config)
        self.snapshots: GRUOptimizer = jax.tree.map(
            lambda leaf: np.zeros((len(self.snapshot_steps), *leaf.shape), leaf.dtype), self.best
        )
        self.step, self.seconds = 0, 0.0
        self.best_validation = float("inf")
        self.best_step = 0
        self.curve: list[tuple[int, float, float]] = []  # step, mean batch objective since the last, validation
        self.objectives: list[float] = []

    @staticmethod
    def start(config: MetaTrainConfig, key: PRNGKeyArray) -> "_Run":
        optimizer = GRUOptimizer.create(
            config.num_units,
            key=Purpose.INITIALIZE.key(key),
            input_scale=config.input_scale,
            output_scale=config.output_scale,
            input_kind=config.input_kind,
        )
        return _Run(config, initial_meta_state(optimizer, config))

    @property
    def arrays(self):
        return {"state": self.state, "best": self.best, "snapshots": self.snapshots}

    @property
    def data(self) -> dict[str, Any]:
        names = ("step", "seconds", "best_validation", "best_step", "curve", "objectives")
        return {name: getattr(self, name) for name in names}

    def restore(self, checkpoint) -> None:
        self.state = jax.tree.map(jnp.asarray, checkpoint.arrays["state"])
        self.best, self.snapshots = checkpoint.arrays["best"], checkpoint.arrays["snapshots"]
        for name, value in checkpoint.data.items():
            setattr(self, name, value)

    def observe(self, validate) -> float | None:
        """Keep a snapshot and validate, where the step asks for it."""
        if self.step in self.snapshot_steps:
            row = int(np.searchsorted(self.snapshot_steps, self.step))
            jax.tree.map(lambda all_, leaf: all_.__setitem__(row, np.asarray(leaf)), self.snapshots, self.state.average)
        due = self.step % self.config.validate_every == 0 or self.step == self.config.num_meta_steps
        if not due or (self.curve and self.curve[-1][0] == self.step):
            return None
        # Fetched first, so that validation runs on one device whatever the meta-step ran on.
        weights = jax.tree.map(np.asarray, self.state.average)
        validation = float(validate(weights))
        if validation < self.best_validation:
            self.best, self.best_validation, self.best_step = weights, validation, self.step
        mean_objective = float(np.mean(self.objectives)) if self.objectives else float("nan")
        self.curve.append((self.step, mean_objective, validation))
        self.objectives = []
        return validation

    def record(self, validation: float) -> dict[str, Any]:
        return {
            "step": self.step,
            "objective": self.curve[-1][1],
            "validation": validation,
            "best_validation": self.best_validation,
            "num_skipped": int(self.state.num_skipped),
            "num_rollbacks": int(self.state.num_rollbacks),
            "seconds": round(self.seconds, 3),
        }

    def progress(self, config, validation, speed) -> Progress:
        return Progress(
            step=self.step,
            num_steps=config.num_meta_steps,
            objective=self.objectives[-1] if self.objectives else self.curve[-1][1],
            validation=validation,
            best_validation=self.best_validation,
            num_skipped=int(self.state.num_skipped),
            num_rollbacks=int(self.state.num_rollbacks),
            steps_per_second=speed,
            seconds=self.seconds,
        )

    def finish(self, task, config, preset, seed, num_devices) -> TrainedOptimizer:
        steps, objectives, validations = np.array(self.curve).T
        return TrainedOptimizer(
            optimizer=self.best,
            task=tasks.name_of(task),
            preset=preset,
            seed=seed,
            config=dataclasses.asdict(config),
            metrics={
                "best_validation": self.best_validation,
                "best_step": self.best_step,
                "num_skipped": int(self.state.num_skipped),
                "num_rollbacks": int(self.state.num_rollbacks),
                "seconds": round(self.seconds, 1),
                "num_devices": num_devices,
            },
            curve={"steps": steps, "objectives": objectives, "validations": validations},
            snapshot_steps=self.snapshot_steps,
            snapshots=self.snapshots,
            provenance=provenance(task=repr(task), seed=seed, preset=preset),
        )


def _check(config: MetaTrainConfig) -> None:
    for name in ("num_steps", "batch_size", "num_meta_steps", "num_validation_problems", "validate_every"):
        check_count(name, getattr(config, name), hint="see the presets for customary values")
    check_count("num_snapshots", config.num_snapshots, minimum=2, hint="the first and the last are always kept")
    for name in ("learning_rate", "eps", "clip", "objective_cap", "spike_factor"):
        if getattr(config, name) != float("inf"):
            check_number(name, getattr(config, name), low=0, open_low=True, hint="see the presets")
    check_number("l2", config.l2, low=0, hint="0 switches it off")
    if config.spike_factor != float("inf") and not config.weight_average:
        raise ValueError("`spike_factor` sets weights back to their average; set `weight_average` too, such as 0.995.")
    check_number("weight_average", config.weight_average, low=0, high=1, hint="0 switches it off")


def _snapshot_steps(config: MetaTrainConfig) -> np.ndarray:
    spaced = np.geomspace(1, config.num_meta_steps, config.num_snapshots - 1).round().astype(int)
    return np.unique(np.concatenate([[0], spaced]))


def _num_devices(batch_size: int) -> int:
    """The most local devices that share a batch evenly."""
    return max(n for n in range(1, jax.local_device_count() + 1) if batch_size % n == 0)


def _key_data(key: PRNGKeyArray) -> list[int]:
    return np.asarray(jax.random.key_data(key)).tolist()


def _open_run(folder: Path, settings: dict[str, Any], resume: bool) -> None:
    manifest = folder / "run.json"
    if manifest.exists():
        if not resume:
            raise FileExistsError(
                f"{folder} already holds a run; pass --resume to go on with it, or choose another directory."
            )
        found = json.loads(manifest.read_text())
        wanted = json.loads(json.dumps(settings))
        different = [name for name in wanted if found.get(name) != wanted[name]]
        if different:
            raise ValueError(
                f"{folder} holds a run with another {' and '.join(different)}; resume it with its own settings "
                f"(see {manifest}), or choose another directory."
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(manifest, {**settings, "provenance": provenance()})


def _append_log(path: Path, record: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def _truncate_log(path: Path, step: int) -> None:
    """Drop the records after `step`, and a last line that was cut off."""
    kept = []
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    write_whole(path, "".join(kept).encode())


@contextlib.contextmanager
def _deferred_interrupt():
    """Let Ctrl-C set an event instead of raising in the middle of a step; a second Ctrl-C raises at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handler(signum, frame):
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)
