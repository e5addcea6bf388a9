"""Meta-train a learned optimizer: the loop around the meta-step, which can be stopped and resumed to the same bits."""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope import artifacts, tasks
from optoscope._provenance import provenance
from optoscope._types import PRNGKeyArray
from optoscope.artifacts import TrainedOptimizer
from optoscope.optimizers import GRUOptimizer
from optoscope.tasks import AbstractTask
from optoscope.training.checkpoints import load_checkpoint, save_checkpoint
from optoscope.training.config import PRESETS, MetaTrainConfig
from optoscope.training.config import preset as preset_of
from optoscope.training.memory import peak_bytes, resident_bytes
from optoscope.training.meta_step import (
    MetaState,
    batch_objective,
    initial_meta_state,
    make_meta_step,
    untrained,
)
from optoscope.training.objective import Purpose, sample_problems
from optoscope.training.run_checks import check_run
from optoscope.training.run_directory import append_record, open_run, read_records, rewrite_records
from optoscope.training.sharding import devices_for, replicate


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
    announce: Callable[[str], None] | None = None,
    stop_at: int | None = None,
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
        announce: called with sentences about the run, such as the memory that it will need.
        stop_at: meta-step at which to stop early, with a checkpoint; `resume` goes on from there.
        checkpoint_seconds: time between checkpoints.

    Returns:
        The best weights, with weights along meta-training, the validation curve and provenance.

    Raises:
        ValueError: if a setting is out of range, or `resume` finds a run with other settings.
        FileExistsError: if `directory` holds a run and `resume` is false.
        KeyboardInterrupt: on Ctrl-C, after the present meta-step is finished and saved.
    """
    segmented = check_run(task, config)
    folder = None if directory is None else Path(directory)
    settings = {"task": repr(task), "config": dataclasses.asdict(config), "key": _key_data(key)}
    if folder is not None:
        open_run(folder, settings, resume=resume)
    start = _Start(None, 0.0)
    if config.warm_start is not None:
        start = _warm_start(config.warm_start, key, folder, seed=seed, report=report, announce=announce)
    devices = devices_for(config.batch_size)
    phases = _Phases(task, segmented, devices, announce or (lambda sentence: None))
    objective = eqx.filter_jit(batch_objective)
    validation_set = sample_problems(task, Purpose.VALIDATE.key(key), config.num_validation_problems)
    validate = lambda optimizer: objective(optimizer, task, config, *validation_set)
    run = _Run.start(config, key, start.optimizer)
    if folder is not None and resume and (checkpoint := load_checkpoint(folder, run.arrays)) is not None:
        run.restore(checkpoint)
    if folder is not None:
        rewrite_records(folder, [record for record in read_records(folder) if record["step"] <= run.step])
    run.state, train_key = replicate((run.state, Purpose.TRAIN.key(key)), devices)
    end = min(config.num_meta_steps, stop_at or config.num_meta_steps)
    began, before, last_saved, first_step = time.monotonic(), run.seconds, time.monotonic(), run.step
    run.observe(validate)
    with _deferred_interrupt() as interrupted:
        while run.step < end and not interrupted.is_set():
            run.state, value = phases.at(run.step)(run.state, train_key)
            # Waiting for each step keeps several from queueing up, which can deadlock collectives on the CPU.
            run.objectives.append(float(value))
            run.step += 1
            run.seconds = before + time.monotonic() - began
            validation = run.observe(validate)
            if folder is not None and validation is not None:
                append_record(folder, run.record(validation))
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
    return run.finish(task, config, preset, seed, phases, start.seconds)


class _Phases:
    """The compiled meta-steps of a curriculum of unroll lengths, each compiled when its turn comes."""

    def __init__(self, task: AbstractTask, config: MetaTrainConfig, devices, announce: Callable[[str], None]):
        self.task, self.config, self.devices, self.announce = task, config, devices, announce
        self.ends = [*np.cumsum([length for _, length in config.curriculum]), config.num_meta_steps]
        self.num_steps = [steps for steps, _ in config.curriculum] + [config.num_steps]
        self.current: int | None = None
        self.predicted_bytes = 0

    def at(self, step: int) -> Callable:
        """Return the meta-step of the phase that `step` is in."""
        phase = int(np.searchsorted(self.ends, step, side="right"))
        if phase != self.current:
            config, unroll = self.config, self.num_steps[phase]
            length = config.segment_length if config.segment_length and unroll % config.segment_length == 0 else None
            config = dataclasses.replace(config, num_steps=unroll, segment_length=length)
            self.run, num_bytes = make_meta_step(self.task, config, self.devices)
            self.predicted_bytes = max(self.predicted_bytes, resident_bytes(self.devices) + num_bytes)
            self.announce(
                f"unroll of {unroll} steps in segments of {length or unroll} on {len(self.devices)} devices; predicted "
                f"peak memory {self.predicted_bytes / 1e9:.2f} GB"
            )
            self.current = phase
        return self.run


class _Start(NamedTuple):
    """Where a run starts, and the time that it took to get there."""

    optimizer: GRUOptimizer | None
    seconds: float


def _warm_start(name: str, key: PRNGKeyArray, folder: Path | None, *, announce, **settings) -> _Start:
    setting, separator, task = name.partition(":")
    if separator and setting in PRESETS:
        if announce is not None:
            announce(f"first {task}, preset {setting}")
        own_folder = None if folder is None else folder / "start"
        trained = meta_train(
            tasks.get(task), config=preset_of(setting, task), key=key, directory=own_folder, resume=True,
            preset=setting, announce=announce, **settings,
        )  # fmt: skip
        return _Start(trained.optimizer, trained.metrics["seconds"] + trained.metrics["seconds_of_start"])
    return _Start(artifacts.load_trained(name).optimizer, 0.0)


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
    def start(config: MetaTrainConfig, key: PRNGKeyArray, warm: GRUOptimizer | None) -> "_Run":
        optimizer = untrained(config, Purpose.INITIALIZE.key(key))
        if warm is not None:
            optimizer = warm.embedded_in(optimizer)
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

    def finish(self, task, config, preset, seed, phases: _Phases, seconds_of_start: float) -> TrainedOptimizer:
        steps, objectives, validations = np.array(self.curve).T
        return TrainedOptimizer(
            optimizer=_in_float32(self.best, config),
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
                "seconds_of_start": round(seconds_of_start, 1),
                "num_devices": len(phases.devices),
                "predicted_peak_gigabytes": round(phases.predicted_bytes / 1e9, 3),
                "peak_gigabytes": round(peak_bytes(phases.devices) / 1e9, 3),
            },
            curve={"steps": steps, "objectives": objectives, "validations": validations},
            snapshot_steps=self.snapshot_steps,
            snapshots=_in_float32(self.snapshots, config),
            provenance=provenance(task=repr(task), seed=seed, preset=preset),
        )


def _in_float32(optimizer: GRUOptimizer, config: MetaTrainConfig) -> GRUOptimizer:
    """The same weights, to be run in float32 whatever they were trained in."""
    plain = jax.eval_shape(lambda: untrained(dataclasses.replace(config, bfloat16=False), jax.random.key(0)))
    return jax.tree.unflatten(jax.tree.structure(plain), jax.tree.leaves(optimizer))


def _snapshot_steps(config: MetaTrainConfig) -> np.ndarray:
    # From the end, so that of a single one it is the last.
    spaced = np.geomspace(config.num_meta_steps, 1, config.num_snapshots - 1).round().astype(int)
    return np.unique(np.concatenate([[0], spaced]))


def _key_data(key: PRNGKeyArray) -> list[int]:
    return np.asarray(jax.random.key_data(key)).tolist()


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
