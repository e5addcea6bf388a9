"""Where an optimizer will fail: edges of stability, the curvatures that a task has, and other tasks, run beside it."""

from optoscope.robustness.curvatures import Curvatures as Curvatures
from optoscope.robustness.curvatures import task_curvatures as task_curvatures
from optoscope.robustness.generalization import GeneralizationMatrix as GeneralizationMatrix
from optoscope.robustness.generalization import generalize as generalize
from optoscope.robustness.neighbors import Separation as Separation
from optoscope.robustness.neighbors import separation as separation
from optoscope.robustness.stability import StabilityStudy as StabilityStudy
from optoscope.robustness.stability import study_stability as study_stability
