"""The page's engine makes the same updates as Python."""

import json
import shutil
import subprocess
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optoscope
from optoscope.dynamics import linearize
from optoscope.dynamics._precision import to_float64
from optoscope.explorer.program import UntranslatableError, translate
from optoscope.explorer.runnable import runnable, runnable_whole
from optoscope.mechanisms import diagnose
from optoscope.optimizers import (
    AbstractOptimizer,
    Adam,
    AggregatedMomentum,
    GradientDescent,
    GRUOptimizer,
    Momentum,
    NesterovMomentum,
    RMSProp,
)
from optoscope.whole import find_component

SCRIPT = Path(optoscope.__file__).parent / "explorer" / "script"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")

#: The most units of a network whose page is promised to be quick.
MOST_UNITS = 64
NUM_STEPS = 200


def in_the_page(rules, gradients, settings=None, at=None):
    """Run rules, given as data with one pool, in node; returns updates and rates [rule, step] and last states.

    With a state `at`, returns derivatives there.
    """
    pool, data = {}, []
    for make in rules:
        data.append(make(pool))
    common = {"gradients": list(map(float, gradients)), "settings": settings or {}, "at": at}
    return in_node(pool, [{"rule": one, **common} for one in data])


def in_node(pool, cases):
    run = subprocess.run(
        [str(NODE), str(Path(__file__).with_name("engine.mjs")), *(str(SCRIPT / f) for f in ("rule.js", "program.js"))],
        input=json.dumps({"pool": pool, "cases": cases}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    number = lambda text: float(text.replace("Infinity", "inf"))
    return [
        {name: np.array(list(map(number, values))) for name, values in one.items()} for one in json.loads(run.stdout)
    ]


@eqx.filter_jit
def _run(rule, start, gradients):
    def step(h, g):
        (new, dx), (_, slope) = jax.jvp(lambda g: rule.step(h, g), (g,), (jnp.ones_like(g),))
        return new, (dx, -slope)

    return jax.lax.scan(step, start, gradients)


def in_python(rule, gradients):
    with jax.enable_x64(True):
        made = to_float64(rule)
        last, (updates, rates) = _run(made, jnp.asarray(made.initial_state(), float), jnp.asarray(gradients, float))
        return {"updates": np.asarray(updates), "rates": np.asarray(rates), "state": np.asarray(last)}


def assert_same(found, wanted, name, tolerance=1e-9):
    for part in ("updates", "rates", "state"):
        size = np.abs(wanted[part]).max(initial=0.0, where=np.isfinite(wanted[part]))
        about = {"rtol": tolerance, "atol": tolerance * size, "err_msg": f"{name}: {part}"}
        np.testing.assert_allclose(found[part], wanted[part], **about)


def gradients(num_steps=NUM_STEPS):
    """Sizes over decades and both signs; the first is not 0, where some rules have no slope."""
    random = np.random.default_rng(0)
    return random.standard_normal(num_steps) * 10 ** random.uniform(-3, 2, num_steps)


OWN = [
    GradientDescent(0.1),
    Momentum(0.1, 0.9),
    NesterovMomentum(0.1, 0.99),
    AggregatedMomentum([0.1, 0.02], [0.5, 0.99]),
    AggregatedMomentum(np.array([0.1 + 0.2j, 0.1 - 0.2j]), np.array([0.5 + 0.7j, 0.5 - 0.7j])),
    RMSProp(0.01, 0.9),
    Adam(0.01, 0.9, 0.999),
    GRUOptimizer.create(num_units=5, key=jax.random.key(1), input_kind="log_sign"),
]
FROM_OPTAX = {
    "sgd": optax.sgd(0.1),
    "heavy ball": optax.sgd(0.1, momentum=0.9),
    "nesterov": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "warmup": optax.sgd(optax.warmup_cosine_decay_schedule(0.0, 0.1, 20, 200), momentum=0.9),
    "piecewise": optax.sgd(optax.piecewise_constant_schedule(0.1, {50: 0.1, 100: 0.5})),
    "adam": optax.adam(0.01),
    "nadam": optax.adam(0.01, nesterov=True),
    "adamax": optax.adamax(0.01),
    "amsgrad": optax.amsgrad(0.01),
    "adabelief": optax.adabelief(0.01),
    "yogi": optax.yogi(0.01),
    "radam": optax.radam(0.01),
    "adan": optax.adan(0.01),
    "adagrad": optax.adagrad(0.1),
    "adadelta": optax.adadelta(1.0),
    "rmsprop": optax.rmsprop(0.01),
    "rmsprop, momentum": optax.rmsprop(0.01, momentum=0.9),
    "rmsprop, centered": optax.rmsprop(0.01, centered=True),
    "rprop": optax.rprop(0.01),
    "sign": optax.sign_sgd(0.01),
    "optimistic": optax.optimistic_gradient_descent(0.01),
    "clipped adam": optax.chain(optax.clip(1.0), optax.adam(0.01)),
    "clipped momentum": optax.chain(optax.trace(0.9), optax.clip(0.5), optax.scale(-0.1)),
    "averaged": optax.chain(optax.ema(0.9), optax.scale(-0.1)),
    "keep sign of momentum": optax.chain(optax.trace(0.9), optax.scale_by_sign(), optax.scale(-0.1)),
    "accumulated": optax.MultiSteps(optax.sgd(0.1, momentum=0.9), 4).gradient_transformation(),
}
#: Rules whose schedule optax computes in float32, where compiled programs round otherwise than step by step.
IN_FLOAT32 = {"warmup", "piecewise"}


@needs_node
def test_same_updates_as_python_for_all_rules():
    rules = {type(rule).__name__ + str(i): rule for i, rule in enumerate(OWN)}
    rules |= {name: optoscope.as_rule(tx) for name, tx in FROM_OPTAX.items()}
    assert len(rules) >= 30
    found = in_the_page([lambda pool, rule=rule: runnable(rule, pool) for rule in rules.values()], gradients())
    for (name, rule), one in zip(rules.items(), found):
        assert_same(one, in_python(rule, gradients()), name, tolerance=1e-6 if name in IN_FLOAT32 else 1e-9)


@needs_node
def test_same_updates_as_python_for_all_that_ships():
    rules = {name: optoscope.as_rule(name) for name in optoscope.shipped()}
    rules = {name: rule for name, rule in rules.items() if rule.num_states <= MOST_UNITS}
    assert len(rules) >= 20
    found = in_the_page([lambda pool, rule=rule: runnable(rule, pool) for rule in rules.values()], gradients())
    for (name, rule), one in zip(rules.items(), found):
        assert_same(one, in_python(rule, gradients()), name)


@needs_node
def test_an_explanation_runs_in_the_page():
    tx = optax.chain(optax.clip(1.0), optax.sgd(0.1, momentum=0.9))
    rule = diagnose(tx, gradients=(1e-2, 10.0)).explanation.rule
    (found,) = in_the_page([lambda pool: runnable(rule, pool)], gradients())
    assert_same(found, in_python(rule, gradients()), "explanation", tolerance=1e-8)


@needs_node
def test_settings_move_the_rule():
    (found,) = in_the_page([lambda pool: runnable(Adam(0.01, 0.9, 0.999), pool)], gradients(), {"b1": 0.5, "eps": 0.1})
    assert_same(found, in_python(Adam(0.01, 0.5, 0.999, 0.1), gradients()), "adam, moved")


@needs_node
def test_derivatives_follow_the_settings():
    state = [0.3, 0.7]
    moved = {"b1": 0.5, "eps": 0.1}
    (found,) = in_the_page([lambda pool: runnable(Adam(0.01, 0.9, 0.999), pool)], [], moved, at=state)
    wanted = linearize(Adam(0.01, 0.5, 0.999, 0.1), state)
    for name in "ABCD":
        np.testing.assert_allclose(found[name], np.ravel(getattr(wanted, name)), rtol=1e-9, err_msg=name)


@needs_node
def test_a_rule_without_state_has_derivatives():
    (found,) = in_the_page([lambda pool: runnable(GradientDescent(0.1), pool)], [], at=[])
    assert found["D"].tolist() == [-0.1] and not found["A"].size


WHOLE = {
    "AdamW behind a norm": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.01)),
    "Muon": optax.contrib.muon(0.02),
    "Adafactor": optax.adafactor(0.01),
    "LAMB": optax.lamb(0.01),
}


@needs_node
def test_whole_optimizers_run_on_matrices():
    random = np.random.default_rng(0)
    start, slopes = random.standard_normal((3, 3)), random.standard_normal((30, 3, 3))
    pool: dict[str, str] = {}
    cases = []
    for tx in WHOLE.values():
        data = runnable_whole(tx, (3, 3), pool)
        cases.append({"whole": data, "start": start.ravel().tolist(), "gradients": slopes.reshape(30, 9).tolist()})
    for (name, tx), found in zip(WHOLE.items(), in_node(pool, cases)):
        with jax.enable_x64(True):
            x = jnp.asarray(start)
            state, path = tx.init(x), [start]
            for slope in slopes:
                updates, state = tx.update(jnp.asarray(slope), state, x)
                x = x + updates
                path.append(np.asarray(x))
        np.testing.assert_allclose(found["path"], np.ravel(path), rtol=1e-9, atol=1e-12, err_msg=name)


@needs_node
def test_components_in_context_and_singular_values_run_in_the_page():
    rules = {name: find_component(WHOLE[name]).optimizer for name in ("AdamW behind a norm", "Muon")}
    small = 0.01 * gradients()
    found = in_the_page([lambda pool, rule=rule: runnable(rule, pool) for rule in rules.values()], small)
    for (name, rule), one in zip(rules.items(), found):
        assert_same(one, in_python(rule, small), name)


def test_an_axis_of_length_1_is_repeated():
    program = translate(lambda x, y: (x * y[None],), x=np.zeros((3, 3)), y=np.zeros(3))
    sizes = {out: {program.sizes[n] for n in given} for name, out, given, _ in program.operations if name == "mul"}
    assert list(sizes.values()) == [{9}]


def test_a_look_up_outside_of_an_array_is_refused():
    with pytest.raises(UntranslatableError, match="outside of an array"):
        translate(lambda x: (x.at[jnp.array([7])].get(mode="fill", fill_value=-1.0),), x=np.zeros(3))


def test_what_the_page_cannot_run_is_refused_by_name():
    class Sorts(AbstractOptimizer):
        def initial_state(self):
            return jnp.zeros(3)

        def step(self, h, g):
            return jnp.sort(h + g), -g

    with pytest.raises(UntranslatableError, match="operation sort"):
        runnable(Sorts(), {})


def test_operations_that_no_output_needs_are_left_out():
    def step(x):
        jnp.tanh(x) + 5
        return x + 1, x * 2

    program = translate(step, x=np.zeros(3))
    assert [name for name, *_ in program.operations] == ["add", "mul"]
    assert program.num_needed == 1
