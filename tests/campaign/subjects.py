"""The files that are damaged, and how optoscope reads each: by the calls that people make."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.campaign.trees import stable
from tests.campaign.workloads import TINY


class Subject(NamedTuple):
    """A kind of file.

    Attributes:
        folder: what is read, in the fixtures.
        file: the file that is damaged, in that folder.
        read: takes the folder and returns what was read as plain data, and everything that was said.
        share: of all mutants, relative to the others.
    """

    folder: str
    file: str
    read: Callable[[Path], tuple[Any, str]]
    share: float


#: The run with another seed, whose file is put in place of this one's.
OTHER = "_of_another_seed"


def plain(value: Any) -> Any:
    """Return anything as plain data that can be compared: arrays as dtype, shape and bytes."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array = np.asarray(value)
        return [str(array.dtype), [*array.shape], np.ascontiguousarray(array).tobytes().hex()]
    return repr(value)


def _load(folder: Path) -> tuple[Any, str]:
    from optoscope import load

    return plain(load(folder)), ""


def _result(module: str, name: str) -> Callable[[Path], tuple[Any, str]]:
    def read(folder: Path) -> tuple[Any, str]:
        import importlib

        return plain(getattr(importlib.import_module(f"optoscope.{module}"), name).load(folder / "result.npz")), ""

    return read


def train(folder: Path, seed: int = 0) -> tuple[Any, str]:
    """Train, or go on, with a checkpoint after every meta-step."""
    import jax

    from optoscope import tasks
    from optoscope.training import MetaTrainConfig, meta_train

    said: list[str] = []
    trained = meta_train(
        tasks.get("linear_regression"), config=MetaTrainConfig(**TINY), key=jax.random.key(seed), directory=folder,
        resume=True, seed=seed, checkpoint_seconds=0.0, announce=said.append,
    )  # fmt: skip
    arrays = [trained.optimizer, trained.snapshots, trained.curve, trained.snapshot_steps]
    return [plain(arrays), stable(trained.metrics)["best_validation"]], "\n".join(said)


def tune(folder: Path, seed: int = 0) -> tuple[Any, str]:
    """Tune, or go on."""
    import jax

    from optoscope import tasks
    from optoscope.training import Stage, tune

    tuned = tune(
        tasks.get("rosenbrock"), "gradient_descent", num_samples=20, stages=(Stage(2, 20, 4), Stage(4, 20, 1)),
        key=jax.random.key(seed), directory=folder, resume=True,
    )  # fmt: skip
    return plain([tuned.optimizer, tuned.samples, tuned.scores, tuned.stages_reached, tuned.ranges]), ""


def search(folder: Path, seed: int = 0) -> tuple[Any, str]:
    """Search, or go on."""
    import jax

    from optoscope import tasks
    from optoscope.training import MetaTrainConfig, search

    best, found = search(
        tasks.get("linear_regression"), config=MetaTrainConfig(**TINY), num_samples=2, key=jax.random.key(seed),
        directory=folder, resume=True,
    )  # fmt: skip
    rows = [[one.sample, one.settings, one.num_meta_steps, one.validation] for one in found]
    return plain([best.optimizer, best.snapshots, rows]), ""


def ablate(folder: Path, seed: int = 0) -> tuple[Any, str]:
    """Ablate, or go on."""
    import jax

    from optoscope import interventions, load, tasks

    ablation = interventions.ablate(
        load("rosenbrock/momentum").optimizer, tasks.get("rosenbrock"), key=jax.random.key(seed), num_problems=2,
        num_steps=20, mechanisms=("momentum",), num_controls=0, baselines={}, directory=folder, resume=True,
    )  # fmt: skip
    return plain(stable({name: plain(value) for name, value in vars(ablation).items() if name != "provenance"})), ""


def generalize(folder: Path, seed: int = 0) -> tuple[Any, str]:
    """Generalize, or go on."""
    import jax

    from optoscope import load, robustness

    matrix = robustness.generalize(
        {"momentum": load("rosenbrock/momentum").optimizer}, ["rosenbrock"], key=jax.random.key(seed),
        directory=folder, scales=(0.1, 1.0), horizons=(20,), num_problems={"rosenbrock": 2},
    )  # fmt: skip
    return plain({name: value for name, value in vars(matrix).items() if name != "provenance"}), ""


_RUNS = {"train": train, "tune": tune, "search": search, "ablate": ablate, "generalize": generalize}
_RESULTS = {
    "evaluation": ("running", "Evaluation"),
    "ablation": ("interventions", "Ablation"),
    "matrix": ("robustness", "GeneralizationMatrix"),
}


def _makers() -> dict[str, Callable[[Path, int], Any]]:
    """What makes the sound files of each folder, for a seed."""
    import jax

    from optoscope import interventions, load, robustness, running, tasks

    task, momentum = tasks.get("rosenbrock"), load("rosenbrock/momentum").optimizer
    small = {"num_problems": 2, "num_steps": 20}
    makers: dict[str, Callable[[Path, int], Any]] = dict(_RUNS)
    makers["trained"] = lambda place, seed: load(("rosenbrock", "linear_regression")[seed]).save(place / "planted")
    makers["tuned"] = lambda place, seed: load(("rosenbrock/adam", "two_moons/adam")[seed]).save(place / "planted")
    makers["evaluation"] = lambda place, seed: running.evaluate(
        task, {"momentum": momentum}, key=jax.random.key(seed), **small
    ).save(place / "result.npz")
    makers["ablation"] = lambda place, seed: interventions.ablate(
        momentum, task, key=jax.random.key(seed), mechanisms=("momentum",), num_controls=0, baselines={}, **small
    ).save(place / "result.npz")
    makers["matrix"] = lambda place, seed: robustness.generalize(
        {"momentum": momentum}, ["rosenbrock"], key=jax.random.key(seed), scales=(0.1, 1.0), horizons=(20,),
        num_problems={"rosenbrock": 2},
    ).save(place / "result.npz")  # fmt: skip
    return makers


#: The folders of sound files.
FOLDERS = (*_RUNS, *_RESULTS, "trained", "tuned")


def make_fixtures(folder: Path, names: tuple[str, ...]) -> None:
    """Make the sound files of some folders: of two seeds, but for results, which are sound in each other's place."""
    makers = _makers()
    for name in names:
        for seed, end in enumerate(("",) if name in _RESULTS else ("", OTHER)):
            makers[name](folder / (name + end), seed)


def subjects(fixtures: Path) -> dict[str, Subject]:
    """Return all kinds of files of which there are fixtures, by what they are called.

    Args:
        fixtures: where `make_fixtures` made them; names of checkpoints and cells are read from there.
    """
    of = lambda name, pattern: sorted(path.relative_to(fixtures / name) for path in (fixtures / name).rglob(pattern))
    found = {
        "an artifact's JSON, trained": Subject("trained", "planted.json", _load, 2),
        "an artifact's arrays, trained": Subject("trained", "planted.safetensors", _load, 1),
        "an artifact's JSON, tuned": Subject("tuned", "planted.json", _load, 2),
        "an artifact's arrays, tuned": Subject("tuned", "planted.safetensors", _load, 1),
    }
    for name, where in _RESULTS.items():
        found[f"a result, {name}"] = Subject(name, "result.npz", _result(*where), 1)
    for checkpoint in of("train", "checkpoint-*.safetensors")[-1:]:
        found["a checkpoint"] = Subject("train", str(checkpoint), train, 2)
    for name, share in (("train", 0.5), ("tune", 1), ("search", 0.3), ("ablate", 0.3)):
        found[f"run.json of {name}"] = Subject(name, "run.json", _RUNS[name], share)
        found[f"log.jsonl of {name}"] = Subject(name, "log.jsonl", _RUNS[name], share)
    for log in of("search", "sample_*/log.jsonl")[:1]:
        found["log.jsonl of a sample of a search"] = Subject("search", str(log), search, 0.2)
    for cell in of("generalize", "*.npz")[:1]:
        found["a cell of generalize"] = Subject("generalize", str(cell), generalize, 0.6)
    return {name: subject for name, subject in found.items() if (fixtures / subject.folder).exists()}
