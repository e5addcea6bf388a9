"""Parts of a run: the same here and in processes, kept as they come, ended when their time runs out."""

import os
import signal
import time
from pathlib import Path

import pytest

from optoscope.running.parts import run_parts
from optoscope.running.run_log import open_run


@pytest.fixture(autouse=True)
def found_by_processes(monkeypatch):
    """Processes find what this file defines."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def square(number):
    return number * number


def sleep_long(number):
    time.sleep(60 if number == 2 else 0)
    return number


def die_at(number, marker):
    """Die at 2, but only the first time if there is a marker to leave."""
    if number == 2 and not (marker and os.path.exists(marker)):
        if marker:
            open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail_at(number):
    if number == 2:
        raise ValueError("two")
    return number


def run(function, numbers, folder=None, extra=(), **settings):
    with open_run(folder, {"test": 1}, resume=True) as log:
        return run_parts(function, [(n, *extra) for n in numbers], log=log, keys=list(numbers), **settings)


@pytest.mark.parametrize("on", ["local", "processes"])
def test_same_wherever_it_runs_and_in_order(on):
    seen = []
    found = run(
        square, [3, 1, 2], on=on, num_processes=2 if on == "processes" else None, report=lambda *a: seen.append(a)
    )
    assert found == [9, 1, 4]
    assert seen[0] == ("parts", 0, 3)
    assert seen[-1] == ("parts", 3, 3)


def test_what_is_done_is_not_done_again(tmp_path):
    assert run(square, [1, 2], tmp_path) == [1, 4]
    assert run(fail_at, [1, 2], tmp_path) == [1, 4]  # it would raise
    assert run(square, [1, 2, 3], tmp_path, on="processes", num_processes=1) == [1, 4, 9]


@pytest.mark.parametrize("on", ["local", "processes"])
def test_an_error_of_a_part_is_raised_and_what_is_done_is_kept(tmp_path, on):
    with pytest.raises(ValueError, match="two"):
        run(fail_at, [1, 2], tmp_path, on=on, **({"num_processes": 1} if on == "processes" else {}))
    assert run(square, [1], tmp_path) == [1]


def test_a_part_whose_time_runs_out_is_given_up():
    found = run(sleep_long, [1, 2, 3], on="processes", num_processes=1, limit=2, failed=lambda part, why: [*part, why])
    assert found == [1, [2, "it was not done within 2 s"], 3]


def test_a_process_that_dies_costs_its_part_only(tmp_path):
    found = run(die_at, [1, 2, 3], None, (None,), on="processes", num_processes=1, failed=lambda part, why: why)
    assert found[0::2] == [1, 3]
    assert "its process ended" in found[1]


def test_a_part_whose_process_died_is_done_again(tmp_path):
    settings = {"on": "processes", "num_processes": 1, "extra": (str(tmp_path / "was_here"),)}
    assert run(die_at, [1, 2, 3], tmp_path / "run", **settings) == [1, 2, 3]
    with pytest.raises(RuntimeError, match="twice"):
        run(die_at, [1, 2, 3], **(settings | {"extra": (None,)}))


def test_what_cannot_be_is_refused():
    with pytest.raises(Exception, match="moon"):  # its type is checked first in tests
        run(square, [1], on="moon")
    with pytest.raises(ValueError, match="processes"):
        run(square, [1], limit=3)
