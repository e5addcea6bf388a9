"""Distillation: a learned optimizer as a formula of few numbers."""

from optoscope.distillation.distill import DistillConfig as DistillConfig
from optoscope.distillation.distill import Distilled as Distilled
from optoscope.distillation.distill import distill as distill
from optoscope.distillation.distill import measure as measure
from optoscope.distillation.formula import Formula as Formula
from optoscope.distillation.formula import formula_of as formula_of
from optoscope.distillation.presets import PRESETS as PRESETS
from optoscope.distillation.presets import preset as preset
from optoscope.distillation.readable import PIECES as PIECES
from optoscope.distillation.readable import ReadableOptimizer as ReadableOptimizer
