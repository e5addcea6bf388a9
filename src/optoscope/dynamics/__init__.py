"""Optimizers as dynamical systems: update functions, fixed points, modes, schedules, S-curves."""

from optoscope.dynamics.autonomous import AutonomousTrajectory as AutonomousTrajectory
from optoscope.dynamics.autonomous import autonomous_trajectory as autonomous_trajectory
from optoscope.dynamics.continuation import Branch as Branch
from optoscope.dynamics.continuation import continue_fixed_points as continue_fixed_points
from optoscope.dynamics.fixed_points import FixedPoints as FixedPoints
from optoscope.dynamics.fixed_points import find_fixed_points as find_fixed_points
from optoscope.dynamics.linearize import Linearization as Linearization
from optoscope.dynamics.linearize import linearize as linearize
from optoscope.dynamics.modes import Modes as Modes
from optoscope.dynamics.modes import modes as modes
from optoscope.dynamics.trajectories import PrincipalComponents as PrincipalComponents
from optoscope.dynamics.trajectories import principal_components as principal_components
from optoscope.dynamics.trajectories import total_variance as total_variance
from optoscope.dynamics.update_function import UpdateFunction as UpdateFunction
from optoscope.dynamics.update_function import effective_learning_rate as effective_learning_rate
from optoscope.dynamics.update_function import update_function as update_function
