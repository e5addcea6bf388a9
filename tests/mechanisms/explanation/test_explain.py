"""Explanations against rules whose parts are known: what comes back runs, and gives the same updates."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope import from_optax
from optoscope.dynamics import Probe
from optoscope.dynamics._precision import in_float64, to_float64
from optoscope.mechanisms.explanation.explain import explain, shares
from optoscope.mechanisms.explanation.law import GainLaw, Gains, predict
from optoscope.mechanisms.explanation.memory import realize, realize_changing, separate
from optoscope.mechanisms.explanation.probes import KINDS, make_probes
from optoscope.mechanisms.explanation.shapes import SHAPES, fit_map
from optoscope.optimizers import AbstractOptimizer, GradientDescent, Momentum, NesterovMomentum


class Own(AbstractOptimizer):
    """A memory of decay `decay`, with a static map of the gradient before it or of the memory behind it."""

    shape: str
    decay: float
    behind: bool = False

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        apply = SHAPES[self.shape].apply
        if self.behind:
            h = self.decay * h + g
            return h, -0.1 * apply(h[0], jnp)
        h = self.decay * h + apply(g, jnp)
        return h, -0.1 * h[0]


def explained(rule, low=1e-2, high=1e2, num_steps=60):
    return explain(Probe(rule), low=low, high=high, num_steps=num_steps)


@pytest.mark.parametrize(
    "rule,order,slope",
    [
        (GradientDescent(0.1), 0, 0.1),
        (Momentum(0.1, 0.9), 1, 0.1),
        (NesterovMomentum(0.1, 0.9), 1, 0.19),
        (from_optax(optax.chain(optax.trace(0.9), optax.trace(0.9), optax.scale(-0.1))), 2, 0.1),
    ],
    ids=["plain", "heavy ball", "Nesterov", "double pole"],
)
def test_linear_rules_come_back(rule, order, slope):
    found = explained(rule)
    assert found.explained > 0.999999 and found.rule.memory.order == order and found.rule.law is None
    np.testing.assert_allclose(found.rule.after[0], slope)


@pytest.mark.parametrize("shape", ["hard clip", "tanh", "sign", "soft threshold", "cubic"])
def test_a_map_before_a_memory_is_found_with_its_scale(shape):
    found = explained(Own(shape, 0.9))
    assert found.explained > 0.999 and found.rule.inner.name == shape and found.rule.outer.is_linear
    if shape != "sign":
        np.testing.assert_allclose(found.rule.inner.scale, 1, rtol=1e-3)


@pytest.mark.parametrize("shape", ["tanh", "sign"])
def test_a_map_behind_a_memory_is_told_from_one_before_it(shape):
    found = explained(Own(shape, 0.9, behind=True))
    assert found.explained > 0.99 and found.rule.outer.name == shape and found.rule.inner.is_linear


@pytest.mark.parametrize(
    "transformation,kind,decay,eps,inside,first",
    [
        (optax.adam(1e-2, b2=0.95, eps=1e-4), "mean", 0.95, 1e-4, False, False),
        (optax.rmsprop(1e-2, decay=0.9, eps=1e-3, momentum=0.8), "mean", 0.9, 1e-3, True, True),
        (optax.adagrad(0.1), "sum", 1.0, 1e-7, True, None),
        (optax.adamax(1e-2, b2=0.95, eps=1e-4), "maximum", 0.95, 1e-4, True, False),
    ],
    ids=["adam", "rmsprop with momentum", "adagrad", "adamax"],
)
def test_the_law_of_a_gain_comes_back(transformation, kind, decay, eps, inside, first):
    found = explained(from_optax(transformation), low=1e-3, high=10.0)
    law = found.rule.law
    assert found.explained > 0.999 and (law.kind, law.is_inside) == (kind, inside)
    # A maximum has corners, where least squares get stuck.
    np.testing.assert_allclose([law.decay, law.exponent], [decay, 1], rtol=2e-3 if kind == "maximum" else 1e-4)
    if kind != "sum":
        np.testing.assert_allclose(law.eps, eps, rtol=1e-2)
    if first is not None:
        assert found.rule.gain_first == first


def test_a_clip_in_front_of_adam_is_found_over_all_decades():
    found = explained(from_optax(optax.chain(optax.clip(0.5), optax.adam(1e-3))), low=1e-8, high=1e8)
    assert found.explained > 0.99 and found.rule.inner.name == "hard clip"
    np.testing.assert_allclose(found.rule.inner.scale, 0.5, rtol=1e-3)


class Cautious(AbstractOptimizer):
    """Momentum, masked where it disagrees with the gradient: no part describes that."""

    def initial_state(self):
        return jnp.zeros(1)

    def step(self, h, g):
        h = 0.9 * h + g
        return h, -0.1 * jnp.where(h[0] * g > 0, h[0], 0.0)


def test_what_no_part_describes_is_said_not_to_be_explained():
    found = explained(Cautious(), low=1e-3, high=10.0)
    assert found.explained < 0.9 and found.worst_share < 0.5
    assert found.behavior.remembers and found.behavior.timeless and found.behavior.in_proportion


@pytest.mark.parametrize("rule", [Momentum(0.1, 0.9), Own("tanh", 0.9), from_optax(optax.adam(1e-2))], ids=repr)
def test_the_rule_is_an_optimizer_and_runs_as_it_was_checked(rule):
    found = explained(rule)
    sequence = np.random.default_rng(0).standard_normal(20)

    @in_float64
    def updates(optimizer):
        optimizer = to_float64(optimizer)
        h, out = optimizer.initial_state(), []
        for g in sequence:
            h, dx = optimizer.step(h, jnp.asarray(g))
            out.append(float(dx))
        return np.array(out)

    np.testing.assert_allclose(updates(found.rule), found.rule.run(sequence[None])[0], rtol=1e-9, atol=1e-15)
    assert shares(updates(rule)[None], updates(found.rule)[None], np.ones(1))[0] > 0.999
    assert found.formula.splitlines()[-1].startswith("dx = -") and found.parts


@pytest.mark.parametrize(
    "structure", [{}, {"is_inside": True}, {"is_centered": True}, {"peak": True}, {"corrected": True}]
)
@pytest.mark.parametrize("kind,decay,power", [("mean", 0.9, 2.0), ("sum", 1.0, 2.0), ("maximum", 0.8, 1.0)])
def test_gains_after_whole_histories_are_those_of_one_gradient_at_a_time(kind, decay, power, structure):
    if structure and kind != "mean":
        return
    law = GainLaw(
        kind=kind, decay=decay, power=power, exponent=1.0, eps=0.1, start=0.5, **{"is_inside": False, **structure}
    )
    rng = np.random.default_rng(1)
    histories = rng.standard_normal((5, 7))
    histories[0, 4:] = np.nan
    last = rng.uniform(0.1, 1, 5)
    found = predict(law, Gains(histories, last, np.ones(5), np.zeros(5, int)))
    for history, g, one in zip(histories, last, found):
        state = law.begin()
        seen = history[~np.isnan(history)]
        for n, u in enumerate(seen):
            state, _ = law.advance(state, u, n)
        gains = [1 / law.advance(state, sign * g, len(seen))[1] for sign in (1, -1)]
        np.testing.assert_allclose(one, -np.log(np.mean(gains)), rtol=1e-10)


def test_memories_are_realized_from_their_responses():
    k = np.arange(200)
    for response in (0.9**k, (k + 1) * 0.8**k, 1.0 * (k < 13), 1.0 * (k == 4), 0.95**k * np.cos(0.3 * k)):
        np.testing.assert_allclose(realize(response).response(200), response, atol=1e-6)


def test_schedules_before_and_after_a_memory_are_told_apart():
    T = 40
    lag = np.arange(T)[:, None] - np.arange(T)
    rates = np.where(np.arange(T) >= 20, 0.1, 1.0)
    response = np.where(lag >= 0, 0.9 ** np.maximum(lag, 0), 0.0)
    before, _, after, error = separate(response * rates)
    assert error < 1e-9 and np.ptp(after) < 1e-9
    np.testing.assert_allclose(before, rates)
    before, _, after, error = separate(response * rates[:, None])
    assert error < 1e-9 and np.ptp(before) < 1e-9
    np.testing.assert_allclose(after, rates)


def test_memories_that_change_with_the_step_are_realized():
    T = 30
    decays = 0.5 + 0.49 * np.arange(T) / T
    kernel = np.array([[np.prod(decays[j + 1 : k + 1]) if k >= j else 0.0 for j in range(T)] for k in range(T)])
    memory = realize_changing(kernel)
    assert memory.order == 1
    z = np.zeros(1)
    u = np.random.default_rng(0).standard_normal(T)
    for n in range(T):
        np.testing.assert_allclose(z @ memory.C[n] + memory.D[n] * u[n], kernel[n] @ u, atol=1e-6)
        z = memory.A[n] @ z + memory.B[n] * u[n]


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_shapes_are_recognized(name):
    sizes = np.geomspace(1e-3, 1e3, 73)
    scale = 1.0 if name in ("one-sided", "other side", "magnitude", "powers of two", "sign") else 0.37
    f = lambda x: 2 * scale * SHAPES[name].apply(x / scale, np)
    found = fit_map(sizes, f(sizes) / sizes, f(-sizes) / -sizes)
    same = {"one-sided": "one-sided", "magnitude": "two slopes", "sign": "power"}.get(name, name)
    assert found.name in (name, same) or name == "powers of two"
    x = sizes * 1.01
    if name not in ("skip", "hard threshold", "ternary", "quantized", "powers of two"):
        np.testing.assert_allclose(found(x), f(x), rtol=1e-2, atol=1e-9)


def test_probes_are_of_every_kind_and_within_the_range():
    probes = make_probes(1e-3, 10.0, 50)
    assert set(probes.names) == set(KINDS) and np.abs(probes.gradients).max() <= 10
    assert len(np.unique(probes.scales)) == 5


@pytest.mark.parametrize(
    "transformation,about_mean,echoes,begins",
    [
        (optax.adabelief(1e-3, b1=0.8, b2=0.95), True, False, 0),
        (optax.adadelta(1.0, rho=0.9), False, True, 0),
        (optax.radam(1e-3, b2=0.99), False, False, 5),
    ],
    ids=["AdaBelief", "Adadelta", "RAdam"],
)
def test_laws_with_a_turn_of_their_own_come_back(transformation, about_mean, echoes, begins):
    found = explain(Probe(from_optax(transformation)), low=1e-3, high=10.0, num_steps=60, adapts=True)
    law = found.rule.law
    assert found.explained > 0.999 and law.error < 1e-3
    assert (law.about_mean, law.echoes, law.begins) == (about_mean, echoes, begins)
    if about_mean:
        np.testing.assert_allclose([law.mean_decay, law.decay], [0.8, 0.95], rtol=1e-4)


def test_a_law_that_fits_roughly_says_so():
    law = GainLaw(kind="mean", decay=0.9, power=2.0, exponent=1.0, eps=1e-8, is_inside=True, start=0.0, error=0.05)
    assert law.words.startswith("roughly the mean of squared gradients")
