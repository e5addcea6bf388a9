"""Away from home: rescaled gradients, horizons, ends of runs, and predictions that can be checked exactly."""

import jax
import numpy as np
import pytest

from optoscope import artifacts, tasks
from optoscope.dynamics import Outcome
from optoscope.figures.generalization import generalization_figure
from optoscope.optimizers import Adam, GradientDescent, Momentum
from optoscope.robustness import generalization
from optoscope.robustness.generalization import GeneralizationMatrix, ScaledTask, end_of_run, generalize, run_cell
from optoscope.running.problems import Purpose, meta_objective, sample_problems
from optoscope.running.rollouts import rollout_batch

LINEAR = tasks.get("linear_regression")


def test_a_scaled_task_reports_the_loss_and_rescales_the_gradient(key):
    problem = LINEAR.sample(key)
    loss, gradient = LINEAR.value_and_gradient(problem, problem.initial_params, key)
    again, scaled = ScaledTask(LINEAR, 10.0).value_and_gradient(problem, problem.initial_params, key)
    assert loss == again
    np.testing.assert_allclose(scaled, 10 * gradient, rtol=1e-6)


def test_a_rescaled_gradient_is_a_rescaled_learning_rate_of_a_linear_rule(key):
    settings = {"name": "rule", "key": key, "num_problems": 3, "horizons": (10, 20)}
    small = run_cell(GradientDescent(0.05), LINEAR, scale=10.0, **settings)
    large = run_cell(GradientDescent(0.5), LINEAR, scale=1.0, **settings)
    np.testing.assert_allclose(small.objectives, large.objectives, rtol=1e-4)
    np.testing.assert_allclose(small.first_gradient, 10 * large.first_gradient, rtol=1e-5)


def test_one_run_is_read_at_all_horizons(key):
    cell = run_cell(Momentum(0.5, 0.5), LINEAR, name="rule", scale=1.0, key=key, num_problems=3, horizons=(20, 10))
    problems, keys = sample_problems(LINEAR, Purpose.TEST.key(key), 3)
    for horizon, objectives, final in zip((10, 20), cell.objectives.T, cell.final_losses.T):
        losses = rollout_batch(LINEAR, problems, Momentum(0.5, 0.5), num_steps=horizon, keys=keys).losses
        np.testing.assert_allclose(objectives, meta_objective(losses), rtol=1e-5)
        np.testing.assert_allclose(final, losses[:, -1] / losses[:, 0], rtol=1e-5)
    assert cell.horizons == [10, 20]


def test_a_kept_cell_is_used_for_the_same_optimizer_and_numbers_only(key, tmp_path):
    settings = {"key": key, "directory": tmp_path, "horizons": (10,), "num_problems": {"linear_regression": 2}}
    ran, run = [], generalization.run_cell

    def cells(optimizer, *scales, name="rule"):
        ran.clear()
        matrix = generalize({name: optimizer}, ["linear_regression"], scales=scales, **settings)
        return matrix.means.ravel().tolist(), len(ran)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generalization, "run_cell", lambda *a, **k: (ran.append(1), run(*a, **k))[1])
        first, num = cells(Momentum(0.5, 0.5), 1.0)
        assert num == 1 and cells(Momentum(0.5, 0.5), 1.0) == (first, 0)
        other, num = cells(Momentum(0.25, 0.5), 1.0)
        assert num == 1 and other != first
        assert cells(Momentum(0.5, 0.5), 1.0 + 1e-7)[1] == 1
        assert cells(Momentum(0.5, 0.5), 1.0, name="./x/y")[1] == cells(Momentum(0.5, 0.5), 1.0, name="./x-y")[1] == 1


def test_a_damaged_cell_is_run_again_and_that_is_said(key, tmp_path):
    settings = {"key": key, "directory": tmp_path, "horizons": (10,), "num_problems": {"linear_regression": 2}}
    call = lambda **more: generalize(
        {"rule": Momentum(0.5, 0.5)}, ["linear_regression"], scales=(1.0,), **settings, **more
    )
    first, said = call(), []
    (path,) = tmp_path.iterdir()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    again = call(announce=said.append)
    np.testing.assert_array_equal(again.means, first.means)
    assert "damaged" in said[0] and "run again" in said[0]


def test_ends_of_runs():
    steps = np.arange(1000)
    flat, angle = np.ones(1001), 2 * np.pi * steps / 9
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    decay = np.exp(-steps / 150)[:, None]
    assert end_of_run(flat, 0.1 * circle) == Outcome.CIRCLES
    assert end_of_run(flat, (-1.0) ** steps[:, None]) == Outcome.CIRCLES
    assert end_of_run(flat * np.nan, circle) == Outcome.DIVERGES
    assert end_of_run(np.linspace(1, 9, 1001), np.ones((1000, 2))) == Outcome.DIVERGES  # walks away
    assert end_of_run(np.exp(np.arange(1001) / 50), circle / decay) == Outcome.DIVERGES  # grows while it turns
    assert end_of_run(np.linspace(1, 0.5, 1001), np.ones((1000, 2))) == Outcome.DIES_OUT  # still descends
    assert end_of_run(np.linspace(1, 0.5, 1001), circle * decay) == Outcome.DIES_OUT  # a spiral
    noise = np.random.default_rng(0).normal(size=(1000, 2))
    assert end_of_run(np.linspace(1, 0.5, 1001), np.maximum(decay**3, 1e-6) * noise) == Outcome.DIES_OUT  # rounding


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cells")
    optimizers = {"gradient descent": GradientDescent(0.1), "adam": Adam(0.1, 0.9, 0.99)}
    settings = {
        "key": jax.random.key(0),
        "scales": (1.0, 1e5),
        "horizons": (40, 200),
        "num_problems": {"linear_regression": 6},
    }
    first = generalize(
        optimizers,
        ["linear_regression"],
        directory=directory,
        homes={"gradient descent": "linear_regression"},
        **settings,
    )
    return first, optimizers, directory, settings


def test_what_stability_predicts_of_gradient_descent_happens_in_every_run(matrix):
    found = matrix[0]
    assert found.means.shape == (2, 1, 2, 2) and found.references == ["gradient descent"]
    np.testing.assert_array_equal(found.stable_ends[0, 0], [1, 0])
    np.testing.assert_array_equal(found.diverged[0, 0], [0, 1])
    np.testing.assert_array_equal(found.run_agreement[0, 0], [1, 1])
    assert np.isnan(found.stable_ends[1]).all()  # Adam has no map
    assert found.stable_fractions[0, 0, 1] == 0 and found.means[0, 0, 1, 1] == np.inf
    # Gradients of training are those of scale 1; the other scale lies far outside.
    assert found.range_ratios[0, 0, 0] < 2 < found.range_ratios[0, 0, 1]


def test_agreement_counts_cells(matrix):
    stability, gradients = matrix[0].agreement()
    assert (stability.sound_sound, stability.fails_fails, stability.num_cells, stability.accuracy) == (1, 1, 2, 1.0)
    assert (gradients.predictor, gradients.num_cells) == ("range of gradients", 2)
    without_prediction = matrix[0].agreement(optimizers=["adam"])[0]
    assert without_prediction.num_cells == 0 and np.isnan(without_prediction.accuracy)
    assert matrix[0].agreement(tasks=matrix[0].tasks) == matrix[0].agreement()
    with pytest.raises(ValueError, match="unknown optimizer of this matrix"):
        matrix[0].agreement(optimizers=["sgd"])
    with pytest.raises(ValueError, match="unknown task of this matrix"):
        matrix[0].agreement(tasks=["chess"])


def test_finished_cells_are_not_run_again(matrix, monkeypatch, tmp_path):
    first, optimizers, directory, settings = matrix
    ran = []
    original = generalization.run_cell
    monkeypatch.setattr(generalization, "run_cell", lambda *a, **k: ran.append(k["name"]) or original(*a, **k))
    again = generalize(optimizers, ["linear_regression"], directory=directory, **settings)
    assert not ran
    np.testing.assert_array_equal(again.medians, first.medians)
    damaged = next(directory.glob("adam*100000*"))
    damaged.write_bytes(b"broken")
    generalize(optimizers, ["linear_regression"], directory=directory, **settings)
    assert ran == ["adam"]
    read = GeneralizationMatrix.load(first.save(tmp_path / "matrix.npz"))
    np.testing.assert_array_equal(read.circled, first.circled)
    with pytest.raises(ValueError, match="must not be empty"):
        generalize({}, ["linear_regression"], key=jax.random.key(0))


def test_the_figure_shows_the_matrix(matrix):
    _, numbers = generalization_figure(matrix[0], horizon=0)
    series = numbers["panels"]["linear_regression"]["series"]
    shown = np.clip(np.where(np.isfinite(matrix[0].medians), matrix[0].medians, 10.0), 1e-3, 10.0)[:, 0, :, 0]
    np.testing.assert_allclose(np.reshape(series["median meta-objective"]["values"], shown.shape), shown)
    fails = {(int(y), int(x)) for x, y in zip(series["fails"]["x"], series["fails"]["y"])}
    assert fails == set(zip(*(index.tolist() for index in np.nonzero(matrix[0].fails[:, 0]))))
    assert numbers["horizon"] == 40 and numbers["agreement"][0]["accuracy"] == 1


def test_large_optimizers_are_left_out_unless_asked_for():
    few, _ = generalization.shipped_optimizers()
    every, homes = generalization.shipped_optimizers(most_units=np.inf)
    assert set(every) - set(few) == {name for name, one in every.items() if getattr(one, "num_units", 0) == 256}
    assert homes["linear_regression_authors"] == "linear_regression"
    assert set(every) == set(artifacts.shipped())
