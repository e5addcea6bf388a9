"""Optimizers by name, path, spec or object: what ships, what was saved, and the one way in for everything else."""

from optoscope._core.artifact_files import ArtifactError as ArtifactError
from optoscope._core.artifact_files import shipped as shipped
from optoscope._core.artifact_files import shipped_for as shipped_for
from optoscope.artifacts.trained import TrainedOptimizer as TrainedOptimizer
from optoscope.artifacts.trained import TunedOptimizer as TunedOptimizer
from optoscope.artifacts.trained import load as load
from optoscope.artifacts.trained import load_trained as load_trained
