"""The campaign can fail: every planted fault is found, and a sound program has none."""

import json
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.campaign import children, command_lines, kills, mutants, planted, trees
from tests.campaign.hostile import KINDS
from tests.campaign.judge import complaint, undocumented
from tests.campaign.ledger import Case, Ledger
from tests.campaign.mutations import damages_of
from tests.campaign.page import page
from tests.campaign.workloads import Workload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the campaign needs Linux")


def faults_of(program, kinds, folder):
    """What is found wrong with a program that meets faults of some kinds, in turn, at each change of its directory."""
    reference = kills.make_reference(Workload((), call=program), folder)
    for at in range(len(reference.changes)):
        case = kills.Kill("program", kinds[at % len(kinds)], at + 1, True)
        yield kills.perform_case(case, reference, folder / "case").fault


def test_a_sound_program_has_no_fault(tmp_path):
    assert not any(faults_of(planted.sound, ["killed", "disk full", "not permitted"], tmp_path))


@pytest.mark.parametrize(
    ("program", "kind", "words"),
    [
        (planted.writes_in_place, "killed", "other results: "),
        (planted.forgets, "killed", "lost: records of log.jsonl"),
        (planted.dies_without_a_word, "terminated", "exit code 7"),
        (planted.tracebacks, "disk full", "traceback: OSError"),
    ],
)
def test_a_planted_fault_is_found(program, kind, words, tmp_path):
    assert any(fault.startswith(words) for fault in faults_of(program, [kind], tmp_path))


def check_readers(folder):
    """Judge readers with planted faults; in a child, whose peak of memory is its own."""
    (folder / "planted").mkdir()
    (folder / "planted" / "planted.json").write_text('{"value": 1.5}')
    reader = mutants.Reader(folder, folder / "scratch", planted.READERS)
    damaged = [b'{"value": 1.6}', b'{"value": 1.5', b"[" * 100_000]
    faults = {name: [reader.judge(name, content)[1] for content in damaged] for name in planted.READERS}
    assert faults["careful"] == ["", "", ""]
    accepted = "accepted with another result"
    assert faults["swallowing"] == [accepted] * 3
    assert faults["trusting"][0] == accepted
    assert faults["trusting"][1].startswith("a bare JSONDecodeError")
    assert faults["trusting"][2].startswith("a bare RecursionError")
    assert all(fault.endswith("MB") for fault in faults["greedy"])


def test_a_reader_that_takes_what_is_damaged_is_found(tmp_path):
    ended = children.run(check_readers, tmp_path)
    assert ended.code == 0, ended.err


def test_a_worker_that_hangs_or_dies_is_found_and_replaced():
    answers = {}
    children.Workers(planted.hangs, num=1, patience=5.0).work_off([1, 2, 3], answers.__setitem__)
    assert answers == {1: 1, 2: "hangs", 3: 3}
    answers = {}
    children.Workers(planted.dies, num=1).work_off([2, 3, 4], answers.__setitem__)
    assert answers == {2: "done", 3: "dies: -6", 4: "done"}


def test_root_obeys_permissions_in_a_child(tmp_path):
    tmp_path.chmod(0o555)
    assert children.run(planted.writes_where_it_may_not, tmp_path).code == 2
    tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("code", "err", "words"),
    [
        (2, "optoscope: `decay` must lie in [0, 1), got 2.\n", ""),
        (2, "task: evaluating 1/2\noptoscope: `decay` must lie in [0, 1), got 2.\n", ""),
        (2, "", "no paragraph"),
        (2, "optoscope: 'decay'\n", "a riddle"),
        (2, "optoscope: one line of it\nand another line\n", "a paragraph of several lines"),
        (2, "optoscope: " + "word " * 400, "a paragraph of"),
        (1, "Traceback (most recent call last):\n  ...\nKeyError: 'x'\n", "traceback: KeyError"),
        (0, "", "exit code 0, expected 2"),
        (-6, "", "dies of signal 6"),
        (None, "", "hangs"),
    ],
)
def test_what_a_clear_answer_is(code, err, words):
    said = complaint(code, "", err, allowed=(2,))
    assert said.startswith(words) and bool(said) == bool(words)


def test_a_command_that_was_stopped_says_so():
    assert complaint(130, "", "optoscope: stopped.\n", allowed=(130,)) == ""
    assert complaint(130, "", "", allowed=(130,)).startswith("no paragraph")


def test_what_a_clear_refusal_of_a_file_is():
    assert not undocumented(ValueError("planted.json is damaged; write it again."), "planted")
    assert undocumented(ValueError("It is damaged; write it again."), "planted").startswith(
        "a ValueError that does not"
    )
    for bare in (KeyError("x"), RecursionError("x"), MemoryError("x"), json.JSONDecodeError("x", "y", 0)):
        assert undocumented(bare, "planted").startswith("a bare ")


def test_what_is_left_behind_is_seen(tmp_path):
    (tmp_path / "kept").write_text("1")
    before = trees.snapshot(tmp_path)
    assert trees.changes(before, trees.snapshot(tmp_path)) == []
    (tmp_path / "canary").touch()
    (tmp_path / "kept").write_text("2")
    assert trees.changes(before, trees.snapshot(tmp_path)) == ["canary is new", "kept has changed"]


def test_every_option_of_every_command_has_hostile_values():
    known = command_lines.options()
    lines = command_lines.all_command_lines(known)
    met = {line.hostile.split(" = ")[0] for line in lines}
    of_mnist = {f"{one.command} {one.name}" for one in known if one.name == "--mnist-dir"}
    assert {f"{one.command} {one.name}" for one in known} - met <= of_mnist
    assert {one.command for one in known} == set(command_lines.BASES)
    assert all(KINDS[one.kind] for one in known)
    # 500 are enough for every argument and every value.
    assert {line.hostile.split(" = ")[0] for line in command_lines.chosen(lines, 500, 0)} == met


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(["x.json", "x.jsonl", "x.safetensors", "x.npz"]),
    content=st.binary(max_size=200),
    seed=st.integers(0, 2**32),
)
def test_anything_can_be_damaged(name, content, seed):
    for word, damage in damages_of(name).items():
        if "bomb" not in word and "MB" not in word and "long" not in word:
            assert isinstance(damage(content, random.Random(seed), b""), bytes)


def test_a_campaign_goes_on_where_it_was_and_begins_anew_with_another_seed(tmp_path, capsys):
    case = Case("kills", "train", "train, killed at change 1", "died at once", "lost: everything")
    Ledger(tmp_path / "one", "kills", 0).add(case, 1)
    assert "lost: everything" in capsys.readouterr().err
    again = Ledger(tmp_path / "one", "kills", 0)
    assert list(again.cases.values()) == [case] == again.faults
    text = page(dict.fromkeys(("kills", "mutants", "command lines", "pairs"), again), seed=0, minutes=1.0)
    assert "Faults found: 4." in text and "| train | 1 | 1 |" in text
    lines = (tmp_path / "one").read_text().splitlines()
    (tmp_path / "other").write_text("\n".join(['{"seed": 0, "sources": "of another version"}', *lines[1:]]) + "\n")
    shown = Ledger(tmp_path / "other", "kills", 0, as_it_is=True)
    assert (shown.cases, shown.sources) == (again.cases, "of another version")
    assert Ledger(tmp_path / "other", "kills", 0).cases == {}
    assert Ledger(tmp_path / "one", "kills", 1).cases == {}
