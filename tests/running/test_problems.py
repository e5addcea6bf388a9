"""Problems for different purposes, and the meta-objective."""

import numpy as np

from optoscope.running import Purpose, meta_objective, sample_problems
from optoscope.tasks import Rosenbrock


def test_problem_sets_of_different_purposes_are_disjoint(key):
    starts = [sample_problems(Rosenbrock(), purpose.key(key), 50)[0].initial_params for purpose in Purpose]
    flat = np.concatenate(starts)
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_meta_objective_guards_a_start_at_the_minimum():
    assert np.isfinite(meta_objective(np.zeros((2, 5)))).all()
