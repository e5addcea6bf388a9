"""Running optimizers on problems, sharing the work out, and keeping what was run."""

from optoscope.running.costs import StepCosts as StepCosts
from optoscope.running.costs import measure_costs as measure_costs
from optoscope.running.evaluate import Evaluation as Evaluation
from optoscope.running.evaluate import PairedDifference as PairedDifference
from optoscope.running.evaluate import evaluate as evaluate
from optoscope.running.problems import Purpose as Purpose
from optoscope.running.problems import meta_objective as meta_objective
from optoscope.running.problems import sample_problems as sample_problems
from optoscope.running.rollouts import Rollout as Rollout
from optoscope.running.rollouts import Save as Save
from optoscope.running.rollouts import rollout as rollout
from optoscope.running.rollouts import rollout_batch as rollout_batch
from optoscope.running.visits import Visits as Visits
from optoscope.running.visits import choose_components as choose_components
from optoscope.running.visits import gradient_range as gradient_range
from optoscope.running.visits import variance_ratio as variance_ratio
from optoscope.running.visits import visit as visit
