"""A place is held by one process, and nothing is left behind."""

import subprocess
import sys

import pytest

from optoscope._core.locks import InUseError, held

HOLD = """
import sys
from pathlib import Path
from optoscope._core.locks import held
path = Path(sys.argv[1])
with held(path, is_file=path.suffix == ".npz"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def hold():
    """Start a process that holds a path until it is told to go."""
    started = []

    def start(path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ["run", "result.npz"])
def test_what_another_process_holds_is_refused_until_it_goes_however_it_goes(tmp_path, hold, name):
    process = hold(tmp_path / "new" / name)
    place = tmp_path / "new" / name
    with pytest.raises(InUseError, match="being written by another"), held(place, is_file=name.endswith(".npz")):
        pass
    process.kill()
    process.wait()
    with held(place, is_file=name.endswith(".npz")):
        pass


def test_whoever_holds_a_place_may_hold_it_again(tmp_path):
    with held(tmp_path), held(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_directory_that_nothing_was_written_into_is_gone_again(tmp_path):
    with pytest.raises(KeyError), held(tmp_path / "a" / "b"):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with held(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "result").write_text("x")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["result"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for is_file in (False, True):
        place = held(tmp_path / "file" / "result", is_file=is_file)
        with pytest.raises(NotADirectoryError, match="a file is in the way"), place:
            pass
