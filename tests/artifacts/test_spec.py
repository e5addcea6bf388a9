"""A spec names an optimizer and nothing else; what it names is judged before anything runs."""

import inspect
import sys

import optax
import optax.contrib
import pytest

from optoscope import as_optimizer
from optoscope.artifacts.spec import find_target, parse_spec, returns_transformation
from optoscope.optimizers import OPTIMIZERS

#: A module of a person. Whatever is imported leaves a file behind.
MODULE = """
import pathlib, sys
import jax.numpy as jnp
import optax
from optax import adam as my_adam
from optoscope.optimizers import AbstractOptimizer
pathlib.Path(__file__).with_suffix(".imported").touch()

def ran():
    pathlib.Path(__file__).with_suffix(".ran").touch()

class Mine(AbstractOptimizer):
    learning_rate: float
    def initial_state(self):
        return jnp.zeros(1)
    def step(self, h, g):
        return h, -self.learning_rate * g

class Thing:
    def __init__(self, *args):
        ran()

alias = Thing

def annotated(rate) -> optax.GradientTransformation:
    return optax.sgd(rate)

def as_text(rate) -> "optax.GradientTransformationExtraArgs":
    return optax.sgd(rate)

def either(rate) -> optax.GradientTransformation | optax.GradientTransformationExtraArgs:
    return optax.sgd(rate)

def silent(rate):
    ran()
    return optax.sgd(rate)

def maybe(rate) -> "optax.GradientTransformation | None":
    ran()

def number(rate) -> float:
    ran()
    return rate

def unknown(rate) -> "nowhere.GradientTransformation":
    return optax.sgd(rate)

def fails() -> optax.GradientTransformation:
    raise KeyError("a reason")

def leaves() -> optax.GradientTransformation:
    sys.exit(3)

def lies() -> optax.GradientTransformation:
    return 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A directory in which `mine.py` is, on Python's path."""
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(
    "text",
    [
        "os:system('touch pwned')",
        "subprocess:run(['touch', 'pwned'])",
        'builtins:exec(\'open("pwned", "w")\')',
        "shutil:rmtree('.')",
        "sys:exit(0)",
        "antigravity:anything()",
        "this:anything()",
        "runpy:run_path('x.py')",
        "pathlib:Path('pwned')",
        "os.path:join('a')",
        "__main__:anything()",
    ],
)
@pytest.mark.parametrize("trust", [False, True])
def test_nothing_of_python_itself_is_called_or_imported(text, trust, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    with pytest.raises(ValueError, match=r"was not called: .* is a part of Python, which holds no optimizers"):
        as_optimizer(text, trust=trust)
    assert list(tmp_path.iterdir()) == [] and {"antigravity", "this"}.isdisjoint(set(sys.modules) - before)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("silent(0.1)", "nothing says that silent returns an optimizer, so mine was not even imported"),
        ("number(0.1)", "nothing says that number returns an optimizer, so mine was not even imported"),
        ("Thing()", "Thing is a class without a base class, so mine was not even imported"),
        ("nothing()", "there is no nothing in it, so mine was not even imported"),
    ],
)
def test_what_the_source_shows_to_be_no_optimizer_is_not_imported(call, reason, module):
    with pytest.raises(ValueError, match=reason):
        as_optimizer(f"mine:{call}")
    assert not list(module.glob("mine.*ed")) and not list(module.glob("*.ran"))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("alias()", "it is a class, but not one of optimizers"),
        ("maybe(0.1)", "nothing says that it returns an optimizer"),
        ("pathlib()", "it is a module"),
        ("AbstractOptimizer()", "it is an abstract class"),
    ],
)
def test_what_is_no_optimizer_is_not_called(call, reason, module):
    with pytest.raises(ValueError, match=f"was not called: {reason}.* pass --trust"):
        as_optimizer(f"mine:{call}")
    assert not list(module.glob("*.ran"))


@pytest.mark.parametrize(
    "call", ["Mine(0.1)", "annotated(0.1)", "as_text(0.1)", "either(0.1)", "unknown(0.1)", "my_adam(0.1)"]
)
def test_optimizers_of_a_person_are_called(call, module):
    assert as_optimizer(f"mine:{call}") is not None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("fails()", "failed: KeyError: 'a reason'"),
        ("leaves()", "failed: SystemExit: 3"),
        ("lies()", "gave a int, not an optimizer"),
        ("annotated('x')", "cannot make a step: TypeError"),
        ("Mine()", "failed: "),
    ],
)
def test_what_goes_wrong_in_a_call_is_said(call, message, module):
    with pytest.raises(ValueError, match=message):
        as_optimizer(f"mine:{call}")


def test_trust_calls_what_it_is_given(module):
    assert isinstance(as_optimizer("mine:silent(0.1)", trust=True), optax.GradientTransformation)
    assert (module / "mine.ran").exists()
    with pytest.raises(ValueError, match="gave a Thing, not an optimizer"):
        as_optimizer("mine:Thing()", trust=True)
    with pytest.raises(ValueError, match="is a module, which cannot be called"):
        as_optimizer("mine:pathlib()", trust=True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('no')\nclass A(B): pass", "importing it failed with RuntimeError: no"),
        ("import sys\nsys.exit(4)\nclass A(B): pass", "importing it failed with SystemExit: 4"),
        ("def A(:", "has no Python source that could be read"),
    ],
)
def test_modules_that_cannot_be_imported(source, message, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=message):
        as_optimizer("broken:A()")


def test_a_package_is_searched_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "house" / "room.py").write_text("def door(): pass")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"house.room was not even imported"):
        as_optimizer("house.room:door()")
    with pytest.raises(ValueError, match=r"there is no module house.cellar"):
        as_optimizer("house.cellar:door()")


def test_a_module_in_the_present_directory_gets_a_hint(tmp_path, monkeypatch):
    (tmp_path / "here_only.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    with pytest.raises(ValueError, match=r"put PYTHONPATH=\. before the command"):
        as_optimizer("here_only:A()")


@pytest.mark.parametrize("text", ["optax:sgd", "optax.contrib:adopt"])
def test_a_spec_needs_parentheses(text):
    with pytest.raises(ValueError, match="needs parentheses"):
        as_optimizer(text)


@pytest.mark.parametrize("text", ["optax:sgd(1);import os", "a:b:c()", "::", ".optax:sgd(1)"])
def test_texts_that_are_no_spec(text):
    assert parse_spec(text) is None
    with pytest.raises((ValueError, FileNotFoundError), match=r"neither a name nor a path|unknown optimizer"):
        as_optimizer(text)


def test_every_rule_of_optax_and_of_optoscope_is_accepted():
    for module in (optax, optax.contrib):
        for name, value in inspect.getmembers(module, inspect.isfunction):
            if "GradientTransformation" in str(value.__annotations__.get("return", "")):
                accepted = find_target(parse_spec(f"{module.__name__}:{name}()")) if _is_rule(value) else None
                assert accepted is (value if _is_rule(value) else None)
    for kind in OPTIMIZERS.values():
        assert find_target(parse_spec(f"optoscope.optimizers:{kind.__name__}()")) is kind


def _is_rule(function):
    return function.__annotations__["return"] in (
        optax.GradientTransformation,
        optax.GradientTransformationExtraArgs,
    )


@pytest.mark.parametrize("function", [optax.global_norm, optax.apply_updates, optax.cosine_decay_schedule, print, 3])
def test_other_functions_are_not(function):
    assert not returns_transformation(function)
