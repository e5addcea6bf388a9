"""A recording read as one: what a training run did at each step."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from optoscope._core.files import DamagedFileError
from optoscope._core.progress import Announce, silent
from optoscope._core.results import Result
from optoscope._core.tables import Table
from optoscope.recordings.files import read_process


@dataclasses.dataclass(frozen=True)
class Recording(Result):
    """What a training run did, step by step.

    Two axes count steps: `step` for what is known of every step (where the bound of a long recording was reached, of
    every second or fourth one), `kept` for those whose components were kept. Where something was not seen it is NaN.

    Attributes:
        framework: "torch" or "jax".
        optimizer: name of its class, or what it was called.
        parameters: of each array of parameters its `name`, `shape`, `group`, and `role`: "weight", "bias",
            "normalization" or "embedding".
        setting_names: numbers that the optimizer's groups hold, such as `lr`.
        state_names: what the optimizer keeps for each component.
        state_types: with how many bits it keeps them, such as "float32".
        component_parameters: of each component, which array of parameters it belongs to.
        component_indices: and where in it, flattened.
        steps: number of each step, from 0.
        sessions: 0, and one more each time that the run was taken up again.
        seconds: since the session began.
        losses: the value whose gradient the step got.
        backward_passes: that made up its gradient.
        loss_scales: factor of mixed precision.
        scheduler_steps: how often the scheduler had moved.
        settings: of each group, as they were when the step was taken.
        clocks: each group's own count of steps.
        gradient_norms, update_norms, parameter_norms: over all parameters; the gradient's as the optimizer got it.
        clip_factors: what all gradients were multiplied by on their way to the optimizer; NaN if that was not one
            number.
        kept_steps: numbers of the steps whose components were kept.
        x: parameters before the step.
        raw_gradients: as the backward pass left them, without the scale of mixed precision.
        gradients: as the optimizer got them.
        updates: `x` after the step minus `x` before it.
        states: what the optimizer keeps, after the step.
        layer_gradient_norms, layer_update_norms, layer_parameter_norms: of each array of parameters.
        margin_steps, margins: where the margin was measured, and what it was.
        provenance: who recorded it.
    """

    framework: str
    optimizer: str
    parameters: list[dict[str, Any]]
    setting_names: list[str]
    state_names: list[str]
    state_types: list[str]
    component_parameters: Int[np.ndarray, " component"]
    component_indices: Int[np.ndarray, " component"]
    steps: Int[np.ndarray, " step"]
    sessions: Int[np.ndarray, " step"]
    seconds: Float[np.ndarray, " step"]
    losses: Float[np.ndarray, " step"]
    backward_passes: Float[np.ndarray, " step"]
    loss_scales: Float[np.ndarray, " step"]
    scheduler_steps: Float[np.ndarray, " step"]
    settings: Float[np.ndarray, "step group setting"]
    clocks: Float[np.ndarray, "step group"]
    gradient_norms: Float[np.ndarray, " step"]
    update_norms: Float[np.ndarray, " step"]
    parameter_norms: Float[np.ndarray, " step"]
    clip_factors: Float[np.ndarray, " step"]
    kept_steps: Int[np.ndarray, " kept"]
    x: Float[np.ndarray, "kept component"]
    raw_gradients: Float[np.ndarray, "kept component"]
    gradients: Float[np.ndarray, "kept component"]
    updates: Float[np.ndarray, "kept component"]
    states: Float[np.ndarray, "kept component state"]
    layer_gradient_norms: Float[np.ndarray, "kept parameter"]
    layer_update_norms: Float[np.ndarray, "kept parameter"]
    layer_parameter_norms: Float[np.ndarray, "kept parameter"]
    margin_steps: Int[np.ndarray, " margin"]
    margins: Float[np.ndarray, " margin"]
    provenance: dict[str, Any]

    @property
    def headline(self) -> str:
        """What was recorded."""
        last = "no steps" if not len(self.steps) else f"steps {self.steps[0]} to {self.steps[-1]}"
        return (
            f"{self.optimizer} in {self.framework}: {last}, {len(self.kept_steps)} of them with "
            f"{len(self.component_indices)} components of {len(self.parameters)} arrays of parameters"
        )

    def tables(self) -> list[Table]:
        """The arrays of parameters."""
        columns = ["name", "role", "group", "shape"]
        return [Table("parameters", columns, [[one[key] for key in columns] for one in self.parameters])]

    @property
    def kept_rows(self) -> Int[np.ndarray, " kept"]:
        """Where in `steps` the kept steps are."""
        return np.searchsorted(self.steps, self.kept_steps)

    @property
    def component_groups(self) -> Int[np.ndarray, " component"]:
        """Of each component, the optimizer's group that it belongs to."""
        return np.array([one["group"] for one in self.parameters], int)[self.component_parameters]

    def setting(self, name: str) -> Float[np.ndarray, "step group"]:
        """Return a number of the groups at each step; NaN where they do not have it."""
        if name not in self.setting_names:
            return np.full(self.settings.shape[:2], np.nan)
        return self.settings[:, :, self.setting_names.index(name)]

    def windows(self) -> list[slice]:
        """Return the stretches of kept rows that follow each other without a gap."""
        if not len(self.kept_steps):
            return []
        breaks = np.flatnonzero(np.diff(self.kept_steps) != self.stride) + 1
        ends = [0, *breaks.tolist(), len(self.kept_steps)]
        return [slice(a, b) for a, b in itertools.pairwise(ends)]

    @property
    def stride(self) -> int:
        """Steps from one that was recorded to the next."""
        return int(self.provenance["settings"]["every"])


def read_recording(directory: str | Path, *, announce: Announce = silent) -> Recording:
    """Read a recording; the parts of several processes become one.

    Processes that hold the same parameters (replicas) are averaged in their losses; else their parameters stand beside
    each other, at the steps that all of them have.

    Args:
        directory: what was given to `record`.
        announce: told of parts that are damaged and passed over.

    Returns:
        The recording.

    Raises:
        FileNotFoundError: if there is none.
        DamagedFileError: if what says what was recorded is damaged.
    """
    directory = Path(directory)
    found = sorted(directory.glob("process-*.json"))
    if not found:
        raise FileNotFoundError(
            f"{directory} holds no recording; `optoscope.record(optimizer, {str(directory)!r})` in a training script "
            "makes one."
        )
    processes = [read_process(directory, path, announce) for path in found]
    processes = [(about, arrays) for about, arrays in processes if "each.step" in arrays]
    if not processes:
        raise DamagedFileError(f"{directory} holds the beginning of a recording, and no step yet; let it run on.")
    return as_recording(*_as_one(processes))


def as_recording(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Recording:
    """Return a recording of what is recorded, as its files say it, and of the rows.

    Args:
        about: what is recorded.
        arrays: `each.` and `kept.` arrays.
    """
    each = {name.removeprefix("each."): array for name, array in arrays.items() if name.startswith("each.")}
    kept = {name.removeprefix("kept."): array for name, array in arrays.items() if name.startswith("kept.")}
    num, components = len(each["step"]), len(about["components"]["index"])
    names = sorted(name.removeprefix("state.") for name in kept if name.startswith("state."))
    blank = np.full(num, np.nan)
    of = lambda name: np.asarray(each.get(name, blank), np.float64)
    sampled = lambda name: np.asarray(kept.get(name, np.zeros((0, components))), np.float64)
    layers = lambda name: np.asarray(kept.get(name, np.zeros((0, len(about["parameters"])))), np.float64)
    states = [sampled(f"state.{name}") for name in names]
    kept_steps = np.asarray(kept.get("step", np.zeros(0, int)), int)
    groups = max(one["group"] for one in about["parameters"]) + 1
    margins = of("margin")
    return Recording(
        framework=about["framework"],
        optimizer=about["optimizer"],
        parameters=about["parameters"],
        setting_names=about["setting_names"],
        state_names=names,
        state_types=[about["state_types"].get(name, "float32") for name in names],
        component_parameters=np.asarray(about["components"]["parameter"], int),
        component_indices=np.asarray(about["components"]["index"], int),
        steps=np.asarray(each["step"], int),
        sessions=np.asarray(each.get("session", np.zeros(num)), int),
        seconds=of("second"),
        losses=of("loss"),
        backward_passes=of("backward_passes"),
        loss_scales=of("loss_scale"),
        scheduler_steps=of("scheduler_step"),
        settings=np.asarray(each.get("settings", np.zeros((num, groups, 0))), np.float64),
        clocks=np.asarray(each.get("clock", np.full((num, groups), np.nan)), np.float64),
        gradient_norms=of("gradient_norm"),
        update_norms=of("update_norm"),
        parameter_norms=of("parameter_norm"),
        clip_factors=of("clip_factor"),
        kept_steps=kept_steps,
        x=sampled("x"),
        raw_gradients=sampled("raw"),
        gradients=sampled("gradient"),
        updates=sampled("update"),
        states=np.stack(states, -1) if states else np.zeros((len(kept_steps), components, 0)),
        layer_gradient_norms=layers("gradient_norms"),
        layer_update_norms=layers("update_norms"),
        layer_parameter_norms=layers("parameter_norms"),
        margin_steps=np.asarray(each["step"], int)[np.isfinite(margins)],
        margins=margins[np.isfinite(margins)],
        provenance=about["provenance"],
    )


def _as_one(processes: list[tuple[dict[str, Any], dict[str, np.ndarray]]]) -> tuple[dict[str, Any], dict[str, Any]]:
    (about, first), *others = processes
    if not others:
        return about, first
    for kind in ("each.step", "kept.step"):
        common = first[kind]
        for _, arrays in others:
            common = np.intersect1d(common, arrays[kind])
        for _, arrays in processes:
            rows = np.isin(arrays[kind], common)
            arrays.update({k: v[rows] for k, v in arrays.items() if k.startswith(kind[:5])})
    merged = dict(first)
    if all(other["parameters"] == about["parameters"] for other, _ in others):
        if "each.loss" in first:
            merged["each.loss"] = np.mean([arrays["each.loss"] for _, arrays in processes], axis=0)
        return about, merged
    parameters, owners = [], []
    for one, _ in processes:
        owners += [len(parameters) + k for k in one["components"]["parameter"]]
        parameters += one["parameters"]
    for name in first:
        if name.startswith("kept.") and name != "kept.step":
            merged[name] = np.concatenate([arrays[name] for _, arrays in processes], axis=1)
    for name in ("gradient_norm", "update_norm", "parameter_norm"):
        merged[f"each.{name}"] = np.sqrt(sum(arrays[f"each.{name}"] ** 2 for _, arrays in processes))
    indices = [k for one, _ in processes for k in one["components"]["index"]]
    return {**about, "parameters": parameters, "components": {"parameter": owners, "index": indices}}, merged
