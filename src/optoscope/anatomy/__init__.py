"""One optimizer on one task, taken apart."""

from optoscope.anatomy.dossier import Dossier as Dossier
from optoscope.anatomy.groups import GroupPaths as GroupPaths
from optoscope.anatomy.groups import group_paths as group_paths
from optoscope.anatomy.linear_updates import LinearUpdates as LinearUpdates
from optoscope.anatomy.linear_updates import explained as explained
from optoscope.anatomy.linear_updates import linear_updates as linear_updates
from optoscope.anatomy.meta_training import MetaTrainingModes as MetaTrainingModes
from optoscope.anatomy.meta_training import modes_through_meta_training as modes_through_meta_training
from optoscope.anatomy.settling import InputAttractors as InputAttractors
from optoscope.anatomy.settling import Rest as Rest
from optoscope.anatomy.settling import find_input_attractors as find_input_attractors
from optoscope.anatomy.settling import let_rest as let_rest
from optoscope.anatomy.shifts import ModeShift as ModeShift
from optoscope.anatomy.shifts import mode_shift as mode_shift
from optoscope.anatomy.single_mode import SingleMode as SingleMode
from optoscope.anatomy.single_mode import run_single_mode as run_single_mode
from optoscope.anatomy.thresholds import Thresholds as Thresholds
from optoscope.anatomy.thresholds import find_thresholds as find_thresholds
