"""Figures show the numbers of their results: artists are compared with them, not pixels."""

import importlib
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from optoscope import tasks
from optoscope._core.json_data import to_json
from optoscope.figures import style
from optoscope.figures.loss_curves import draw_loss_curves
from optoscope.paper.figures import FIGURES, available, draw, figures_for, performance
from optoscope.paper.figures._state_space import draw_spectrum, project
from optoscope.paper.figures.adaptation import draw_adaptation, draw_branch_updates, draw_s_curve
from optoscope.paper.figures.drawn import save_figure
from optoscope.paper.figures.further_modes import draw_held, held_figure, modes_figure
from optoscope.paper.figures.grouping import draw_group_rates, group_colors, groups_figure
from optoscope.paper.figures.leading_modes import draw_shift
from optoscope.paper.figures.meta_training import draw_followed, draw_mode_paths, followed_figure
from optoscope.paper.figures.recovered_momentum import draw_parameters
from optoscope.paper.figures.schedules import draw_learning_rates
from optoscope.paper.figures.tuning import draw_samples, tuning_figure
from optoscope.paper.figures.update_functions import draw_gradient_density, draw_initial_update
from optoscope.paper.study import Study

#: Those of the tasks that the study has.
NUMBERS = figures_for(["linear_regression", "rosenbrock"])


@pytest.fixture
def axes():
    return Figure().subplots()


@pytest.fixture(scope="session")
def drawn(study):
    return {number: draw(number, study) for number in NUMBERS}


def test_every_figure_can_be_drawn_from_a_whole_study(study):
    assert available(study) == NUMBERS
    assert NUMBERS == [1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 14, 15, 16, 17, 18, 19]
    assert set(figures_for(["two_moons"])) >= {7, 9, 13, 20}


@pytest.mark.parametrize("number", NUMBERS)
def test_every_figure_draws_without_a_warning(drawn, number):
    one = drawn[number]
    one.figure.draw_without_rendering()
    assert one.number == number
    assert one.title and one.caption.endswith(".")
    assert "nan" not in one.caption
    assert set(one.numbers) == {"summary", "panels"}


def test_boxes_are_as_large_as_the_layers_they_stand_for(axes, key):
    network = tasks.get("digits").describe(key)
    artists = performance.draw_architecture(network, axes)
    series = style.numbers_of(axes, artists)["series"]
    for index, (height, _, channels) in enumerate(network.shapes):
        box = series[f"layer {index}"]
        assert np.ptp(box["y"]) == pytest.approx(height) and np.ptp(box["x"]) == pytest.approx(channels)
    assert np.ptp(series["classes"]["y"]) == pytest.approx(1.6 * network.num_classes)


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_plain_json_and_the_ones_drawn(drawn, number):
    read = json.loads(json.dumps(to_json(drawn[number].numbers), allow_nan=False))
    lines = [line for axes in _all_axes(drawn[number].figure) for line in axes.lines]
    series = [s for panel in read["panels"].values() for s in panel["series"].values()]
    assert series
    for panel, found in zip(read["panels"].values(), drawn[number].numbers["panels"].values()):
        assert panel["x"] == found["x"]
        for name, values in found["series"].items():
            for axis, array in values.items():
                kept = np.array(panel["series"][name][axis], float)
                np.testing.assert_array_equal(kept[np.isfinite(kept)], np.asarray(array, float)[np.isfinite(array)])
    drawn_lines = {_key(line.get_xdata(), line.get_ydata()) for line in lines}
    for panel in drawn[number].numbers["panels"].values():
        for name, values in panel["series"].items():
            if name.endswith(("update", "tangent", "learning rate", ": mean", "leading mode")):
                assert _key(values["x"], values["y"]) in drawn_lines


def _all_axes(figure):
    return [a for axes in figure.axes for a in (axes, *axes.child_axes)]


def _key(x, y):
    return np.asarray(x, float).tobytes() + np.asarray(y, float).tobytes()


def test_files_are_written_and_the_same_each_time(drawn, tmp_path):
    first = save_figure(drawn[5], tmp_path / "a")
    second = save_figure(drawn[5], tmp_path / "b", made_with="optoscope figure 5")
    assert [path.name for path in first] == ["figure_5.png", "figure_5.svg", "figure_5.json"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in first[1].read_bytes()
    assert b"<dc:date>" not in first[1].read_bytes()
    data = json.loads(first[2].read_text())
    assert data["figure"] == 5
    assert data["made_with"] == "optoscope figure 5"
    assert data["title"] == drawn[5].title
    assert data["provenance"]["settings"]["num_problems"] == 4
    rates = drawn[5].numbers["panels"]["b"]["series"]["learning rate"]["y"]
    assert data["panels"]["b"]["series"]["learning rate"]["y"] == rates.tolist()


def test_what_is_not_finite_becomes_null():
    value = {"a": np.array([1.0, np.inf, np.nan]), "b": 1 + 2j, "c": (True, None, "x", np.int64(3))}
    assert to_json(value) == {"a": [1.0, None, None], "b": [1.0, 2.0], "c": [True, None, "x", 3]}


def test_loss_curves_are_means_medians_and_errors(study, axes):
    evaluation = study.evaluations["rosenbrock"]
    artists = draw_loss_curves(evaluation, axes)
    losses = evaluation.losses[evaluation.index("adam")].astype(float)
    np.testing.assert_allclose(artists["adam: mean"].get_ydata(), losses.mean(0))
    np.testing.assert_allclose(artists["adam: median"].get_ydata(), np.median(losses, 0))
    band = artists["adam: mean ± standard error"].get_paths()[0].vertices
    expected = losses[:, -1].mean() + losses[:, -1].std(ddof=1) / np.sqrt(len(losses))
    assert band[band[:, 0] == losses.shape[1] - 1, 1].max() == pytest.approx(expected)
    assert axes.get_yscale() == "log"


def test_violins_show_means_and_count_diverged_runs(study, axes):
    evaluation = study.evaluations["linear_regression"]
    objectives = evaluation.objectives.copy()
    objectives[evaluation.index("adam"), 0] = np.inf
    broken = type(evaluation)(evaluation.names, evaluation.task, evaluation.losses, objectives, {})
    artists = performance.draw_violins(broken, axes)
    mean = objectives[evaluation.index("momentum")].mean()
    assert artists["momentum: mean ± standard error"].get_ydata()[1] == pytest.approx(mean)
    assert [text.get_text() for text in axes.texts] == ["1 diverged"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Momentum", "RMSProp", "Adam", "Learned"]


def test_spectrum_holds_every_mode_over_the_untrained_ones(study, axes):
    dossier = study.dossiers["rosenbrock"]
    artists = draw_spectrum(dossier.modes, dossier.untrained_modes, axes)
    points = artists["decays"].get_offsets() @ [1, 1j]
    np.testing.assert_allclose(np.sort_complex(points), np.sort_complex(dossier.modes.decays))
    np.testing.assert_allclose(np.sort(artists["decays"].get_array()), np.sort(np.abs(dossier.modes.learning_rates)))
    assert len(artists["untrained decays"].get_offsets()) == len(dossier.untrained_modes.decays)
    assert artists["untrained decays"].zorder < artists["decays"].zorder


def test_shift_draws_one_line_per_displacement(study, axes):
    shift = study.dossiers["rosenbrock"].shift
    lines = list(draw_shift(shift, axes).values())
    np.testing.assert_array_equal([line.get_ydata() for line in lines], shift.updates)


def test_clipping_panels(study, axes):
    dossier = study.dossiers["linear_regression"]
    artists = draw_initial_update(dossier, axes)
    np.testing.assert_array_equal(artists["update"].get_ydata(), dossier.initial_update.updates[0])
    at_one = np.interp(1.0, *artists["tangent"].get_data())
    assert at_one == pytest.approx(-dossier.autonomous.learning_rates[0])
    values, edges, _ = draw_gradient_density(dossier, axes)["density"].get_data()
    inside = np.abs(dossier.visits.gradients) <= edges[-1]
    assert (values * np.diff(edges)).sum() == pytest.approx(inside.mean())


def test_schedule_and_its_reference(study, axes):
    autonomous = study.dossiers["linear_regression"].autonomous
    artists = draw_learning_rates(autonomous, 3.7, axes)
    np.testing.assert_array_equal(artists["learning rate"].get_ydata(), autonomous.learning_rates)
    assert set(artists["tuned momentum"].get_ydata()) == {3.7}
    assert artists["tuned momentum"].get_linestyle() == "--"
    assert set(draw_learning_rates(autonomous, None, axes)) == {"learning rate"}


def test_s_curve(study, axes):
    dossier = study.dossiers["rosenbrock"]
    artists = draw_s_curve(dossier, axes, plane=(1, 2))
    np.testing.assert_allclose(artists["fixed points"].get_offsets(), project(dossier, dossier.branch.states, (1, 2)))
    np.testing.assert_array_equal(artists["fixed points"].get_array(), dossier.branch.gradients)
    colors = artists["fixed points"].cmap(
        artists["fixed points"].norm(np.array([-1, 1]) * dossier.branch.gradients[-1])
    )
    assert colors[0, 0] > colors[0, 1] and colors[1, 1] > colors[1, 0]  # negative red, positive green
    lines = draw_branch_updates(dossier, axes)
    np.testing.assert_array_equal([line.get_ydata() for line in lines.values()], dossier.branch_updates.updates)
    arms = draw_adaptation(dossier.branch, 0.1, axes)
    drawn = len(arms["negative gradients"].get_xdata()) + len(arms["positive gradients"].get_xdata())
    assert drawn == len(dossier.branch.gradients) - 1
    assert arms["positive gradients"].get_ydata()[-1] == dossier.branch.learning_rates[-1]
    assert to_hex(arms["positive gradients"].get_color()) == style.POSITIVE


def test_modes_as_momentum(study, axes):
    modes = study.momentum_like_dossier.modes
    artists = draw_parameters(modes, (2.0, 0.9), (3.0, 0.8), axes)
    np.testing.assert_allclose(artists["modes"].get_offsets()[:, 1], np.abs(modes.decays))
    assert artists["tuned momentum"].get_offsets().tolist() == [[2.0, 0.9]]
    assert artists["analytic optimum"].get_offsets().tolist() == [[3.0, 0.8]]
    through = study.meta_training["momentum_like"]
    assert len(draw_mode_paths(through, (3.0, 0.8), axes)["modes"].get_offsets()) == through.decays.size


def test_followed_modes_are_lines_and_the_one_that_leads_stands_out(study, axes):
    through = study.meta_training["momentum_like"]
    values = np.abs(through.learning_rates)
    artists = draw_followed(through.steps, values, 3.0, None, axes)
    np.testing.assert_array_equal(artists["leading mode"].get_ydata(), values[:, 0])
    assert artists["leading mode"].get_zorder() > artists["mode 2"].get_zorder()
    assert set(study.meta_training) == {"momentum_like", "linear_regression", "rosenbrock"}
    assert values[-1, 0] == values[-1].max()


def test_modes_through_meta_training_have_a_row_for_each_of_many_optimizers(study):
    through = {f"linear_regression_seed{i}": study.meta_training["linear_regression"] for i in range(10)}
    drawn = followed_figure(through, dict.fromkeys(through, "linear_regression"), study.tuned)
    assert len(drawn.numbers["summary"]) == 10
    titles = [axes.get_title() for axes in drawn.figure.axes]
    assert sum("bf{j}" in title for title in titles) == 1


def test_network_figures_show_their_groups_modes_and_held_states(network, axes):
    drawn = groups_figure(network)
    rates = network.groups.learning_rates
    for i, name in enumerate(network.groups.groups):
        np.testing.assert_array_equal(drawn.numbers["panels"]["c"]["series"][name]["y"], rates[i])
        first = np.abs(network.visits.gradients[network.visits.group == i, 0])
        assert drawn.numbers["panels"]["d"]["series"][f"{name}: median"]["x"][0] == pytest.approx(np.median(first))
    assert len(set(map(tuple, group_colors(network.groups.groups)))) == len(network.groups.groups)
    assert draw_group_rates(network.groups, axes)["layer 1 biases"].get_linestyle() == "--"
    for figure in (modes_figure, held_figure):
        one = figure({"two_moons": network})
        one.figure.draw_without_rendering()
        assert "nan" not in one.caption and json.dumps(to_json(one.numbers), allow_nan=False)
    panels = modes_figure({"two_moons": network}).numbers["panels"]
    for i, shift in enumerate(network.shifts):
        lines = list(panels[f"two_moons, b{i + 1}"]["series"].values())
        np.testing.assert_array_equal([line["y"] for line in lines], shift.updates)
    held = draw_held(network, axes, style.magnitude_norm(network.rest.held_learning_rates))["held states"]
    np.testing.assert_array_equal(held.get_array(), network.rest.held_learning_rates[~network.rest.from_box])


def test_figure_7_needs_groups(study):
    with pytest.raises(ValueError, match="needs a network's layers"):
        groups_figure(study.dossiers["rosenbrock"])


def test_single_mode_of_a_linear_system_explains_all(study):
    single = study.single_mode
    assert single.driven_updates.shape == single.updates.shape
    response = study.momentum_like_dossier.modes.as_optimizer(single.modes)
    assert np.all(np.abs(response.decays) < 1)
    residual = ((single.updates - single.driven_updates) ** 2).sum()
    total = ((single.updates - single.updates.mean()) ** 2).sum()
    assert single.driven_r_squared == pytest.approx(1 - residual / total)
    first = -(single.learning_rates.sum().real) * study.momentum_like_dossier.visits.gradients[:, 0]
    np.testing.assert_allclose(single.driven_updates[:, 0], first, rtol=1e-6)


def test_samples_best_on_top_and_winner_marked(study, axes):
    tuned = study.tuned["rosenbrock"]["adam"]
    from matplotlib.colors import LogNorm

    artists = draw_samples(tuned, (0, 1), LogNorm(1e-2, 1), axes)
    scores = artists["settings"].get_array()
    assert (np.diff(scores) <= 0).all()  # the last one drawn is the best
    assert len(scores) + len(artists["diverged"].get_offsets()) == len(tuned.scores)
    rate, decay = tuned.samples[tuned.winner, :2]
    np.testing.assert_allclose(artists["winner"].get_offsets(), [[rate, 1 - decay]])


def test_tuning_figure_has_a_panel_per_pair_with_one_color_scale(study):
    drawn = tuning_figure("linear_regression", study.tuned["linear_regression"])
    assert list(drawn.numbers["panels"]) == list("abcde")
    shown = [
        c
        for axes in drawn.figure.axes
        for c in axes.collections
        if c.get_cmap() is not None and c.get_array() is not None
    ]
    assert len({(c.norm.vmin, c.norm.vmax) for c in shown}) == 1


def test_one_color_per_optimizer(drawn, study):
    for number in (1, 17):
        for name in study.evaluations["rosenbrock"].names:
            color = style.color_of(name)
            artists = [
                to_hex(artist.get_color() if hasattr(artist, "get_ydata") else artist.get_facecolor()[0][:3])
                for axes in drawn[number].figure.axes
                for artist in (*axes.lines, *axes.collections)
                if hasattr(artist, "get_ydata") or len(artist.get_facecolor())
            ]
            assert color in artists
    order = [
        sum(np.array([0.2126, 0.7152, 0.0722]) * _rgb(style.COLORS[n]))
        for n in ("learned", "adam", "momentum", "rmsprop")
    ]
    assert (np.diff(order) > 0.07).all()  # distinct in gray


def _rgb(color):
    return np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def test_one_task_gives_one_column_and_fewer_figures(study, zoo):
    one = Study(["linear_regression"], key=jax.random.key(0), num_problems=4, source=zoo)
    one.dossiers._made.update(study.dossiers._made)
    assert available(one) == [1, 2, 5, 8, 10, 11, 12, 14, 15, 16, 17, 18]
    for number in (1, 8, 10, 11, 12, 17):
        draw(number, one).figure.draw_without_rendering()
    with pytest.raises(ValueError, match="unknown figure that this study can draw '3'"):
        draw(3, one)
    with pytest.raises(ValueError, match="unknown figure '22'"):
        draw(22, one)


def test_a_study_computes_only_what_is_asked_for(zoo):
    study = Study(["linear_regression", "rosenbrock"], key=jax.random.key(0), num_problems=4, source=zoo)
    draw(2, study), draw(18, study)
    assert list(study.tuned._made) == ["linear_regression"]
    for part in ("trained", "dossiers", "evaluations", "linearized", "seeds", "information"):
        assert not getattr(study, part)._made
    assert not {"momentum_like", "single_mode", "followed", "meta_training"} & set(vars(study))
    with pytest.raises(FileNotFoundError):
        Study(["two_moons"], key=jax.random.key(0), source=zoo)
    with pytest.raises(KeyError):
        _ = study.dossiers["mnist"]


def test_every_record_names_a_function_that_draws_it():
    for number, one in FIGURES.items():
        module = importlib.import_module(f"optoscope.paper.figures.{one.module}")
        assert callable(getattr(module, f"figure_{number}"))


def test_importing_figures_loads_no_matplotlib():
    code = "import sys, optoscope.paper.figures, optoscope.paper.reproduce; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
