"""Ablations of planted optimizers, whose needs are known; the rules of verdicts; what is saved and drawn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optoscope import tasks
from optoscope.figures.ablation import ablation_figure, draw_ablation, rows_of
from optoscope.interventions import Ablation, ClipGradient, ablate, ablation
from optoscope.interventions.variants import Variant
from optoscope.interventions.verdicts import Effect, decide
from optoscope.optimizers import GradientDescent, Momentum
from optoscope.running import evaluate
from optoscope.tasks import AbstractTask, Problem

SMALL = {"num_problems": 16, "num_steps": 100, "key": jax.random.key(0)}


class Parabola(Problem):
    curvature: jax.Array


class Parabolas(AbstractTask):
    """`f(x) = curvature x^2 / 2` with curvatures from 1 to 10,000."""

    def sample(self, key):
        start_key, curvature_key = jax.random.split(key)
        curvature = 10.0 ** jax.random.uniform(curvature_key, maxval=4.0)
        return Parabola(initial_params=jax.random.normal(start_key, (1,)), curvature=curvature)

    def loss(self, problem, params, key):
        return jnp.sum(problem.curvature * params**2) / 2


@pytest.fixture(scope="module")
def heavy_ball():
    """Heavy ball near its best on linear regression: it has momentum, and nothing else."""
    return ablate(
        Momentum(3.7, 0.88),
        tasks.get("linear_regression"),
        mechanisms=("momentum", "schedule", "adaptation", "grouping"),
        num_controls=1,
        **SMALL,
    )


@pytest.fixture(scope="module")
def clipped():
    """Heavy ball with a hard clip on parabolas whose curvatures span four decades: no one rate suits them all."""
    return ablate(ClipGradient(Momentum(0.02, 0.5), 1.0), Parabolas(), mechanisms=("clipping",), baselines={}, **SMALL)


def test_an_ablation_that_was_interrupted_goes_on_to_the_same_numbers(tmp_path):
    class Interrupted(Exception):
        pass

    def interrupt(what, done, total):
        if what == "evaluating" and done == 2:
            raise Interrupted

    given = {"mechanisms": ("clipping",), "baselines": {}, "num_problems": 4, "num_steps": 20, "key": jax.random.key(0)}
    rule, task = ClipGradient(Momentum(0.02, 0.5), 1.0), Parabolas()
    with pytest.raises(Interrupted):
        ablate(rule, task, directory=tmp_path, report=interrupt, **given)
    log = (tmp_path / "log.jsonl").read_text()
    again = ablate(rule, task, directory=tmp_path, resume=True, **given)
    assert (tmp_path / "log.jsonl").read_text().startswith(log)  # nothing was computed twice
    at_once = ablate(rule, task, **given)
    np.testing.assert_array_equal(again.objectives, at_once.objectives)
    np.testing.assert_array_equal(again.scales, at_once.scales)
    with pytest.raises(FileExistsError, match="--resume"):
        ablate(rule, task, directory=tmp_path, **given)
    with pytest.raises(ValueError, match="another optimizers"):
        ablate(Momentum(0.02, 0.5), task, directory=tmp_path, resume=True, **given)


def test_hopeless_scales_are_dropped_early_which_changes_nothing(monkeypatch):
    lengths = []

    def search(never_drop=False):
        def watched(task, optimizers, *, num_steps, **settings):
            lengths.append(num_steps)
            found = evaluate(task, optimizers, num_steps=num_steps, **settings)
            harmless = never_drop and num_steps == 10
            return dataclasses.replace(found, objectives=np.zeros_like(found.objectives)) if harmless else found

        lengths.clear()
        monkeypatch.setattr(ablation, "evaluate", watched)
        descent = Variant("descent", "momentum", "alone", GradientDescent(1.0))
        scale = ablation.best_scale(descent, Parabolas(), num_problems=4, num_steps=100, key=jax.random.key(0))
        return scale, lengths.count(100)

    (scale, num_whole_runs), (without, all_of_them) = search(), search(never_drop=True)
    assert scale == without
    assert num_whole_runs < all_of_them


def test_a_heavy_ball_needs_its_momentum_which_is_enough(heavy_ball):
    found = heavy_ball.verdict("momentum")
    assert (found["needed"], found["sufficient"]) == ("needed", "sufficient")
    assert heavy_ball.verdict("adaptation")["needed"] == "not needed"
    for mechanism in ("schedule", "grouping"):
        assert heavy_ball.verdict(mechanism)["needed"] == "absent"
    alone = heavy_ball.index("leading modes alone")
    np.testing.assert_allclose(heavy_ball.objectives[alone], heavy_ball.objectives[0], rtol=1e-4)
    np.testing.assert_allclose(heavy_ball.log_ratios[heavy_ball.index("gain of the mean state")], 0, atol=1e-4)


def test_without_its_momentum_it_is_gradient_descent_at_the_best_rate(heavy_ball):
    removed = heavy_ball.index("leading modes removed")
    offset = heavy_ball.index("offset removed")
    np.testing.assert_allclose(
        heavy_ball.rescaled_objectives[removed], heavy_ball.rescaled_objectives[offset], rtol=1e-3
    )
    assert heavy_ball.rescaled_objectives[removed].mean() < heavy_ball.objectives[removed].mean()
    assert heavy_ball.scales[removed] < 1  # 3.7 is too much for a curvature of 1


def test_there_is_no_control_for_removing_the_only_direction(heavy_ball):
    notes = heavy_ball.notes["leading modes removed"]
    assert notes["modes"] == 1 and notes["draws left out as nearly the same directions"] == 1
    assert not [name for name in heavy_ball.names if name.startswith("random")]


def test_a_clipped_rule_needs_its_clipping(clipped):
    assert clipped.verdict("clipping")["needed"] == "needed"
    assert clipped.rescaled_log_ratio_intervals[clipped.index("tangent readout and state")][0] > 0.05
    assert clipped.best_baseline == "" and np.isnan(clipped.kept).all()


@pytest.mark.slow
def test_a_linear_rule_does_not_tell_groups_apart():
    task = tasks.get("two_moons(num_examples=16, widths=(2,))")
    result = ablate(
        Momentum(0.3, 0.5),
        task,
        key=jax.random.key(0),
        num_problems=4,
        num_steps=10,
        mechanisms=("grouping",),
        baselines={},
    )
    assert result.verdict("grouping")["needed"] == "not needed"
    factors = result.notes["gradients of equal size, updates scaled back"]
    assert len(factors) == 4 and max(factors.values()) > 2 * min(factors.values())
    np.testing.assert_allclose(result.log_ratios, 0, atol=1e-3)


def test_controls_that_change_nothing_are_identical(heavy_ball, clipped):
    for result in (heavy_ball, clipped):
        assert result.identical
        for name in ("unchanged, wrapped", "no direction removed"):
            np.testing.assert_allclose(result.objectives[result.index(name)], result.objectives[0], rtol=1e-5)


def test_the_share_of_the_advantage_is_1_for_itself_and_0_for_the_best_baseline(heavy_ball):
    assert heavy_ball.best_baseline == "tuned momentum"
    assert heavy_ball.kept[heavy_ball.index("tuned momentum")] == 0
    np.testing.assert_allclose(heavy_ball.kept[0], 1)
    assert (heavy_ball.kept_intervals[1] == 1).all()


def _effect(name, low, high, *, mechanism="momentum", kind="removed", control_of=""):
    return Effect(name, mechanism, kind, control_of, low, high, 0)


@pytest.mark.parametrize(
    "effects,needed",
    [
        ([_effect("a", 0.2, 0.3)], "needed"),
        ([_effect("a", 0.2, 0.3), _effect("b", -0.1, 0.01)], "not needed"),
        ([_effect("a", 0.2, 0.3), _effect("b", 0.0, 0.2)], "undecided"),
        ([_effect("a", 0.2, 0.3), _effect("c", 0.1, 0.25, kind="control", control_of="a")], "undecided"),
        ([_effect("a", 0.2, 0.3), _effect("c", 0.1, 0.15, kind="control", control_of="a")], "needed"),
        ([_effect("a", 0.2, 0.3), _effect("c", 0.1, 0.25, kind="control", control_of="b")], "needed"),
        (  # what costs no more than a control is set aside; the other removal decides
            [_effect("a", 0.2, 0.3), _effect("c", 0.1, 0.25, kind="control", control_of="a"), _effect("b", 0.1, 0.2)],
            "needed",
        ),
        (
            [_effect("a", 0.2, 0.3), _effect("c", 0.1, 0.25, kind="control", control_of="a"), _effect("b", 0.0, 0.2)],
            "undecided",
        ),
        ([_effect("a", 0.2, 0.3), _effect("c", 0.1, 0.25, mechanism="", kind="control")], "undecided"),
        ([_effect("a", np.inf, np.inf)], "needed"),
        ([], "undecided"),
    ],
)
def test_a_mechanism_is_needed_if_every_telling_removal_hurts(effects, needed):
    (judged,) = decide(effects, {}, mechanisms=["momentum"], margin=0.05)
    assert judged["needed"] == needed and judged["sufficient"] == ""


@pytest.mark.parametrize(
    "alone,sufficient",
    [
        ([_effect("a", -0.1, 0.04, kind="alone"), _effect("b", 1, 2, kind="alone")], "sufficient"),
        ([_effect("a", 0.06, 0.2, kind="alone")], "not sufficient"),
        ([_effect("a", 0.0, 0.2, kind="alone")], "undecided"),
    ],
)
def test_a_mechanism_is_sufficient_if_one_way_of_having_it_alone_is_as_good(alone, sufficient):
    judged = decide(alone, {"clipping": "absent: linear"}, mechanisms=["momentum", "clipping"], margin=0.05)
    assert [entry["sufficient"] for entry in judged] == [sufficient, ""]
    assert judged[1]["needed"] == "absent" and judged[1]["why_needed"] == "linear"
    together = [dataclasses.replace(one, kind="together", mechanism="momentum + clipping") for one in alone]
    assert decide(together, {}, mechanisms=[], margin=0.05)[0]["sufficient"] == sufficient


def test_an_ablation_is_saved_and_loaded(heavy_ball, tmp_path):
    loaded = Ablation.load(heavy_ball.save(tmp_path / "ablation.npz"))
    for field in dataclasses.fields(Ablation):
        np.testing.assert_equal(getattr(loaded, field.name), getattr(heavy_ball, field.name))


def test_the_figure_shows_the_result(heavy_ball):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    artists = draw_ablation(heavy_ball, axes)
    shown = [i for _, i in rows_of(heavy_ball) if i is not None]
    assert sorted(shown) == list(range(1, len(heavy_ball.names)))
    points = np.asarray(artists["rescaled"].get_offsets())[:, 0]
    np.testing.assert_allclose(points, np.exp(heavy_ball.rescaled_log_ratios[shown]))
    bar = artists["interval: offset removed"].get_xdata()
    at = heavy_ball.index("offset removed")
    np.testing.assert_allclose(bar, np.exp(heavy_ball.rescaled_log_ratio_intervals[at]))
    assert len(axes.get_yticklabels()) == len(rows_of(heavy_ball))
    _, numbers = ablation_figure(heavy_ball)
    assert [row["name"] for row in numbers["rows"]] == [heavy_ball.names[i] for i in shown]


def test_the_figure_stars_what_is_compared_with_another_variant(heavy_ball):
    other = dataclasses.replace(heavy_ball, references=[*heavy_ball.references[:-1], heavy_ball.names[2]])
    figure, _ = ablation_figure(other)
    starred = [label.get_text().strip() for label in figure.axes[0].get_yticklabels() if "*" in label.get_text()]
    assert starred == [f"{heavy_ball.names[-1]} *"]
    assert figure.axes[0].get_xlabel().endswith(f"* to that of: {heavy_ball.names[2]}")


@pytest.mark.parametrize(
    "change,message",
    [
        ({"mechanisms": ("momentun",)}, "unknown mechanism 'momentun'. Did you mean 'momentum'"),
        ({"num_problems": 1}, "`num_problems` must be a whole number of at least 2"),
        ({"margin": 0.0}, "`margin` must lie in"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ablate(Momentum(0.1, 0.9), tasks.get("rosenbrock"), **{**SMALL, **change})
