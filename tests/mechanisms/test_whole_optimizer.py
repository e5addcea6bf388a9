"""What `diagnose` says of optimizers whose components do not stand by themselves; the truth is known."""

import jax
import optax
import pytest

import optoscope
from optoscope.anatomy import Dossier
from optoscope.mechanisms import diagnose
from optoscope.optimizers import Momentum
from optoscope.whole import find_component

WHOLE = ("decay", "scope", "noise", "accumulation", "averaging")


def test_weight_decay_is_said_in_units_of_the_learning_rate():
    report = diagnose(optax.adamw(1e-3, weight_decay=0.1))
    assert report.view == "context" and report.explained > 0.999
    assert report.verdicts["decay"].effect == pytest.approx(1e-4, rel=1e-3)
    assert "momentum with timescale 0.90" in report.summary
    assert "a gain driven by squared gradients" in report.summary
    assert "decoupled weight decay, 0.1 times the learning rate of 0.001" in report.summary
    assert report.summary.endswith("looked at with its parameter held at 0")
    assert [report.verdicts[name].verdict for name in WHOLE[1:]] == ["absent"] * 4


@pytest.mark.slow
def test_clipping_of_a_norm_is_said_with_its_scope():
    report = diagnose(optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.1)))
    assert report.view == "context"
    assert "all gradients clipped together at a norm of 1" in report.summary
    assert report.verdicts["scope"].verdict == "present"


def test_a_component_that_stands_by_itself_has_no_verdicts_of_whole_optimizers():
    report = diagnose(Momentum(0.1, 0.9))
    assert report.view == "own" and not set(WHOLE) & set(report.verdicts)


def test_on_a_task_the_reason_is_given_why_one_component_is_not_enough():
    task = optoscope.tasks.get("linear_regression")
    with pytest.raises(ValueError, match=r"it reads the parameters: .* Leave out `task`"):
        Dossier(optax.adamw(1e-3), task, key=jax.random.key(0))


def test_a_component_at_0_is_taken_where_only_its_own_parameter_is_read():
    lion = find_component(optax.lion(1e-3, weight_decay=0.1))
    assert (lion.view, lion.context) == ("context", None)
    assert find_component(optax.lamb(1e-3)).context is not None  # the norm of the others' parameters is read
    assert find_component(optax.contrib.schedule_free_adamw(0.1)).context is not None  # it keeps copies of them
