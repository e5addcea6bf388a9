"""What holds for every command: help, wrong calls, bugs, streams that are closed."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import typing
from pathlib import Path

import pytest

from optoscope.cli.main import COMMANDS, main
from tests.recordings.written import write

NAMES = [kind.__name__.lower() for kind in COMMANDS]
#: Where a recording is, for the commands that read one.
RECORDED = tempfile.mkdtemp()
#: A call of each command with which nothing is wrong yet.
CALLS = {
    "list": ["list"],
    "train": ["train", "linear_regression", "--out", "o"],
    "search": ["search", "linear_regression", "--out", "o"],
    "tune": ["tune", "rosenbrock", "adam", "--out", "o"],
    "evaluate": ["evaluate", "rosenbrock", "rosenbrock/adam"],
    "costs": ["costs", "rosenbrock", "rosenbrock/adam", "--out", "o"],
    "states": ["states", "rosenbrock", "--task", "rosenbrock", "--out", "o.npz"],
    "figure": ["figure", "3"],
    "reproduce": ["reproduce", "rosenbrock"],
    "diagnose": ["diagnose", "optax:sgd(0.1)"],
    "explore": ["explore", "rosenbrock/adam", "--out", "o.html"],
    "compare": ["compare", "rosenbrock/adam", "optax:adam(0.1)"],
    "structure": ["structure", "optax:adam(0.1)"],
    "calibrate": ["calibrate", "--out", "o"],
    "gallery": ["gallery", "optax", "--out", "o"],
    "claims": ["claims", "rosenbrock"],
    "ablate": ["ablate", "rosenbrock/adam", "--task", "rosenbrock"],
    "stability": ["stability", "rosenbrock", "--out", "o"],
    "generalize": ["generalize", "rosenbrock/adam", "--tasks", "rosenbrock"],
    "distill": ["distill", "rosenbrock", "--task", "rosenbrock"],
    "examine": ["examine", RECORDED, "--expect", "optax:sgd(0.1)"],
    "watch": ["watch", RECORDED],
}


def having(field):
    return [kind.__name__.lower() for kind in COMMANDS if field in {one.name for one in dataclasses.fields(kind)}]


class Reached(BaseException):
    """The computation was reached."""


@pytest.fixture(scope="module", autouse=True)
def a_recording():
    write(Path(RECORDED), 3)
    yield
    shutil.rmtree(RECORDED)


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch):
    def reached(*_):
        raise Reached

    for kind in COMMANDS:
        monkeypatch.setattr(kind, "compute", reached)


def test_help_is_complete_and_loads_no_jax():
    script = (
        "import sys\nfrom optoscope.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'jax' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for word in (*NAMES, "optoscope evaluate linear_regression", "70 a bug in"):
        assert word in done.stdout


@pytest.mark.parametrize("command", NAMES)
def test_every_command_has_a_file_with_its_happy_path_and_bad_calls(command):
    text = (Path(__file__).parent / f"test_{command}.py").read_text()
    assert "def test_it_" in text and f'"{command}"' in text
    assert command == "list" or "refused(" in text


@pytest.mark.parametrize("command", NAMES)
def test_every_command_has_help_with_an_example_and_what_is_allowed(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    printed = capsys.readouterr().out
    words = " ".join(printed.replace("│", " ").split())
    assert stop.value.code == 0
    assert f"Example: optoscope {command}" in words and "--json" in words
    for field in ("seed", "num_steps"):
        if command in having(field):
            assert {"seed": "from 0 to 4294967295"}.get(field, "default: 200; from 1") in words


@pytest.mark.parametrize("command", NAMES)
def test_a_call_with_which_nothing_is_wrong_reaches_the_computation(command, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Reached):
        run(*CALLS[command])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", having("seed"))
@pytest.mark.parametrize("seed", ["-1", "99999999999999999999999"])
def test_bad_seeds(command, seed, refused):
    assert "`--seed` must be a whole number from 0 to 4294967295" in refused(*CALLS[command], "--seed", seed)


@pytest.mark.parametrize("size", ["num_steps", "num_problems", "num_samples", "num_test", "max_components"])
@pytest.mark.parametrize("value", ["0", "-1", "1000000000", "99999999999999999999999"])
def test_bad_sizes(size, value, refused):
    for command in having(size):
        option = f"--{size.replace('_', '-')}"
        assert f"`{option}` must be a whole number" in refused(*CALLS[command], option, value)


@pytest.mark.parametrize("command", having("mnist_dir"))
def test_a_directory_for_mnist_that_cannot_be_read(command, refused):
    assert "--mnist-dir nowhere is not a directory" in refused(*CALLS[command], "--mnist-dir", "nowhere")


@pytest.mark.parametrize("command", having("out"))
def test_an_output_for_which_there_is_no_place(command, refused):
    call = [one for one in CALLS[command] if one not in ("--out", "o", "o.npz", "o.html")]
    name = "o.html" if "o.html" in CALLS[command] else "o.npz"
    assert "nothing can be written into it" in refused(*call, "--out", f"/dev/null/{name}")


@pytest.mark.parametrize("command", having("trust"))
@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("os:system('touch pwned')", "os:system was not called"),
        ("nothing", "unknown optimizer 'nothing'"),
        ("optax:sgd(" + "-" * 20_000 + "1)", "at most 2000 characters"),
        ("optax:adam(1e400)", "its numbers must be finite"),
        ("optax:adam(1e-3, b1='x')", "cannot make a step"),
        ("optax:sgd", "needs parentheses"),
    ],
)
def test_bad_optimizers(command, optimizer, message, refused):
    call = [optimizer if one in ("rosenbrock/adam", "optax:sgd(0.1)") else one for one in CALLS[command]]
    if optimizer not in call:
        call[1] = optimizer
    assert message in refused(*call)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("linear_regresion", "Did you mean 'linear_regression'?"),
        ("linear_regression(" + "-" * 20_000 + "1)", "at most 2000 characters"),
        ("linear_regression(" + "-" * 1_900 + "1)", "only literals are allowed"),
        ("linear_regression(1000000000)", "must be a whole number from 1 to 10000, got 1000000000"),
        ("two_moons(widths=5)", "`widths` must be a tuple such as (1,), got 5"),
        ("two_moons(penalty=-1)", "`penalty` must be a finite number of at least 0"),
        ("digits(channels=(8, 8, 8, 8))", "`channels` takes at most 3 entries, got 4"),
        ("mnist(directory='nowhere')", "MNIST is not in nowhere"),
        ("linear_regression(num_params=1, num_params=2)", "every setting has a name of its own"),
    ],
)
def test_bad_tasks(task, message, refused):
    assert message in refused("states", "rosenbrock/adam", "--task", task, "--out", "o.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", ""], "an argument is empty"),
        (["figure", "3", "--out="], "an argument is empty"),
        (["figure", "3\n"], "cannot be printed"),
        (["figure", "a\udcff"], "cannot be printed"),
        (["figure", "3", "--seed", "1", "--seed=2"], "--seed is given twice"),
        (["list", "--json", "--no-json"], "--json is given twice"),
        (["figure", "3", "--out", "a" * 3000], "at most 2000 characters, got 3000"),
        (["evaluate", "rosenbrock", "rosenbrock", "rosenbrock"], "`OPTIMIZER` has 'rosenbrock' twice"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message, refused):
    assert message in refused(*arguments)


@pytest.mark.parametrize("arguments", [["nothing"], [], ["list", "--nothing"], ["figure", "3", "--seed", "x"]])
def test_what_the_parser_refuses(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and "Traceback" not in capsys.readouterr().err


def failing(error):
    def compute(*_):
        raise error

    return compute


def own_error(*_):
    from optoscope._core.checks import check_count

    check_count("num_problems", 0)


def foreign_error(*_):
    return int("x")


@pytest.mark.parametrize(
    ("compute", "code", "message"),
    [
        (own_error, 2, "`num_problems` must be a whole number"),
        (foreign_error, 70, "a bug in optoscope, not in your call: ValueError"),
        (failing(TypeError("wrong")), 70, "a bug in optoscope"),
        (failing(AttributeError("wrong")), 70, "a bug in optoscope"),
        (failing(KeyError("wrong")), 70, "KeyError: 'wrong'"),
        (failing(PermissionError(13, "Permission denied", "there")), 2, "there: Permission denied."),
        (failing(ModuleNotFoundError("No module named 'torch'", name="torch")), 2, "No module named 'torch'"),
        (failing(ModuleNotFoundError("No module named 'optoscope.x'", name="optoscope.x")), 70, "a bug in optoscope"),
        (failing(MemoryError()), 1, "not enough memory"),
        (failing(RuntimeError("RESOURCE_EXHAUSTED: 9 GB")), 1, "not enough memory (RESOURCE_EXHAUSTED: 9 GB)"),
    ],
)
def test_a_bug_is_not_called_a_wrong_call(compute, code, message, run, monkeypatch):
    monkeypatch.setattr("optoscope.cli.list.List.compute", compute)
    called = run("list")
    assert called.code == code
    assert message in called.err.splitlines()[-1]
    assert ("Traceback" in called.err) == (code == 70)


def test_with_a_variable_every_error_is_raised(run, monkeypatch):
    monkeypatch.setenv("OPTOSCOPE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="unknown figure"):
        run("figure", "99")


@pytest.mark.parametrize("command", ["tune", "evaluate", "generalize"])
def test_ctrl_c_is_one_sentence_that_says_how_to_go_on(command, run, tmp_path, monkeypatch):
    kind = COMMANDS[NAMES.index(command)]
    monkeypatch.setattr(kind, "compute", failing(KeyboardInterrupt()))
    monkeypatch.chdir(tmp_path)
    called = run(*CALLS[command])
    hint = "; the same command with --resume goes on" if command in having("resume") else ""
    hint = "; the same command goes on with the cells that are left" if command == "generalize" else hint
    assert (called.code, called.err) == (130, f"optoscope: stopped{hint}.\n")


@pytest.mark.parametrize(
    ("streams", "code", "message"),
    [
        ("| head -1", 141, ""),
        (">&-", 2, "standard output is closed"),
        ("2>&- | cat", 0, ""),
        pytest.param(
            "> /dev/full",
            2,
            "No space left on device",
            marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux"),
        ),
    ],
)
def test_streams_that_are_closed_or_full(streams, code, message):
    call = f"{sys.executable} -m optoscope list {streams}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done
    assert message in done.stderr and "Traceback" not in done.stderr and "ignored" not in done.stderr


def test_every_number_says_what_it_may_be():
    def unbounded(hint):
        if hint in (int, float):
            return True
        return not hasattr(hint, "__metadata__") and any(map(unbounded, typing.get_args(hint)))

    hints = {kind.__name__: typing.get_type_hints(kind, include_extras=True) for kind in COMMANDS}
    assert not [(name, one) for name, own in hints.items() for one, hint in own.items() if unbounded(hint)]
