"""Optimizers made from optimizers by changing one thing about them: which mechanism is needed, and which is enough?"""

from optoscope.interventions.ablation import Ablation as Ablation
from optoscope.interventions.ablation import ablate as ablate
from optoscope.interventions.controls import RandomDirections as RandomDirections
from optoscope.interventions.controls import Unchanged as Unchanged
from optoscope.interventions.controls import random_directions as random_directions
from optoscope.interventions.drift import FreezeDrift as FreezeDrift
from optoscope.interventions.drift import ReadAtRest as ReadAtRest
from optoscope.interventions.drift import Scheduled as Scheduled
from optoscope.interventions.drift import StartAt as StartAt
from optoscope.interventions.gain import HoldGain as HoldGain
from optoscope.interventions.gain import HoldState as HoldState
from optoscope.interventions.gain import LinearMemory as LinearMemory
from optoscope.interventions.groups import by_group as by_group
from optoscope.interventions.groups import equalize_groups as equalize_groups
from optoscope.interventions.landmarks import path_to_rest as path_to_rest
from optoscope.interventions.modes import RemoveDirections as RemoveDirections
from optoscope.interventions.modes import keep_modes as keep_modes
from optoscope.interventions.modes import projection as projection
from optoscope.interventions.modes import remove_modes as remove_modes
from optoscope.interventions.readout import ClipGradient as ClipGradient
from optoscope.interventions.readout import Monotonic as Monotonic
from optoscope.interventions.readout import RemoveOffset as RemoveOffset
from optoscope.interventions.readout import Rescaled as Rescaled
from optoscope.interventions.readout import Tangent as Tangent
from optoscope.interventions.variants import MECHANISMS as MECHANISMS
