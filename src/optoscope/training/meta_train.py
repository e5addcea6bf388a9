"""Meta-train a learned optimizer: the loop around the meta-step, which can be stopped and resumed to the same bits."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from optoscope import artifacts, tasks
from optoscope._core.fingerprint import fingerprint
from optoscope._core.interrupts import deferred
from optoscope._core.progress import Announce, silent
from optoscope._core.provenance import provenance
from optoscope._core.types import PRNGKeyArray
from optoscope.artifacts import TrainedOptimizer
from optoscope.optimizers import GRUOptimizer
from optoscope.running.problems import Purpose
from optoscope.running.run_log import RunLog, open_run
from optoscope.running.share_out import devices_for, replicate
from optoscope.tasks import AbstractTask
from optoscope.training.checkpoints import load_checkpoint, save_checkpoint
from optoscope.training.config import PRESETS, MetaTrainConfig
from optoscope.training.config import preset as preset_of
from optoscope.training.memory import peak_bytes, resident_bytes
from optoscope.training.meta_step import (
    MetaState,
    initial_meta_state,
    make_meta_step,
    untrained,
)
from optoscope.training.run_checks import check_run
from optoscope.training.validation import NOTHING, Validation, make_validation

#: Work that a kill may cost, unless saving would take more than this share of the time.
_SECONDS_AT_RISK, _SHARE_OF_SAVING = 1.0, 0.02
#: With an average to go back to, weights are checked after this many meta-steps in a row that were not applied. Without
#: one after as many as lie between validations: dozens may fail only because of the problems they drew.
_PATIENCE = 3


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
    report: Callable[[Progress], Any] = silent,
    announce: Announce = silent,
    stop_at: int | None = None,
    checkpoint_seconds: float | None = None,
) -> TrainedOptimizer:
    """Meta-train a GRU optimizer on a task by backpropagation through whole unrolls (App. D.2), or by evolution.

    Problems are shared out over all local devices as far as the batch size allows. A meta-step whose objective or
    gradient is not finite is skipped and counted, never applied; if the weights have blown up, the run goes on from the
    best so far. Those are the weights with which the fewest validation problems, which are never trained on, have an
    objective that is not finite, and among them those with the best mean over the other problems.

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
        checkpoint_seconds: time between checkpoints, which are made after a meta-step; if None a second, or longer
            where saving would take more than 2% of the time.

    Returns:
        The best weights, with weights along meta-training, the validation curve and provenance.

    Raises:
        ValueError: if a setting is out of range, `resume` finds a run with other settings, or no validation problem
            has a finite objective before meta-training.
        FileExistsError: if `directory` holds a run and `resume` is false.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, after the present meta-step is finished and saved; SIGTERM first goes
            to its handler, and without one ends the process. A second signal does not wait.
    """
    segmented = check_run(task, config)
    folder = None if directory is None else Path(directory)
    devices = devices_for(config.batch_size)
    settings = {"task": repr(task), "task_hash": fingerprint(task), "config": dataclasses.asdict(config)}
    given = _given_start(config.warm_start)
    settings |= {"key": fingerprint(key), "num_devices": len(devices), "start": given and fingerprint(given)}
    with open_run(folder, settings, resume=resume, announce=announce) as log:
        return _train(
            log, task, config, segmented, key, given, preset=preset, seed=seed, report=report, announce=announce,
            stop_at=stop_at, checkpoint_seconds=checkpoint_seconds,
        )  # fmt: skip


def _train(
    log: RunLog, task: AbstractTask, config: MetaTrainConfig, segmented: MetaTrainConfig, key: PRNGKeyArray,
    given: GRUOptimizer | None, *, preset, seed, report, announce, stop_at, checkpoint_seconds,
) -> TrainedOptimizer:  # fmt: skip
    folder = log.folder
    start = _Start(given, 0.0)
    if config.warm_start is not None and given is None:
        start = _warm_start(config.warm_start, key, folder, seed=seed, report=report, announce=announce)
    devices = devices_for(config.batch_size)
    phases = _Phases(task, segmented, devices, announce)
    validate = make_validation(task, config, key)
    run = _Run.start(task, config, key, start.optimizer, announce)
    if folder is not None:
        checkpoint = load_checkpoint(folder, run.arrays, run=log.identity, announce=announce)
        if checkpoint is not None:
            run.restore(checkpoint)
    log.keep([record for record in log.records if record["step"] <= run.step])
    run.state, train_key = replicate((run.state, Purpose.TRAIN.key(key)), devices)
    end = min(config.num_meta_steps, stop_at or config.num_meta_steps)
    began, before, due, first_step = time.monotonic(), run.seconds, 0.0, run.step
    run.observe(validate)
    while run.step < end:
        meta_step = phases.at(run.step)  # it may have to be compiled: nothing is unsaved meanwhile
        with deferred() as interruption:
            while run.step < min(end, phases.end) and interruption.signum is None:
                run.state, value = meta_step(run.state, train_key)
                # Waiting for each step keeps several from queueing up, which can deadlock collectives on the CPU.
                run.objectives.append(float(value))
                run.step += 1
                run.seconds = before + time.monotonic() - began
                run.go_back_if_lost(validate, devices)
                validation = run.observe(validate)
                if validation is not None:
                    log.append(run.record(validation))
                speed = (run.step - first_step) / max(run.seconds - before, 1e-9)
                report(run.progress(config, validation, speed))
                if folder is not None and time.monotonic() >= due:
                    due = _save(log, run, checkpoint_seconds)
            if folder is not None:
                due = _save(log, run, checkpoint_seconds)
        interruption.deliver(f"stopped after meta-step {run.step}")
    return run.finish(task, config, preset, seed, phases, start.seconds)


def _save(log: RunLog, run: "_Run", seconds: float | None) -> float:
    """Save a checkpoint; returns the time at which the next one is due."""
    began = time.monotonic()
    assert log.folder is not None
    save_checkpoint(log.folder, run.step, run.arrays, run.data, run=log.identity)
    saved = time.monotonic()
    return saved + (max(_SECONDS_AT_RISK, (saved - began) / _SHARE_OF_SAVING) if seconds is None else seconds)


class _Phases:
    """The compiled meta-steps of a curriculum of unroll lengths, each compiled when its turn comes."""

    def __init__(self, task: AbstractTask, config: MetaTrainConfig, devices, announce: Announce):
        self.task, self.config, self.devices, self.announce = task, config, devices, announce
        self.ends = [*np.cumsum([length for _, length in config.curriculum]), config.num_meta_steps]
        self.num_steps = [steps for steps, _ in config.curriculum] + [config.num_steps]
        self.current: int | None = None
        self.end = 0
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
            self.current, self.end = phase, int(self.ends[phase])
        return self.run


class _Start(NamedTuple):
    """Where a run starts, and the time that it took to get there."""

    optimizer: GRUOptimizer | None
    seconds: float


def _given_start(name: str | None) -> GRUOptimizer | None:
    """The optimizer that a warm start names, unless it is one that is trained first."""
    if name is None or (":" in name and name.partition(":")[0] in PRESETS):
        return None
    return artifacts.load_trained(name).optimizer


def _warm_start(name: str, key: PRNGKeyArray, folder: Path | None, *, announce, **settings) -> _Start:
    setting, _, task = name.partition(":")
    announce(f"first {task}, preset {setting}")
    own_folder = None if folder is None else folder / "start"
    trained = meta_train(
        tasks.get(task), config=preset_of(setting, task), key=key, directory=own_folder, resume=True,
        preset=setting, announce=announce, **settings,
    )  # fmt: skip
    return _Start(trained.optimizer, trained.metrics["seconds"] + trained.metrics["seconds_of_start"])


class _Run:
    """What is saved in a checkpoint, and the bookkeeping on it."""

    def __init__(self, config: MetaTrainConfig, state: MetaState, announce: Announce):
        self.config = config
        self.announce = announce
        self.said: set[str] = set()
        self.state = state
        self.best: GRUOptimizer = jax.tree.map(np.asarray, state.average)
        self.snapshot_steps = _snapshot_steps(config)
        self.snapshots: GRUOptimizer = jax.tree.map(
            lambda leaf: np.zeros((len(self.snapshot_steps), *leaf.shape), leaf.dtype), self.best
        )
        self.step, self.seconds = 0, 0.0
        self.best_validation = NOTHING
        self.best_step = 0
        #: step, mean batch objective since the last, validation and its share of finite problems
        self.curve: list[tuple[int, float, float, float]] = []
        self.objectives: list[float] = []
        self.counts = (0, 0)  # meta-steps skipped, and rolled back
        self.num_lost = 0  # in a row

    @staticmethod
    def start(
        task: AbstractTask, config: MetaTrainConfig, key: PRNGKeyArray, warm: GRUOptimizer | None, announce: Announce
    ) -> "_Run":
        optimizer = untrained(config, Purpose.INITIALIZE.key(key))
        if warm is not None:
            optimizer = warm.embedded_in(optimizer)
        return _Run(config, initial_meta_state(optimizer, config, task), announce)

    @property
    def arrays(self):
        return {"state": self.state, "best": self.best, "snapshots": self.snapshots}

    @property
    def data(self) -> dict[str, Any]:
        names = ("step", "seconds", "best_validation", "best_step", "curve", "objectives", "num_lost")
        return {name: getattr(self, name) for name in names}

    def restore(self, checkpoint) -> None:
        self.state = jax.tree.map(jnp.asarray, checkpoint.arrays["state"])
        self.best, self.snapshots = checkpoint.arrays["best"], checkpoint.arrays["snapshots"]
        for name, value in checkpoint.data.items():
            setattr(self, name, value)
        self.best_validation = Validation(*self.best_validation)
        self.counts = self._counts()

    def observe(self, validate) -> float | None:
        """Keep a snapshot and validate, where the step asks for it."""
        if self.step in self.snapshot_steps:
            row = int(np.searchsorted(self.snapshot_steps, self.step))
            jax.tree.map(lambda all_, leaf: all_.__setitem__(row, np.asarray(leaf)), self.snapshots, self.state.average)
        due = self.step % self.config.validate_every == 0 or self.step == self.config.num_meta_steps
        if not due or (self.curve and self.curve[-1][0] == self.step):
            return None
        validation = self._validate(validate)
        mean_objective = float(np.mean(self.objectives)) if self.objectives else float("nan")
        self.curve.append((self.step, mean_objective, validation.objective, validation.finite_share))
        self.objectives = []
        if validation.finite_share == 0 and self.step == 0:
            raise ValueError(
                f"before meta-training, the objective is finite on none of the {self.config.num_validation_problems} "
                "validation problems; make sure that the task's loss is finite where its problems start."
            )
        if validation.finite_share < 1:
            self._say_once(
                f"on {1 - validation.finite_share:.2%} of the validation problems the objective is not finite; weights "
                "are judged by how many these are, then by the mean over the others",
                "validation",
            )
        return validation.objective

    def _validate(self, validate) -> Validation:
        """Validate the average, and keep it if it is the best."""
        # Fetched first, so that validation runs on one device whatever the meta-step ran on.
        weights = jax.tree.map(np.asarray, self.state.average)
        validation = validate(weights)
        if validation.beats(self.best_validation):
            self.best, self.best_validation, self.best_step = weights, validation, self.step
        return validation

    def go_back_if_lost(self, validate, devices) -> None:
        """Where meta-steps are no longer applied because the weights have blown up, go on from the best so far.

        A step that is not applied goes back to the average of the weights. Where that has blown up with them, every
        later one would go back to it too.
        """
        before, self.counts = self.counts, self._counts()
        if self.counts == before:
            self.num_lost = 0
            return
        self.num_lost += 1
        is_spike = self.counts[0] == before[0]
        if not is_spike:
            self._say_once("the objective or its gradient is not finite; such steps are skipped and counted", "skipped")
        times, rest = divmod(self.num_lost, _PATIENCE if self.config.weight_average else self.config.validate_every)
        if rest or times & (times - 1):  # checked after so many, twice as many, four times as many, ...
            return
        validation = self._validate(validate)
        if validation.finite_share < self.best_validation.finite_share or (
            is_spike and validation.objective > self.best_validation.objective
        ):
            self._say_once(f"the weights have blown up; back to those of meta-step {self.best_step}", "blown up")
            validation = self.best_validation
            weights = tuple(jax.tree.map(jnp.array, self.best) for _ in range(2))  # each is given away
            self.state = eqx.tree_at(lambda state: (state.optimizer, state.average), self.state, weights)
        running = jnp.asarray(validation.objective, self.state.running_objective.dtype)
        self.state = replicate(eqx.tree_at(lambda state: state.running_objective, self.state, running), devices)

    def _counts(self) -> tuple[int, int]:
        return int(self.state.num_skipped), int(self.state.num_rollbacks)

    def _say_once(self, sentence: str, kind: str) -> None:
        if kind not in self.said:
            self.said.add(kind)
            self.announce(f"meta-step {self.step}: {sentence}")

    def record(self, validation: float) -> dict[str, Any]:
        return {
            "step": self.step,
            "objective": self.curve[-1][1],
            "validation": validation,
            "finite_share": self.curve[-1][3],
            "best_validation": self.best_validation.objective,
            "num_skipped": self.counts[0],
            "num_rollbacks": self.counts[1],
            "seconds": round(self.seconds, 3),
        }

    def progress(self, config, validation, speed) -> Progress:
        return Progress(
            step=self.step,
            num_steps=config.num_meta_steps,
            objective=self.objectives[-1] if self.objectives else self.curve[-1][1],
            validation=validation,
            best_validation=self.best_validation.objective,
            num_skipped=self.counts[0],
            num_rollbacks=self.counts[1],
            steps_per_second=speed,
            seconds=self.seconds,
        )

    def finish(self, task, config, preset, seed, phases: _Phases, seconds_of_start: float) -> TrainedOptimizer:
        return TrainedOptimizer(
            optimizer=_in_float32(self.best, config),
            task=tasks.name_of(task),
            preset=preset,
            seed=seed,
            config=dataclasses.asdict(config),
            metrics={
                "best_validation": self.best_validation.objective,
                "best_step": self.best_step,
                "finite_share": self.best_validation.finite_share,
                "num_skipped": self.counts[0],
                "num_rollbacks": self.counts[1],
                "seconds": round(self.seconds, 1),
                "seconds_of_start": round(seconds_of_start, 1),
                "num_devices": len(phases.devices),
                "predicted_peak_gigabytes": round(phases.predicted_bytes / 1e9, 3),
                "peak_gigabytes": round(peak_bytes(phases.devices) / 1e9, 3),
            },
            curve=dict(zip(("steps", "objectives", "validations", "finite_shares"), np.array(self.curve).T)),
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
