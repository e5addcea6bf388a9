"""Matrices written down, read again, joined, and counted by kinds of optimizers."""

import dataclasses
import json

import numpy as np
import pytest

from optoscope.robustness import GeneralizationMatrix
from optoscope.robustness.matrices import agreement_by_kind, join_matrices, matrix_numbers, matrix_of, select_tasks

OPTIMIZERS = ["rosenbrock", "rosenbrock/momentum", "rosenbrock/adam"]
TASKS = ["linear_regression", "rosenbrock", "mnist"]


@pytest.fixture
def matrix():
    random = np.random.default_rng(0)
    shape = (len(OPTIMIZERS), len(TASKS), 2)
    share = lambda: random.uniform(size=shape).round(6)
    scores = lambda: np.where(random.uniform(size=(*shape, 3)) < 0.2, np.inf, random.uniform(size=(*shape, 3)).round(3))
    unknown = np.where(np.arange(3)[:, None, None] == 2, np.nan, share())
    return GeneralizationMatrix(
        optimizers=OPTIMIZERS,
        tasks=TASKS,
        references=["rosenbrock"] * 3,
        scales=np.array([1.0, 10.0]),
        horizons=np.array([10, 20, 50]),
        means=scores(),
        medians=scores(),
        final_medians=scores(),
        above_start=share()[..., None] * np.ones(3),
        diverged=share(),
        circled=np.zeros(shape),
        stable_fractions=unknown,
        stable_ends=unknown,
        run_agreement=unknown,
        range_ratios=unknown,
        provenance={"settings": {"num_problems": dict.fromkeys(TASKS, 2)}},
    )


def test_what_is_written_down_is_read_again(matrix):
    numbers = json.loads(json.dumps(matrix_numbers(matrix), allow_nan=False))
    again = matrix_of(numbers)
    for field in dataclasses.fields(matrix):
        if isinstance(getattr(matrix, field.name), np.ndarray):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(matrix, field.name))
    assert matrix_numbers(again) == numbers


def test_a_matrix_gets_the_tasks_that_it_lacks(matrix):
    part = lambda names: dataclasses.replace(
        select_tasks(matrix, names), provenance={"settings": {"num_problems": dict.fromkeys(names, 2)}}
    )
    assert matrix_numbers(join_matrices(part(TASKS[:2]), part(TASKS[1:]))) == matrix_numbers(matrix)
    with pytest.raises(ValueError, match="other optimizers"):
        join_matrices(dataclasses.replace(matrix, optimizers=OPTIMIZERS[::-1]), matrix)


def test_agreement_is_counted_by_kind(matrix):
    rows = agreement_by_kind(matrix)
    whole = next(one for who, where, one in rows if (who, where, one.predictor) == ("all", "all", "stability"))
    assert whole.num_cells == 2 * len(TASKS) * 2  # Adam has no map
    momentum = [one.num_cells for who, _, one in rows if who == "momentum" and one.predictor == "stability"]
    assert momentum == [4, 2]  # all tasks but MNIST, and MNIST
    learned = [where for who, where, _ in rows if who == "learned on linear regression or Rosenbrock"]
    assert set(learned) == {"all but MNIST", "MNIST"}
    assert not any(who == "learned on two moons or MNIST" for who, _, _ in rows)
