"""Distillation: planted formulas are found again, what is printed is what runs, results survive the disk."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.distillation import DistillConfig, Distilled, ReadableOptimizer, distill, formula_of, measure
from optoscope.distillation.distill import choose_size
from optoscope.distillation.faithful import find_faithful
from optoscope.distillation.fit import (
    Trajectories,
    draw_lanes,
    fit_updates,
    r_squared,
    record_trajectories,
    replay,
)
from optoscope.distillation.readable import PIECES, complete, from_free, numbers_of, states_of, to_free
from optoscope.distillation.search import _Search
from optoscope.figures.distillation import distillation_figure, save_distillation_figure
from optoscope.optimizers import Momentum, from_optax
from optoscope.running.problems import Purpose
from optoscope.tasks import LinearRegression

TASK = LinearRegression(num_params=2)
ALL = tuple(PIECES)


def some_numbers(pieces, seed=0):
    rng = np.random.default_rng(seed)
    draw = {
        "positive": lambda: rng.uniform(0.5, 3),
        "decay": lambda: rng.uniform(0.3, 0.9),
        "real": lambda: rng.normal() * 0.3,
    }
    return {number.name: float(f"{draw[number.kind]():.4g}") for number in numbers_of(pieces)}


def test_with_momentum_alone_it_is_heavy_ball():
    gradients = jnp.asarray(np.random.default_rng(0).normal(size=(12, 3)), jnp.float32)
    mine = ReadableOptimizer(("momentum",), {"alpha": 0.3, "beta": 0.8})
    np.testing.assert_allclose(replay(mine, gradients), replay(Momentum(0.3, 0.8), gradients), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in ALL if name != "momentum"])
def test_each_piece_changes_what_is_done_and_is_nothing_when_neutral(name):
    gradients = jnp.asarray(np.random.default_rng(1).normal(size=(12, 3)), jnp.float32)
    needs = {"power": ("saturation",)}.get(name, ())
    plain_pieces = ("momentum", *needs)
    numbers = some_numbers((*plain_pieces, name))
    without = ReadableOptimizer(plain_pieces, {n.name: numbers[n.name] for n in numbers_of(plain_pieces)})
    given = ReadableOptimizer((*plain_pieces, name), numbers)
    neutral = ReadableOptimizer(ALL, complete(without.numbers))
    assert np.abs(replay(given, gradients) - replay(without, gradients)).max() > 1e-3
    np.testing.assert_allclose(replay(neutral, gradients), replay(without, gradients), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pieces", [("momentum",), ("momentum", "saturation", "gain"), ALL])
def test_the_printed_formula_is_the_optimizer(pieces):
    optimizer = ReadableOptimizer(pieces, some_numbers(pieces)).rounded
    formula = formula_of(optimizer)
    step, h = formula.compiled(), dict.fromkeys(states_of(pieces), 0.0)
    gradients = np.random.default_rng(2).normal(size=15) * 2
    printed = []
    for g in gradients:
        h, dx = step(h, g)
        printed.append(dx)
    expected = replay(optimizer, jnp.asarray(gradients[:, None], jnp.float32))[:, 0]
    np.testing.assert_allclose(expected, printed, rtol=2e-4, atol=2e-5)
    assert formula.text().splitlines()[-1].startswith("dx = ")
    assert formula.latex().count(r"\\") == len(formula.names) - 1


def test_every_constant_of_the_formula_is_counted():
    pieces = ("momentum", "saturation", "schedule", "gain")
    optimizer = ReadableOptimizer(pieces, some_numbers(pieces, seed=3)).rounded
    text = formula_of(optimizer).text()
    assert optimizer.num_numbers == 9
    for name, value in optimizer.numbers.items():
        if name in ("alpha", "beta", "gamma", "a", "b"):
            assert f"{abs(value):.4g}" in text


def test_what_is_tuned_leads_back_to_the_numbers():
    numbers = complete(some_numbers(("momentum", "saturation", "complex mode")))
    back = from_free(to_free(numbers)).numbers
    for name, value in numbers.items():
        assert float(back[name]) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("pieces", "numbers", "message"),
    [
        (("momentum", "magic"), {}, "magic"),
        (("gain",), {}, "must contain 'momentum'"),
        (("momentum", "power"), {}, "add 'saturation'"),
        (("momentum",), {"alpha": 1.0}, "must have the names alpha, beta"),
    ],
)
def test_what_is_no_readable_optimizer_is_refused(pieces, numbers, message):
    with pytest.raises(ValueError, match=message):
        ReadableOptimizer(pieces, numbers)


@pytest.fixture(scope="module")
def planted():
    """A saturating momentum with a gain, and what it does on real problems."""
    pieces = ("momentum", "saturation", "gain")
    optimizer = ReadableOptimizer(pieces, {"alpha": 0.9, "beta": 0.8, "theta": 1.5, "gamma": 0.7, "c": 0.6})
    seen = record_trajectories(
        TASK, optimizer, num_problems=32, num_steps=30, purpose=Purpose.TRAIN, key=jax.random.key(0)
    )
    return optimizer, seen


def test_planted_numbers_are_recovered_from_updates(planted):
    optimizer, seen = planted
    lanes = draw_lanes(optimizer.pieces, {}, seen, num_lanes=4, key=jax.random.key(1))
    fitted, r2 = fit_updates(lanes, seen, num_steps=900)
    best = int(np.argmax(r2))
    found = fitted.optimizer(best)
    assert r2[best] > 0.9999
    for name, value in optimizer.numbers.items():
        assert found.numbers[name] == pytest.approx(value, rel=0.03)
    assert r_squared(found, seen) == pytest.approx(r2[best], abs=1e-3)


def test_r_squared_is_one_for_itself_and_zero_for_one_that_stands_still(planted):
    optimizer, seen = planted
    assert r_squared(optimizer, seen) == pytest.approx(1, abs=1e-6)
    still = Trajectories(seen.gradients, np.zeros_like(seen.updates) + 1e-30)
    assert r_squared(Momentum(1e-30, 0.0), seen) == pytest.approx(0, abs=1e-6)
    assert still.gradient_scale == seen.gradient_scale


def test_a_search_finds_the_bottom_of_a_bent_valley_and_its_step_keeps_below_the_ceiling():
    valley = lambda x: 100 * (x[:, 1] - x[:, 0] ** 2) ** 2 + (1 - x[:, 0]) ** 2
    searches = [_Search(np.zeros(2), sigma=0.5, population=20, seed=s) for s in (1, 1, 2)]
    first = [search.ask() for search in searches]
    np.testing.assert_array_equal(first[0], first[1])
    assert first[0].shape == (20, 2) and not np.array_equal(first[0], first[2])
    search = searches[0]
    for _ in range(150):
        search.tell(valley(search.ask()), largest=0.5)
    np.testing.assert_allclose(search.mean, 1, atol=1e-3)
    search.tell(valley(search.ask()), largest=1e-9)
    assert np.ptp(search.ask(), axis=0).max() < 1e-6


def test_the_smallest_size_within_the_margin_is_chosen():
    assert choose_size([0.05, 0.04, 0.0399, 0.03], [2, 4, 8, 40], max_numbers=30) == 1
    assert choose_size([0.05, 0.04, 0.03], [2, 4, 8], max_numbers=30) == 2
    assert choose_size([np.inf, 0.04], [2, 4], max_numbers=30) == 1
    with pytest.raises(ValueError, match="more than 1 numbers"):
        choose_size([0.05], [2], max_numbers=1)


@pytest.fixture(scope="module")
def distilled(planted):
    config = DistillConfig(
        path=(("momentum",), ("saturation", "gain")), num_lanes=4, num_fits=60, num_generations=5, num_polishes=5,
        num_problems=8, num_validation=16, num_test=16, num_steps=20,
    )  # fmt: skip
    return distill(planted[0], TASK, key=jax.random.key(0), source="planted", config=config)


def test_a_distillation_from_end_to_end(distilled, tmp_path):
    own = [i for i, aim in enumerate(distilled.aims) if aim == "objective"]
    assert distilled.num_numbers[own].tolist() == [2, 5]
    assert distilled.objectives.shape == (2 + len(distilled.aims), 16)
    # The planted one is slow: tuned on the objective, formulas leave its updates behind and do better than it does.
    assert (distilled.objectives[2:][own].mean(1) < distilled.objectives[0].mean()).all()
    assert (distilled.one_step_r2 <= 1).all() and np.isfinite(distilled.running_r2).all()
    assert distilled.size(0).num_numbers == 2 and distilled.optimizer == distilled.size(distilled.chosen)
    assert distilled.advantage_kept().keys() == {"mean", "median", "log"}
    low, high = distilled.advantage_interval()
    assert distilled.baseline == "linear_regression/momentum" and low <= high
    assert {row["num_steps"] for row in distilled.generalization} == {5, 100, 20}
    again = Distilled.load(distilled.save(tmp_path / "distilled.npz"))
    assert again.numbers == distilled.numbers
    assert again.formula().text() == distilled.formula().text()
    updates, _ = again.transformation.update(jnp.ones(3), again.transformation.init(jnp.zeros(3)))
    assert np.all(np.asarray(updates) < 0)


def test_what_is_written_of_a_distillation(distilled, tmp_path):
    names = {path.name for path in save_distillation_figure(distilled, tmp_path)}
    formulas = {f"{kind}formula.{ending}" for kind in ("", "faithful_") for ending in ("txt", "tex")}
    assert names == {"distillation.png", "distillation.svg", "distillation.json", *formulas}
    assert names == {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "formula.txt").read_text() == f"{distilled.formula().text()}\n"
    assert (tmp_path / "formula.tex").read_text().startswith("\\begin{aligned}")


def test_a_path_is_checked_before_any_work():
    with pytest.raises(ValueError, match="gian"):
        DistillConfig(path=(("momentum",), ("gian",)))
    with pytest.raises(ValueError, match="must begin with a group that has 'momentum'"):
        DistillConfig(path=(("gain",), ("momentum",)))


def test_the_interval_of_what_is_kept_holds_what_was_planted(distilled):
    rng = np.random.default_rng(0)
    source, gap = rng.random(400), 1 + rng.random(400)
    half = dataclasses.replace(distilled, baseline="it", objectives=np.stack([source, source + gap, source + gap / 2]))
    np.testing.assert_allclose(half.advantage_interval(0), 0.5)
    noisy = source + gap / 2 + 0.3 * rng.normal(size=400)
    low, high = dataclasses.replace(half, objectives=np.stack([source, source + gap, noisy])).advantage_interval(0)
    assert low < 0.5 < high < low + 0.1


def test_measuring_again_on_more_problems_changes_nothing_else(distilled, planted):
    config = DistillConfig(num_test=24, num_steps=20)
    sizes = [distilled.size(i) for i in range(len(distilled.aims))]
    again = measure(
        planted[0], TASK, sizes, distilled.validations, distilled.chosen, aims=distilled.aims, key=jax.random.key(0),
        config=config,
    )  # fmt: skip
    assert again.faithful == distilled.faithful
    assert (
        again.objectives.shape == (2 + len(sizes), 24)
        and again.numbers == distilled.numbers
        and again.chosen == distilled.chosen
    )


def test_its_figure_draws_its_numbers(distilled):
    figure, numbers = distillation_figure(distilled)
    np.testing.assert_allclose(numbers["panels"]["b"]["series"]["one step"]["y"], distilled.one_step_r2[:2])
    assert len(figure.axes) == 3
    assert numbers["summary"]["formula"] == distilled.formula().text().splitlines()


def fed(optimizer, seed):
    """Updates under gradients that are drawn and fade."""
    gradients = np.random.default_rng(seed).standard_normal((40, 32)) * np.linspace(2, 0.3, 40)[:, None]
    return Trajectories(gradients.astype(np.float32), np.asarray(replay(optimizer, jnp.asarray(gradients))))


@pytest.mark.parametrize(
    ("optimizer", "numbers"),
    [
        (Momentum(0.1, 0.9), {"alpha": 0.1, "beta": 0.9}),
        (
            from_optax(optax.chain(optax.clip(1.0), optax.sgd(0.1, momentum=0.9))),
            {"alpha": 0.1, "beta": 0.9, "theta_h": 1.0},
        ),
    ],
    ids=["heavy ball", "heavy ball behind a hard clip"],
)
def test_a_classical_rule_comes_back_with_its_own_numbers(optimizer, numbers):
    *_, found = find_faithful(fed(optimizer, 0), fed(optimizer, 1), max_numbers=30, key=jax.random.key(0))
    assert found.numbers == numbers
    assert r_squared(found, fed(optimizer, 2)) == pytest.approx(1, abs=1e-9)


def test_both_results_are_said_with_their_fidelity(distilled):
    """The planted one, whose updates the second aim finds, and which the first one leaves behind."""
    assert distilled.aims[distilled.faithful] == "updates" and distilled.aims[distilled.chosen] == "objective"
    assert distilled.one_step_r2[distilled.faithful] > 0.999
    assert distilled.headline.startswith("The most faithful formula (") and "The best formula (" in distilled.headline
    worse = dataclasses.replace(distilled, one_step_r2=np.full(len(distilled.aims), -0.5))
    assert "further from the source's than no update at all would be (R2 -0.500)" in worse.headline
