"""What is compiled for one optimizer alone goes with it: memory stays bounded, however many are made."""

import gc
import weakref

import jax
import numpy as np
import optax
import pytest

from optoscope._core.compiled import NUM_KEPT
from optoscope.dynamics import autonomous_trajectory, linearize
from optoscope.mechanisms import diagnose
from optoscope.optimizers import Momentum, from_optax, from_torch
from optoscope.running import evaluate
from optoscope.tasks import LinearRegression


def num_programs() -> int:
    gc.collect()
    return len(jax.local_devices()[0].client.live_executables())


def num_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def rates(num):
    return 0.01 * (1 + np.arange(num) / num)


def test_programs_and_transformations_that_were_made_and_left_are_dropped():
    made, counts = [], []
    for rate in rates(NUM_KEPT + 2):
        tx = optax.sgd(rate, momentum=0.9)
        made.append(weakref.ref(tx.update))
        rule = from_optax(tx)
        np.testing.assert_allclose(linearize(rule, [0.0]).D, -rate, rtol=1e-6)
        assert autonomous_trajectory(rule, num_steps=5, gradient=1.0).updates[0] == pytest.approx(-rate)
        del tx, rule
        counts.append(num_programs())
    assert len(set(counts[NUM_KEPT:])) == 1
    assert sum(one() is not None for one in made) == NUM_KEPT


def test_a_diagnosis_leaves_nothing_behind():
    counts = []
    for rate in rates(NUM_KEPT + 2):
        diagnose(optax.sgd(rate), gradients=(0.1, 1.0), num_steps=10)
        counts.append(num_programs())
    assert len(set(counts[NUM_KEPT:])) == 1


def test_what_was_compiled_serves_the_same_optimizer_again_and_all_that_differ_in_numbers(key):
    tx = optax.sgd(0.01)
    others = {"transformation": tx, "rule": from_optax(tx), "momentum": Momentum(0.01, 0.9)}
    first = evaluate(LinearRegression(), others, num_problems=2, num_steps=5, key=key)
    before = num_programs()
    again = evaluate(LinearRegression(), others, num_problems=2, num_steps=5, key=key)
    assert num_programs() == before
    assert np.array_equal(first.losses, again.losses)
    np.testing.assert_array_equal(first.losses[0], first.losses[1])


@pytest.mark.slow
def test_torch_rules_are_dropped_too():
    torch = pytest.importorskip("torch")
    counts = []
    for rate in rates(NUM_KEPT + 2):
        rule = from_torch(lambda parameters, lr=float(rate): torch.optim.SGD(parameters, lr=lr, momentum=0.9))
        assert np.isfinite(autonomous_trajectory(rule, num_steps=5, gradient=1.0).updates).all()
        counts.append(num_programs())
    assert len(set(counts[NUM_KEPT:])) == 1


@pytest.mark.slow
def test_three_hundred_diagnoses_take_no_more_memory_than_a_few():
    sizes = []
    for rate in rates(300):
        diagnose(optax.adam(rate))
        sizes.append(num_bytes())
    assert sizes[-1] - sizes[20] < 100e6
