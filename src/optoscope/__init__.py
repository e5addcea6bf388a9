"""optoscope opens up optimizers: it trains learned ones and takes any of them apart as a dynamical system.

Importing this package reads no file and loads neither JAX nor matplotlib; each public name is loaded when first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optoscope import dynamics as dynamics
    from optoscope import figures as figures
    from optoscope import interventions as interventions
    from optoscope import mechanisms as mechanisms
    from optoscope import optimizers as optimizers
    from optoscope import tasks as tasks
    from optoscope import training as training
    from optoscope._core.artifact_files import shipped as shipped
    from optoscope.anatomy import Dossier as Dossier
    from optoscope.artifacts import TrainedOptimizer as TrainedOptimizer
    from optoscope.artifacts import TunedOptimizer as TunedOptimizer
    from optoscope.artifacts import load as load
    from optoscope.artifacts.as_optimizer import as_optimizer as as_optimizer
    from optoscope.artifacts.as_optimizer import as_rule as as_rule
    from optoscope.calibration import calibrate as calibrate
    from optoscope.calibration import gallery as gallery
    from optoscope.distillation import Distilled as Distilled
    from optoscope.distillation import distill as distill
    from optoscope.explorer import Explorer as Explorer
    from optoscope.explorer import explore as explore
    from optoscope.interventions import Ablation as Ablation
    from optoscope.interventions import ablate as ablate
    from optoscope.mechanisms import Comparison as Comparison
    from optoscope.mechanisms import MechanismReport as MechanismReport
    from optoscope.mechanisms import compare as compare
    from optoscope.mechanisms import diagnose as diagnose
    from optoscope.optimizers import Context as Context
    from optoscope.optimizers import TorchStack as TorchStack
    from optoscope.optimizers import from_optax as from_optax
    from optoscope.optimizers import from_torch as from_torch
    from optoscope.optimizers import lift as lift
    from optoscope.optimizers import whole_torch as whole_torch
    from optoscope.recordings import Examination as Examination
    from optoscope.recordings import Margin as Margin
    from optoscope.recordings import Recorder as Recorder
    from optoscope.recordings import Recording as Recording
    from optoscope.recordings import examine as examine
    from optoscope.recordings import margin as margin
    from optoscope.recordings import read_recording as read_recording
    from optoscope.recordings import record as record
    from optoscope.recordings import recorded as recorded
    from optoscope.recordings import recording as recording
    from optoscope.recordings import write_recording as write_recording
    from optoscope.robustness import generalize as generalize
    from optoscope.robustness import study_stability as study_stability
    from optoscope.running import Purpose as Purpose
    from optoscope.running import Rollout as Rollout
    from optoscope.running import Save as Save
    from optoscope.running import evaluate as evaluate
    from optoscope.running import rollout as rollout
    from optoscope.running import rollout_batch as rollout_batch
    from optoscope.torch_optimizer import LearnedOptimizer as LearnedOptimizer
    from optoscope.training import MetaTrainConfig as MetaTrainConfig
    from optoscope.training import meta_train as meta_train
    from optoscope.training import preset as preset
    from optoscope.training import tune as tune
    from optoscope.whole import Structure as Structure
    from optoscope.whole import find_component as find_component
    from optoscope.whole import find_edges as find_edges
    from optoscope.whole import structure as structure

#: public name -> the module that holds it (None: the name is itself a subpackage)
_PUBLIC: dict[str, str | None] = {
    "ablate": "optoscope.interventions",
    "Ablation": "optoscope.interventions",
    "as_optimizer": "optoscope.artifacts.as_optimizer",
    "as_rule": "optoscope.artifacts.as_optimizer",
    "calibrate": "optoscope.calibration",
    "compare": "optoscope.mechanisms",
    "Comparison": "optoscope.mechanisms",
    "Context": "optoscope.optimizers",
    "diagnose": "optoscope.mechanisms",
    "distill": "optoscope.distillation",
    "Distilled": "optoscope.distillation",
    "Dossier": "optoscope.anatomy",
    "dynamics": None,
    "evaluate": "optoscope.running",
    "Examination": "optoscope.recordings",
    "examine": "optoscope.recordings",
    "explore": "optoscope.explorer",
    "Explorer": "optoscope.explorer",
    "figures": None,
    "find_component": "optoscope.whole",
    "find_edges": "optoscope.whole",
    "from_optax": "optoscope.optimizers",
    "from_torch": "optoscope.optimizers",
    "gallery": "optoscope.calibration",
    "generalize": "optoscope.robustness",
    "interventions": None,
    "LearnedOptimizer": "optoscope.torch_optimizer",
    "lift": "optoscope.optimizers",
    "load": "optoscope.artifacts",
    "margin": "optoscope.recordings",
    "Margin": "optoscope.recordings",
    "MechanismReport": "optoscope.mechanisms",
    "mechanisms": None,
    "meta_train": "optoscope.training",
    "MetaTrainConfig": "optoscope.training",
    "optimizers": None,
    "preset": "optoscope.training",
    "Purpose": "optoscope.running",
    "read_recording": "optoscope.recordings",
    "record": "optoscope.recordings",
    "recorded": "optoscope.recordings",
    "Recorder": "optoscope.recordings",
    "recording": "optoscope.recordings",
    "Recording": "optoscope.recordings",
    "Rollout": "optoscope.running",
    "rollout": "optoscope.running",
    "rollout_batch": "optoscope.running",
    "Save": "optoscope.running",
    "shipped": "optoscope._core.artifact_files",
    "Structure": "optoscope.whole",
    "structure": "optoscope.whole",
    "recordings": None,
    "study_stability": "optoscope.robustness",
    "tasks": None,
    "TorchStack": "optoscope.optimizers",
    "TrainedOptimizer": "optoscope.artifacts",
    "training": None,
    "tune": "optoscope.training",
    "TunedOptimizer": "optoscope.artifacts",
    "whole_torch": "optoscope.optimizers",
    "write_recording": "optoscope.recordings",
}

__all__ = list(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'optoscope' has no attribute {name!r}; it has {', '.join(__all__)}.")
    module = _PUBLIC[name]
    value = (
        importlib.import_module(f"optoscope.{name}")
        if module is None
        else getattr(importlib.import_module(module), name)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
