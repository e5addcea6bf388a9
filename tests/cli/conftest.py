"""Commands called in this process."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from optoscope.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[2]))  # for what `tests.recordings` plants


class Called(NamedTuple):
    """What one call left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys):
    """Call a command."""

    def call(*arguments):
        capsys.readouterr()
        code = main(list(arguments))
        return Called(code, *capsys.readouterr())

    return call


@pytest.fixture
def refused(run, tmp_path, monkeypatch):
    """Call a command wrongly: one paragraph, exit code 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTOSCOPE_MNIST", "elsewhere")  # set by --mnist-dir, and set back after the test
    before = sorted(tmp_path.rglob("*"))

    def call(*arguments):
        called = run(*arguments)
        assert called.code == 2, called
        assert len(called.err.strip().splitlines()) == 1 and "Traceback" not in called.err, called.err
        assert sorted(tmp_path.rglob("*")) == before
        return called.err

    return call
