"""Prediction, measurement and task beside each other: rows, files, figure and command."""

import numpy as np
import pytest

from optoscope import artifacts, tasks
from optoscope.dynamics import measure_edge, stability_map
from optoscope.figures.stability import draw_damping, stability_figure
from optoscope.optimizers import GradientDescent, Momentum
from optoscope.robustness.stability import study_stability


@pytest.fixture(scope="module")
def study():
    import jax

    return study_stability(
        Momentum(3.0, 0.9),
        name="heavy ball",
        task=tasks.get("linear_regression"),
        baseline=GradientDescent(1.5),
        baseline_name="gradient descent",
        key=jax.random.key(0),
        num_problems=3,
        num_steps=16,
    )


def test_rows_hold_the_textbook_edges_beside_the_largest_curvature(study):
    rows = study.edges()
    assert [row["optimizer"] for row in rows] == ["heavy ball", "gradient descent"]
    np.testing.assert_allclose([row["predicted"] for row in rows], [2 * 1.9 / 3.0, 2 / 1.5], rtol=1e-8)
    assert all(abs(row["error"]) < 1e-3 for row in rows)
    # The largest curvature of linear regression is 1 by construction.
    np.testing.assert_allclose([row["edge / largest"] for row in rows], [row["measured"] for row in rows])
    assert {end["outcome"] for row in rows for end in row["beyond"]} == {"diverges"}
    low, high = study.stability.curvatures[[0, -1]]
    assert low < study.curvatures.span()[0] and high > 2 * 1.9 / 3.0


def test_an_edge_that_was_not_run_is_reported_as_missed():
    rule = GradientDescent(0.1)
    measured = measure_edge(rule, curvatures=[1.0, 1.1], num_steps=200)
    assert not len(measured.edges) and not len(measured.missed(stability_map(rule, [1.0])))
    assert len(measure_edge(rule, curvatures=[1.0, 30.0], num_steps=200).edges) == 1


def test_the_figure_shows_the_maps_the_runs_and_the_task(study):
    figure, numbers = stability_figure(study)
    series = numbers["panels"]["a, heavy ball"]["series"]
    np.testing.assert_array_equal(series["predicted growth"]["y"], np.log(study.stability.radii))
    np.testing.assert_array_equal(series["measured edges"]["x"], study.measured.edges)
    np.testing.assert_allclose(series["predicted edge 1"]["x"], study.stability.edges[[0, 0]])
    ends = numbers["panels"]["task"]["series"]["curvatures at the end of runs"]["x"]
    np.testing.assert_array_equal(ends, np.sort(study.curvatures.eigenvalues[:, -1].ravel()))
    line = draw_damping(study.stability, figure.axes[1], color="k", label="")["damping ratio"]
    np.testing.assert_array_equal(line.get_ydata(), study.stability.damping_ratios)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in artifacts.shipped() if not name.endswith("/adam")])
def test_every_shipped_optimizer_has_its_edges_where_they_are_predicted(name):
    rule = artifacts.load(name).optimizer
    measured, predicted = measure_edge(rule, beyond=()), stability_map(rule, [1.0])
    if not len(predicted.stable_ranges):  # an own mode of the state grows, whatever the curvature
        assert not len(measured.edges) and (measured.growth > 0).all()
        return
    assert len(measured.edges)
    np.testing.assert_allclose(measured.edges, measured.predicted(predicted), rtol=0.02)
    assert not len(measured.missed(predicted))
