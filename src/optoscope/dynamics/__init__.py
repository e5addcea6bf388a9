"""Optimizers as dynamical systems: update functions, fixed points, modes, schedules, S-curves."""

from optoscope.dynamics.autonomous import AutonomousTrajectory as AutonomousTrajectory
from optoscope.dynamics.autonomous import autonomous_trajectory as autonomous_trajectory
from optoscope.dynamics.continuation import Branch as Branch
from optoscope.dynamics.continuation import continue_fixed_points as continue_fixed_points
from optoscope.dynamics.edges import EdgeMeasurement as EdgeMeasurement
from optoscope.dynamics.edges import Outcome as Outcome
from optoscope.dynamics.edges import measure_edge as measure_edge
from optoscope.dynamics.fixed_points import FixedPoints as FixedPoints
from optoscope.dynamics.fixed_points import find_fixed_points as find_fixed_points
from optoscope.dynamics.linearize import Linearization as Linearization
from optoscope.dynamics.linearize import linearize as linearize
from optoscope.dynamics.modes import Modes as Modes
from optoscope.dynamics.modes import modes as modes
from optoscope.dynamics.stability import StabilityMap as StabilityMap
from optoscope.dynamics.stability import find_resting_point as find_resting_point
from optoscope.dynamics.stability import stability_map as stability_map
from optoscope.dynamics.trajectories import PrincipalComponents as PrincipalComponents
from optoscope.dynamics.trajectories import principal_components as principal_components
from optoscope.dynamics.trajectories import total_variance as total_variance
from optoscope.dynamics.update_function import UpdateFunction as UpdateFunction
from optoscope.dynamics.update_function import effective_learning_rate as effective_learning_rate
from optoscope.dynamics.update_function import update_function as update_function
