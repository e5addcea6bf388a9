"""Claims are judged by their rules, on numbers whose verdict is known."""

import json

import numpy as np
import pytest

from optoscope.anatomy import Dossier, GroupPaths, ModeShift
from optoscope.artifacts import TunedOptimizer
from optoscope.dynamics import AutonomousTrajectory, Branch, UpdateFunction, linearize, modes
from optoscope.optimizers import AggregatedMomentum
from optoscope.paper.claims import (
    ALL_TASKS,
    CLAIMS,
    Claim,
    Measured,
    Quantity,
    Rule,
    adaptation,
    grouping,
    judge,
    make_ledger,
    meta_training,
    schedule,
    tuning,
)
from optoscope.paper.claims._claim import exact, over_problems
from optoscope.paper.figures import FIGURES
from optoscope.paper.study import PAPER_TASKS, Study
from optoscope.running.evaluate import Evaluation

BY_ID = {claim.id: claim for claim in CLAIMS}


def number(value, interval=None):
    return Quantity(value, interval, "test")


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.0, "reproduced"), (0.05, "reproduced"), (0.1, "partly"), (0.25, "partly"), (0.3, "not")]
)
def test_small_is_good(value, verdict):
    assert Rule("x", good=0.05, bad=0.25).judge(number(value)) == verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.95, "reproduced"), (0.7, "partly"), (0.2, "not"), (np.inf, "reproduced")]
)
def test_large_is_good(value, verdict):
    assert Rule("x", good=0.9, bad=0.5).judge(number(value)) == verdict


def test_a_rule_by_interval_needs_all_of_it():
    rule = Rule("difference", 0.0, 0.0, at_most=True, by_interval=True)
    assert rule.judge(number(-1, (-2, -0.5))) == "reproduced"
    assert rule.judge(number(-1, (-2, 0.5))) == "partly"
    assert rule.judge(number(1, (0.5, 2))) == "not"


def test_the_first_number_is_the_heart_of_a_claim():
    rules = (Rule("a", 1.0, 0.0), Rule("b", 1.0, 0.0))
    claim = Claim("x.y", "1", None, "it", ("mnist",), rules, lambda study, task: None)
    assert claim.judge([number(1), number(1)]) == "reproduced"
    assert claim.judge([number(1), number(-1)]) == "partly"
    assert claim.judge([number(0.5), number(1)]) == "partly"
    assert claim.judge([number(-1), number(1)]) == "not"
    assert claim.rule.startswith("Reproduced if a is at least 1;") and "and b is" in claim.rule


def test_bootstrap_intervals_cover_the_mean_and_shrink():
    rng = np.random.default_rng(1)
    few, many = (over_problems(rng.normal(size=n)) for n in (16, 1024))
    assert few.interval[0] < few.value < few.interval[1]
    assert np.ptp(many.interval) == pytest.approx(4 / np.sqrt(1024), rel=0.15)
    assert np.ptp(few.interval) > 3 * np.ptp(many.interval)
    again = over_problems(np.arange(9.0), np.median)
    assert again == over_problems(np.arange(9.0), np.median)  # the resampling is always the same


def test_every_claim_is_well_formed():
    for claim in CLAIMS:
        assert set(claim.tasks) <= {*PAPER_TASKS, ALL_TASKS} and claim.tasks, claim.id
        assert set(claim.beyond) <= set(PAPER_TASKS) - set(claim.tasks), claim.id
        assert claim.figure in FIGURES and claim.says.endswith("."), claim.id
        assert len({rule.what for rule in claim.rules}) == len(claim.rules) >= 1, claim.id
        for rule in claim.rules:
            assert (rule.good == rule.bad) == (rule.at_most is not None), (claim.id, rule)
    themes = {claim.id.partition(".")[0] for claim in CLAIMS}
    assert themes == {"performance", "momentum", "clipping", "schedule", "adaptation", "grouping",
                      "recovered_momentum", "meta_training", "tuning"}  # fmt: skip


def study_of(**parts) -> Study:
    """A study of nothing but some parts."""
    names = ("trained", "tuned", "evaluations", "dossiers", "linearized", "seeds", "meta_training")
    empty = {name: {} for name in names}
    alone = dict.fromkeys(("known_updates", "momentum_like", "momentum_like_dossier", "single_mode"))
    return stand_in(Study, **{**empty, **alone, "tasks": (), "provenance": {}, **parts})


def with_parts(study, **parts) -> Study:
    """The same study with other parts."""
    return stand_in(Study, **{**vars(study), **parts})


def judged(name: str, study: Study, task: str):
    claim = BY_ID[name]
    measured = claim.measure(study, task)
    assert isinstance(measured, Measured) and measured.sentence.endswith(".")
    return claim.judge(measured.quantities), measured


def test_an_optimizer_that_wins_everywhere_and_one_that_does_not():
    rng = np.random.default_rng(0)
    other = rng.uniform(0.5, 1.0, 64)
    for factor, verdict in ((0.5, "reproduced"), (2.0, "not")):
        objectives = np.stack([factor * other, other])
        evaluation = Evaluation(["learned", "adam"], "rosenbrock", np.ones((2, 64, 3)), objectives, {})
        found, measured = judged(
            "performance.beats_adam", study_of(evaluations={"rosenbrock": evaluation}), "rosenbrock"
        )
        assert found == verdict
        assert measured.quantities[1].value == pytest.approx(np.log(factor))


def stand_in(kind, **fields):
    """An instance of a class that has only some of its fields."""
    made = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def dossier_with(**parts):
    return study_of(dossiers={"rosenbrock": stand_in(Dossier, **parts)})


def test_few_modes_explain_what_they_do():
    decays = [0.9, 0.5, 0.3]
    one = modes(linearize(AggregatedMomentum([1.0, 1e-3, 1e-3], decays), np.zeros(3)))
    many = modes(linearize(AggregatedMomentum([1.0] * 3, [0.1, 0.5, 0.9]), np.zeros(3)))
    assert one.best(1)[1] > 0.999
    assert many.best(3)[1] == pytest.approx(1.0)
    chosen, share = many.best(1)
    assert many.decays[chosen] == pytest.approx([0.9]) and share < 0.9
    assert judged("momentum.few_modes", dossier_with(modes=one), "rosenbrock")[0] == "reproduced"


def test_a_conjugate_pair_counts_as_one_mode():
    rule = AggregatedMomentum([1 + 0.5j], [0.8 + 0.3j])
    pair = modes(linearize(rule, np.zeros(2)))
    assert len(pair.decays) == 2
    assert pair.best(1)[1] == pytest.approx(1.0)


def shift(offset: float, turn: float) -> ModeShift:
    along, gradients = np.linspace(-1, 1, 5), np.linspace(-1, 1, 21)
    updates = offset * along[:, None] - (0.1 + turn * along[:, None]) * gradients
    return ModeShift(0, along, np.zeros((5, 1)), gradients, updates, offset * along, 0.1 + turn * along, {})


def test_offsets_and_turns_of_the_update_function():
    assert shift(1.0, 0.0).offset_share(1.0) == pytest.approx(1.0)
    assert shift(0.0, 1.0).offset_share(1.0) == pytest.approx(0.0)
    assert 0.0 < shift(1.0, 1.0).offset_share(1.0) < 1.0


def test_a_slope_back_is_measured():
    g = np.linspace(-3, 3, 61)
    line, bump = (UpdateFunction(g, np.zeros((1, 1)), dx[None], {}) for dx in (-g, -g * np.exp(-(g**2))))
    assert line.slope_back.tolist() == [0.0] and bump.slope_back[0] > 0.9
    study = with_parts(dossier_with(initial_update=bump), seeds={"rosenbrock": {"rosenbrock_seed1": line}})
    verdict, measured = judged("clipping.non_monotonic", study, "rosenbrock")
    assert verdict == "partly" and measured.quantities[1].value == 0.0  # one seed does not show it


@pytest.mark.parametrize(
    ("rates", "warm", "absent"),
    [
        ([1.0, 2.0, 0.5], "reproduced", "not"),
        ([1.0, 1.0, 1.0], "not", "reproduced"),
        ([1.0, 1.5, 1.5], "partly", "partly"),
    ],
)
def test_schedules(rates, warm, absent):
    study = dossier_with(autonomous=stand_in(AutonomousTrajectory, learning_rates=np.array(rates)))
    tuned = stand_in(TunedOptimizer, names=["learning_rate"], samples=np.ones((1, 1)), winner=0)
    study = with_parts(study, tuned={"rosenbrock": {"momentum": tuned}})
    assert judged("schedule.present", study, "rosenbrock")[0] == warm
    assert judged("schedule.absent", study, "rosenbrock")[0] == absent
    assert schedule.CLAIMS


def branch(positive, negative, g=None):
    g = np.geomspace(1e-4, 1.0, 50) if g is None else g
    return stand_in(
        Branch,
        gradients=np.concatenate([-g[::-1], [0.0], g]),
        learning_rates=np.concatenate([negative(g)[::-1], [1.0], positive(g)]),
        spectral_radii=np.zeros(101),
        folds=np.zeros(0, int),
    )


def test_arms_of_the_curve():
    fall = lambda g: 1 / (1 + g)
    grid, positive, negative = adaptation.arms(branch(fall, fall))
    np.testing.assert_allclose(positive, fall(grid), rtol=5e-3)
    study = dossier_with(branch=branch(fall, fall))
    assert judged("adaptation.symmetric_arms", study, "rosenbrock")[0] == "reproduced"
    assert judged("adaptation.rate_falls", study, "rosenbrock")[0] == "reproduced"
    assert judged("adaptation.s_curve", study, "rosenbrock")[0] == "reproduced"
    rising = dossier_with(branch=branch(lambda g: 1 + g, fall))
    assert judged("adaptation.rate_falls", rising, "rosenbrock")[0] == "not"
    apart = dossier_with(branch=branch(lambda g: 0 * g + 3.0, fall))
    assert judged("adaptation.symmetric_arms", apart, "rosenbrock")[0] == "not"
    np.testing.assert_array_equal(np.diff(grid) > 0, True)
    assert negative[0] == pytest.approx(1.0, rel=1e-3)


def groups(rates):
    rates = np.tile(rates, (8, 1)) * np.random.default_rng(0).uniform(0.99, 1.01, (8, 4))
    names = ["layer 1 biases", "layer 1 weights", "layer 2 biases", "layer 2 weights"]
    return GroupPaths(names, np.zeros((4, 2, 1)), np.ones((4, 2)), rates, rates, {})


def test_groups():
    apart = dossier_with(groups=groups([0.1, 1.0, 0.2, 2.0]))
    assert judged("grouping.biases_lower", apart, "rosenbrock")[0] == "reproduced"
    assert judged("grouping.later_layers_higher", apart, "rosenbrock")[0] == "reproduced"
    assert judged("grouping.only_on_mnist", apart, "rosenbrock")[0] == "not"
    assert judged("grouping.gradients_differ", apart, "rosenbrock")[0] == "not"  # biases meet smaller gradients here
    alike = dossier_with(groups=groups([1.0, 1.0, 1.0, 1.0]))
    assert judged("grouping.only_on_mnist", alike, "rosenbrock")[0] == "reproduced"
    assert BY_ID["grouping.biases_lower"].measure(dossier_with(groups=None), "rosenbrock") is None
    assert grouping.CLAIMS and meta_training.CLAIMS


def test_the_edge_of_a_range():
    ranges = {"ranges": [[1e-4, 1.0], [0.0, 0.9999]], "scales": ["log", "one_minus_log"], "winner": 0}
    for sample, distance in (([1e-2, 0.99], 0.5), ([1.0, 0.0], 0.0)):
        samples = np.array([sample])
        tuned = stand_in(TunedOptimizer, names=["learning_rate", "decay"], samples=samples, **ranges)
        assert tuning.edge_distances(tuned) == pytest.approx({"learning_rate": distance, "decay": distance})


def test_a_ledger_without_data_says_how_to_give_them(monkeypatch, tmp_path):
    monkeypatch.setenv("OPTOSCOPE_MNIST", str(tmp_path))
    ledger = judge(study_of(tasks=("rosenbrock",), tuned={}), asked=["mnist"])
    assert ledger.left_out == {
        "mnist": "MNIST: its data are not at hand; pass --mnist-dir or set OPTOSCOPE_MNIST to have it measured."
    }


def test_a_ledger_without_learned_optimizers_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("optoscope.tasks.is_at_hand", lambda name: True)
    ledger = judge(study_of(tasks=("rosenbrock",), tuned={}), asked=["mnist"])
    assert ledger.left_out == {
        "mnist": "MNIST: no learned optimizer ships yet, and no tuned baselines (momentum, rmsprop, adam)."
    }
    assert ledger.counts["mnist"]["not measured"] == sum("mnist" in claim.tasks for claim in CLAIMS)
    assert {one.verdict for one in ledger.findings} == {"not measured"}
    with pytest.raises(ValueError, match="unknown task of the paper 'cifar'"):
        make_ledger(["cifar"])


def test_a_ledger_is_plain_json(tmp_path):
    other = np.linspace(0.5, 1.0, 8)
    names = ["learned", "momentum", "rmsprop", "adam"]
    objectives = np.stack([0.5 * other, other, other, np.where(other == 1.0, np.inf, other)])
    evaluation = Evaluation(names, "mnist", np.ones((4, 8, 3)), objectives, {})
    claims = [claim for claim in CLAIMS if claim.id.startswith("performance")]
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("optoscope.paper.claims.ledger.CLAIMS", claims)
        ledger = judge(study_of(tasks=("mnist",), evaluations={"mnist": evaluation}), asked=["mnist"], seed=3)
    data = json.loads(ledger.save(tmp_path).read_text())
    assert data["counts"]["mnist"] == {"reproduced": 3, "partly": 0, "not": 0, "not measured": 0}
    assert data["findings"][0]["command"] == "optoscope figure 17 --seed 3"
    assert data["findings"][2]["quantities"]["mean of learned minus baseline"]["value"] is None  # infinitely better
    assert exact(1).interval is None
