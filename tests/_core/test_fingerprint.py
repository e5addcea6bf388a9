"""Fingerprints: equal things have equal ones, in every process, and any other number gives another."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope import tasks
from optoscope._core.fingerprint import fingerprint
from optoscope.optimizers import Momentum, from_optax

MAKE = {
    "module": lambda x: Momentum(x, 0.9),
    "traced": lambda x: Momentum(jnp.float32(x), 0.9),
    "optax": lambda x: from_optax(optax.adam(x)),
    "schedule": lambda x: from_optax(optax.sgd(optax.cosine_decay_schedule(x, 100))),
    "closure": lambda x: lambda y: x + y,
    "partial": lambda x: jax.tree_util.Partial(max, x),
    "mapping": lambda x: {"a": [x, None], 3: {x}},
    "array": lambda x: np.array([x, 1.0]),
    "key": lambda x: jax.random.key(int(1000 * x)),
    "jitted": lambda x: jax.jit(lambda y: x * y),
}


@pytest.mark.parametrize("name", MAKE)
def test_equal_things_agree_and_others_do_not(name):
    make = MAKE[name]
    assert fingerprint(make(0.1)) == fingerprint(make(0.1))
    assert fingerprint(make(0.1)) != fingerprint(make(0.2))


def test_the_last_digit_counts():
    assert fingerprint(0.1) != fingerprint(np.nextafter(0.1, 1))
    assert fingerprint(1) != fingerprint(1.0) != fingerprint("1.0")
    assert fingerprint(np.zeros(4)) != fingerprint(np.zeros((2, 2))) != fingerprint(np.zeros(4, np.float32))


def test_tasks_differ_in_their_data_and_settings():
    assert fingerprint(tasks.get("two_moons(num_examples=8)")) != fingerprint(tasks.get("two_moons(num_examples=16)"))


def test_another_process_agrees():
    code = (
        "import optax; from optoscope._core.fingerprint import fingerprint;"
        "from optoscope.optimizers import from_optax;"
        "print(fingerprint(from_optax(optax.adamw(0.1, weight_decay=0.0)), {'a': {1, 2}, 'b': None}))"
    )
    said = {
        subprocess.run([sys.executable, "-c", code], env={**__import__("os").environ, "PYTHONHASHSEED": seed},
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1


def test_what_refers_to_itself_ends():
    def function():
        return function

    assert fingerprint(function) == fingerprint(function)
