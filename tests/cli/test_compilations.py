"""What JAX compiled is kept: where, how much, and never half of it."""

import os
import subprocess
import sys

import pytest

from optoscope.cli import compilations

CALL = [sys.executable, "-m", "optoscope", "diagnose", "optax:sgd(0.1)", "--num-steps", "20"]


def call(**environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMP", "JAX_PERS"))}
    return subprocess.run(CALL, env=kept | environment, capture_output=True, text=True, check=True)


def test_programs_are_kept_and_found_again(tmp_path):
    first = call(OPTOSCOPE_COMPILED=str(tmp_path))
    (folder,) = tmp_path.iterdir()
    names = {path.name for path in folder.iterdir()}
    assert any(name.endswith("-cache") for name in names)
    again = call(OPTOSCOPE_COMPILED=str(tmp_path))
    assert (again.stdout, again.stderr) == (first.stdout, first.stderr)
    kept = {name for name in names if name.endswith("-cache")}
    assert kept <= {path.name for path in folder.iterdir()}


def test_nothing_is_kept_where_that_is_not_wanted(tmp_path):
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    call(OPTOSCOPE_COMPILED="off", **home)
    call(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "of_jax"), **home)
    assert not (tmp_path / "optoscope").exists()


def test_a_directory_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    assert call(OPTOSCOPE_COMPILED=str(tmp_path / "file" / "within")).stdout == call(OPTOSCOPE_COMPILED="off").stdout


@pytest.mark.parametrize("cut", ["a-cache", "b-atime"])
def test_what_was_cut_short_is_dropped(tmp_path, cut):
    for name in ("whole-cache", "whole-atime", cut):
        (tmp_path / name).write_bytes(b"12345678")
    compilations._drop_what_is_not_whole(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {".lockfile"} == {"whole-cache", "whole-atime"}


def test_a_damaged_program_is_compiled_anew(tmp_path):
    first = call(OPTOSCOPE_COMPILED=str(tmp_path))
    for path in tmp_path.rglob("*-cache"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert call(OPTOSCOPE_COMPILED=str(tmp_path)).stdout == first.stdout


def test_kinds_of_processors_are_kept_apart(tmp_path, monkeypatch):
    here = compilations._folder(str(tmp_path))
    monkeypatch.setattr(compilations, "_processor", lambda: "another")
    assert compilations._folder(str(tmp_path)) != here
