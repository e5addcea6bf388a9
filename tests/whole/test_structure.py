"""`structure`: units, fingerprints, thresholds, decay and noise of optimizers whose truth is known."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optoscope
from optoscope.optimizers import Context, from_optax
from optoscope.whole import find_component, find_decay, find_rhythm, off_diagonal_leak, spectral_update, structure
from optoscope.whole._bench import make_bench
from optoscope.whole._exponents import SETTINGS, make_case
from optoscope.whole._kinks import find_thresholds
from optoscope.whole._symmetries import is_of_matrices, measure_symmetries, rotates


def test_a_rule_of_one_component_is_said_to_be_one():
    found = structure(optax.sgd(0.1, momentum=0.9), name="momentum")
    assert found.unit == "component" and found.exponents["own"] == pytest.approx(1.0, abs=1e-3)
    others = [value for name, value in found.union.items() if name not in ("own", "matrix", "all")]
    assert np.abs(others).max() <= 1e-3
    assert found.symmetries["order of components"] < 1e-9 and found.thresholds == []
    assert found.summary == "every component by itself; updates grow as the gradients do"
    json.dumps(found.to_json(), allow_nan=False)
    assert repr(found).startswith("momentum: every component by itself") and "<table>" in found._repr_html_()


def test_a_global_norm_ties_the_network_together():
    found = structure(optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.1)))
    assert found.unit == "network"
    (threshold,) = found.thresholds
    assert threshold["norm"] == "norm of all gradients" and threshold["value"] == pytest.approx(1.0, rel=0.02)
    assert found.decay["kind"] == "decoupled" and found.decay["size"] == pytest.approx(1e-4, rel=1e-3)
    assert "it clips at a norm of all gradients of 1;" in found.summary


def test_the_fingerprint_of_a_global_norm():
    found = structure(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)))
    expected = {"own": 1.0, "row": -0.04, "column": -0.05, "rest": -0.63, "matrix": 0.33, "others": -0.66}
    for name, value in expected.items():
        assert found.exponents[name] == pytest.approx(value, abs=0.05), name
    assert found.exponents["all"] == pytest.approx(0.0, abs=1e-3)


def test_a_norm_over_a_tensor_is_a_layer():
    found = structure(optax.lars(0.1, weight_decay=0.0))
    assert found.unit == "layer" and found.exponents["parameters"] == pytest.approx(1.0, abs=0.01)
    assert found.exponents["rest"] == pytest.approx(-0.92, abs=0.05) and found.exponents["others"] == 0.0


def test_factored_second_moments_are_rows_and_columns():
    found = structure(optax.adafactor(1e-3, min_dim_size_to_factor=1))
    assert found.unit == "row and column"
    for name, value in {"own": 0.89, "row": -0.90, "column": -0.90, "rest": 0.93}.items():
        assert found.exponents[name] == pytest.approx(value, abs=0.06), name


@pytest.mark.parametrize(
    "clip,norm,value",
    [
        (optax.clip(0.3), "size of a component's gradient", 0.3),
        (optax.clip_by_global_norm(5.0), "norm of all gradients", 5.0),
        (optax.clip_by_block_rms(0.02), "root mean square of a matrix's gradients", 0.02),
    ],
)
def test_thresholds_are_found_before_what_normalizes(clip, norm, value):
    (found,) = find_thresholds(make_bench(optax.chain(clip, optax.adam(1e-3))))
    assert found["norm"] == norm and found["value"] == pytest.approx(value, rel=0.02)


def test_decay_is_told_by_its_kind():
    coupled = optax.chain(optax.add_decayed_weights(0.02), optax.adam(1e-2))
    assert (found := find_decay(coupled)).kind == "coupled" and found.size == pytest.approx(0.02, rel=0.01)
    momentum = optax.chain(optax.add_decayed_weights(0.02), optax.sgd(0.1, momentum=0.9))
    assert (found := find_decay(momentum)).kind == "coupled" and found.size == pytest.approx(0.02, rel=0.01)
    schedule = optax.cosine_decay_schedule(1e-2, 100)
    decoupled = find_decay(optax.adamw(schedule, weight_decay=0.3))
    assert decoupled.kind == "decoupled"
    np.testing.assert_allclose(decoupled.sizes, [0.3 * schedule(k) for k in range(48)], rtol=1e-3)
    assert find_decay(optax.adam(1e-2)).kind == "none"


def test_noise_and_accumulation():
    noisy = find_rhythm(optax.chain(optax.add_noise(0.01, 0.0, jax.random.key(0)), optax.sgd(0.1)))
    assert noisy.noise == pytest.approx(0.1 * np.sqrt(2), rel=0.05) and noisy.noise_power == pytest.approx(0, abs=0.05)
    gathered = find_rhythm(optax.MultiSteps(optax.sgd(0.1), 4))
    assert (gathered.period, gathered.gathers, gathered.noise) == (4, "mean", 0.0)


def test_a_component_of_optax_among_others():
    context = Context(((2, 2),))
    rule = from_optax(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)), context=context)
    others = sum(float((part**2).sum()) for part in context.gradient(0))
    _, dx = rule.step(rule.initial_state(), 3.0)
    assert rule.num_states == 0 and float(dx) == pytest.approx(-0.1 * 3 / np.sqrt(others + 9), rel=1e-6)
    with pytest.raises(TypeError):
        from_optax(optax.sgd(0.1), context=3)


def test_what_signs_are_taken_of_is_kept():
    assert from_optax(optax.lion(0.1), context=Context()).num_states == 1


def test_refusals_give_the_real_reason():
    with pytest.raises(ValueError, match="takes parameters in pairs"):
        from_optax(optax.lookahead(optax.sgd(0.1), 5, 0.5), context=True)
    with pytest.raises(ValueError, match="another structure after a step"):
        from_optax(optax.monitor({"size": optax.ema(0.9)}), context=True)


def test_the_spectral_view():
    muon, adam = optax.contrib.muon(0.02), optax.adam(0.1)
    assert max(off_diagonal_leak(optax.sgd(0.1)), off_diagonal_leak(muon)) < 1e-6 < 0.1 < off_diagonal_leak(adam)
    assert find_component(muon).view == "spectral"
    singular_values, updates = spectral_update(muon)
    upper = updates[singular_values > 1e-2]
    assert 0.3 < upper.min() / upper.max() < 1.0


def test_anything_is_taken():
    assert structure("optax:sgd(learning_rate=0.1)").optimizer == "optax:sgd(learning_rate=0.1)"
    assert structure(optoscope.optimizers.GradientDescent(0.1)).unit == "component"
    with pytest.raises(TypeError):
        structure(3)


def test_it_does_not_depend_on_the_clock(monkeypatch):
    import time

    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))
    found = structure(tx)
    ticks = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))  # as if each moment took a quarter of an hour
    again = structure(tx)
    assert found.summary == again.summary and np.array_equal(found.table, again.table)


def test_a_step_of_many_operations_is_looked_at_less():
    torch = pytest.importorskip("torch")
    from optoscope.whole.structure import _plan

    class Slow(torch.optim.SGD):
        def step(self, closure=None):
            for _ in range(1500):
                self.param_groups[0]["params"][0].data.mul_(1.0)
            return super().step(closure)

    many, few = (_plan(make_bench(lambda params, kind=kind: kind(params, lr=0.1))) for kind in (Slow, torch.optim.SGD))
    assert many[1] < few[1] and len(many[0]) < len(few[0])
    assert few == _plan(make_bench(optax.sgd(0.1)))


def test_a_loss_is_given_under_the_name_that_is_asked_for():
    run = make_bench(optax.contrib.sophia(0.1)).run([make_case(SETTINGS[0], 4)])[0]
    assert np.isfinite(run[0]).all()


def test_noise_makes_no_optimizer_of_matrices():
    leaks = measure_symmetries(make_bench(optax.chain(optax.add_noise(0.01, 0.55, 0), optax.sgd(0.1))), 8)
    assert rotates(leaks) and not is_of_matrices(leaks)
    assert is_of_matrices(measure_symmetries(make_bench(optax.contrib.muon(0.1)), 8))


def test_a_decay_behind_clipping_goes_through_the_momentum():
    schedule = optax.warmup_cosine_decay_schedule(0, 0.1, 20, 200)
    inner = optax.sgd(schedule, momentum=0.9, nesterov=True)
    found = find_decay(optax.chain(optax.clip(1.0), optax.add_decayed_weights(5e-4), inner))
    assert found.kind == "coupled" and found.size == pytest.approx(5e-4, rel=0.01)
    assert find_decay(optax.chain(optax.clip(1.0), optax.adamw(schedule, weight_decay=0.1))).kind == "decoupled"


def test_a_norm_that_is_met_later_ties_together_as_well():
    assert structure(optax.chain(optax.clip_by_block_rms(5.0), optax.sgd(1e-3))).unit == "layer"


def test_components_that_are_tied_together_late_are_seen_to_be():
    def update(updates, state, params=None):
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(updates)))
        late = state >= 30
        return jax.tree.map(lambda g: -0.1 * jnp.where(late, g / norm, g), updates), state + 1

    late = optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)
    assert structure(late).unit == "network"
    assert structure(optax.adam(0.1)).unit == "component"
