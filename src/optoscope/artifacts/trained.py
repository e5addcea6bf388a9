"""Trained and tuned optimizers on disk: arrays in safetensors, everything else in JSON beside it.

An artifact is a pair `NAME.safetensors` and `NAME.json`. The JSON is written last and holds the hash of the arrays,
and one of its own, so that a pair is whole or refused. Nothing in either file is ever executed.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from optoscope._core.annotations import check_annotations
from optoscope._core.artifact_files import FORMAT, SCHEMA_VERSION, find, read_arrays, read_header
from optoscope._core.artifact_files import ArtifactError as ArtifactError
from optoscope._core.artifact_files import shipped as shipped
from optoscope._core.artifact_files import shipped_for as shipped_for
from optoscope._core.files import DamagedFileError, digest, pack_arrays, sealed, write_json, write_whole
from optoscope.optimizers import AbstractOptimizer, GRUOptimizer
from optoscope.optimizers import get as get_optimizer
from optoscope.optimizers.gru import WEIGHTS

# What of each class goes into the JSON, and of a tuned optimizer into the arrays.
_TRAINED_DATA = ("task", "preset", "seed", "config", "metrics", "provenance")
_TUNED_DATA = ("task", "rule", "seed", "names", "scales", "ranges", "winner", "widened", "settings", "provenance")
_TUNED_ARRAYS = ("samples", "scores", "stages_reached")


@dataclasses.dataclass(frozen=True)
class TrainedOptimizer:
    """A learned optimizer with where it comes from.

    Attributes:
        optimizer: the weights that were best on the validation problems.
        task: the task's registered name.
        preset: the name of the settings.
        seed: the seed of the run.
        config: all settings.
        metrics: `best_validation`, `best_step`, `num_skipped`, `seconds`, ...
        curve: vectors `steps`, `objectives` (mean over the batches since the last), `validations`, and
            `finite_shares`: the share of the validation problems over which these are the mean.
        snapshot_steps: meta-steps at which weights were kept.
        snapshots: those weights: an optimizer whose leaves have a leading snapshot axis.
        provenance: versions, time and machine kind.
    """

    optimizer: GRUOptimizer
    task: str
    preset: str
    seed: int | None
    config: dict[str, Any]
    metrics: dict[str, Any]
    curve: dict[str, Float[np.ndarray, " step"]]
    snapshot_steps: Int[np.ndarray, " snapshot"]
    snapshots: GRUOptimizer
    provenance: dict[str, Any]

    def snapshot(self, index: int) -> GRUOptimizer:
        """Return the optimizer as it was at `snapshot_steps[index]`."""
        return jax.tree.map(lambda leaf: leaf[index], self.snapshots)

    @property
    def untrained(self) -> GRUOptimizer:
        """The network before any meta-training.

        These are its first weights; where those were not kept, or were learned elsewhere (a warm start), a network of
        the same size and scales, drawn by the seed.
        """
        first = self.snapshot(0)
        if self.config.get("warm_start") is None and self.snapshot_steps[0] == 0:
            return first
        return GRUOptimizer.create(
            first.num_units,
            key=jax.random.key(self.seed or 0),
            input_scale=first.input_scale,
            output_scale=first.output_scale,
            input_kind=first.input_kind,
            bfloat16=first.bfloat16,
        )

    def save(self, path: str | Path) -> Path:
        """Write `PATH.safetensors` and `PATH.json`; returns the path of the JSON."""
        arrays = {f"optimizer.{k}": v for k, v in _leaves(self.optimizer).items()}
        arrays |= {f"snapshots.{k}": v for k, v in _leaves(self.snapshots).items()}
        arrays |= {f"curve.{k}": v for k, v in self.curve.items()}
        arrays["snapshot_steps"] = self.snapshot_steps
        return _write(path, "trained", arrays, {name: getattr(self, name) for name in _TRAINED_DATA})


@dataclasses.dataclass(frozen=True)
class TunedOptimizer:
    """A hand-designed optimizer with its best hyperparameters on a task, and every sample that was tried.

    Attributes:
        optimizer: the winner.
        task, rule: registered names.
        seed: the seed of the search.
        names: the hyperparameters that were searched.
        scales: for each, `log` or `one_minus_log` (the logarithm of the distance to 1).
        ranges: for each, the lowest and highest value searched in the end.
        samples: every setting [sample, hyperparameter].
        scores: mean meta-objective of each sample in the last stage of the search that it reached; infinite where a
            run diverged.
        stages_reached: that stage, from 0; the best in the last one is the winner.
        winner: index of the winner among the samples.
        widened: one sentence for each time that a range was widened because the winner lay on its edge.
        settings: number of samples, the stages, and what checking early dropped samples again found.
        provenance: versions, time and machine kind.
    """

    optimizer: AbstractOptimizer
    task: str
    rule: str
    seed: int | None
    names: list[str]
    scales: list[str]
    ranges: list[list[float]]
    samples: Float[np.ndarray, "sample hyperparameter"]
    scores: Float[np.ndarray, " sample"]
    stages_reached: Int[np.ndarray, " sample"]
    winner: int
    widened: list[str]
    settings: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The winning value of each hyperparameter that was searched."""
        return dict(zip(self.names, self.samples[self.winner].tolist()))

    @property
    def score(self) -> float:
        """The winner's score in the last stage."""
        return float(self.scores[self.winner])

    def save(self, path: str | Path) -> Path:
        """Write `PATH.safetensors` and `PATH.json`; returns the path of the JSON."""
        arrays = {name: getattr(self, name) for name in _TUNED_ARRAYS}
        return _write(path, "tuned", arrays, {name: getattr(self, name) for name in _TUNED_DATA})


def load(name_or_path: str | Path) -> TrainedOptimizer | TunedOptimizer:
    """Load a shipped optimizer by name, or any artifact by its path.

    Args:
        name_or_path: a name from `shipped()`, the path of one of an artifact's two files (with or without its ending),
            or a directory that holds one artifact.

    Returns:
        The artifact; its `optimizer` is the optimizer.

    Raises:
        ArtifactError: if the files are damaged, cut off, from a newer version or something else.
        FileNotFoundError: if there is nothing of that name.

    >>> load("linear_regression").optimizer.num_units
    32
    """
    stem = find(name_or_path)
    data = read_header(stem.with_name(stem.name + ".json"))
    arrays = read_arrays(stem.with_name(stem.name + ".safetensors"), data)
    try:
        return _trained(arrays, data) if data["kind"] == "trained" else _tuned(arrays, data)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ArtifactError(f"{stem.name} misses a part of an optoscope artifact: {error}. Make it again.") from None
    except DamagedFileError as error:
        raise ArtifactError(f"{stem.name} is not whole: {error}") from None


def load_trained(name_or_path: str | Path) -> TrainedOptimizer:
    """Load a learned optimizer; as `load`, and a tuned one is refused.

    Args:
        name_or_path: as for `load`.

    Returns:
        The learned optimizer.

    Raises:
        ArtifactError: as `load`, or if the artifact is a tuned optimizer.
        FileNotFoundError: if there is nothing of that name.

    >>> load_trained("linear_regression").preset
    'fast'
    """
    loaded = load(name_or_path)
    if isinstance(loaded, TunedOptimizer):
        raise ArtifactError(f"{name_or_path} is a tuned {loaded.rule}; a learned optimizer is needed here.")
    return loaded


def _write(path: str | Path, kind: str, arrays: dict[str, np.ndarray], data: dict[str, Any]) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = pack_arrays({name: np.asarray(array) for name, array in arrays.items()})
    header = {"format": FORMAT, "schema_version": SCHEMA_VERSION, "kind": kind}
    write_whole(path.with_name(path.name + ".safetensors"), content)
    target = path.with_name(path.name + ".json")
    write_json(target, sealed({**header, **data, "sha256": digest(content)}))
    return target


def _leaves(optimizer: GRUOptimizer) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(optimizer, name)) for name in WEIGHTS}


def _trained(arrays, data) -> TrainedOptimizer:
    config = data["config"]
    settings = {name: config[name] for name in ("input_scale", "output_scale", "input_kind")}

    def network(prefix, leading=()):
        weights = {name: arrays[f"{prefix}.{name}"] for name in WEIGHTS}
        units, inputs = config["num_units"], 1 if config["input_kind"] == "gradient" else 2
        shapes = [
            (inputs, 3 * units),
            (units, 2 * units),
            (units, units),
            (3 * units,),
            (units,),
            (),
            (units,),
        ]
        for (name, weight), shape in zip(weights.items(), shapes, strict=True):
            if weight.shape != (*leading, *shape) or weight.dtype != np.float32:
                raise ArtifactError(
                    f"{prefix}.{name} has shape {weight.shape} and type {weight.dtype}, expected "
                    f"{(*leading, *shape)} and float32; make the artifact again."
                )
            if not np.isfinite(weight).all():
                raise ArtifactError(f"{prefix}.{name} holds numbers that are not finite; train the optimizer again.")
        # Built from its structure: snapshots carry an axis that the class's annotations do not name.
        skeleton = GRUOptimizer.create(1, key=jax.random.key(0), **settings)
        return jax.tree.unflatten(jax.tree.structure(skeleton), list(weights.values()))

    steps = arrays["snapshot_steps"]
    parts = {name: data[name] for name in _TRAINED_DATA} | {"snapshot_steps": steps}
    check_annotations(TrainedOptimizer, parts, "the artifact")
    return TrainedOptimizer(
        optimizer=network("optimizer"),
        snapshots=network("snapshots", (len(steps),)),
        snapshot_steps=steps,
        curve={name.removeprefix("curve."): array for name, array in arrays.items() if name.startswith("curve.")},
        **{name: data[name] for name in _TRAINED_DATA},
    )


def _tuned(arrays, data) -> TunedOptimizer:
    parts = {name: data[name] for name in _TUNED_DATA} | {name: arrays[name] for name in _TUNED_ARRAYS}
    check_annotations(TunedOptimizer, parts, "the artifact")
    best = dict(zip(data["names"], arrays["samples"][data["winner"]].tolist(), strict=True))
    return TunedOptimizer(
        optimizer=get_optimizer(data["rule"])(**best),
        **{name: arrays[name] for name in _TUNED_ARRAYS},
        **{name: data[name] for name in _TUNED_DATA},
    )
