"""Where an optimizer will fail: edges of stability, the curvatures that a task has, and other tasks, run beside it."""

from optoscope.prediction.curvatures import Curvatures as Curvatures
from optoscope.prediction.curvatures import task_curvatures as task_curvatures
from optoscope.prediction.generalization import GeneralizationMatrix as GeneralizationMatrix
from optoscope.prediction.generalization import generalize as generalize
from optoscope.prediction.neighbors import Separation as Separation
from optoscope.prediction.neighbors import separation as separation
from optoscope.prediction.stability import StabilityStudy as StabilityStudy
from optoscope.prediction.stability import study_stability as study_stability
