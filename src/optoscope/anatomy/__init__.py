"""One optimizer on one task, taken apart."""

from optoscope.anatomy.meta_training import MetaTrainingModes as MetaTrainingModes
from optoscope.anatomy.meta_training import modes_through_meta_training as modes_through_meta_training
from optoscope.anatomy.shifts import ModeShift as ModeShift
from optoscope.anatomy.shifts import mode_shift as mode_shift
from optoscope.anatomy.visits import Visits as Visits
from optoscope.anatomy.visits import choose_components as choose_components
from optoscope.anatomy.visits import gradient_range as gradient_range
from optoscope.anatomy.visits import visit as visit
from optoscope.anatomy.whole import Anatomy as Anatomy
from optoscope.anatomy.whole import dissect as dissect
