"""A short campaign: some kills, mutants, hostile command lines and a pair, the same ones each time."""

import sys

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.campaign import children, command_lines, kills, mutants, pairs, subjects
from tests.campaign.workloads import RUNS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the campaign needs Linux")


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("tune", [("killed", 0.6), ("terminated", 0.5), ("disk full", 0.4)]),
        ("train, saved at every meta-step", [("killed", 0.5)]),
    ],
)
def test_a_run_goes_on_to_the_same_bits(name, faults, tmp_path):
    reference = kills.make_reference(RUNS[name], tmp_path)
    for kind, share in faults:
        case = kills.Kill(name, kind, round(share * len(reference.changes)), True)
        assert not kills.perform_case(case, reference, tmp_path / "case").fault, case


#: Kinds of files that are read at once.
QUICK = ("trained", "tuned", "evaluation", "tune")


def check_mutants(folder):
    """Read damaged files as hypothesis draws them; in a child, where annotations are not checked."""
    subjects.make_fixtures(folder, QUICK)
    reader = mutants.Reader(folder, folder / "scratch", subjects.subjects(folder))

    phases = (Phase.explicit, Phase.generate)  # what fails is small enough

    @settings(max_examples=150, deadline=None, derandomize=True, database=None, phases=phases)
    @given(name=st.sampled_from(sorted(reader.subjects)), rng=st.randoms(use_true_random=False))
    def check(name, rng):
        word, content = reader.mutant(name, rng)
        _, fault = reader.judge(name, content)
        assert not fault, f"{name}, {word}: {fault}"

    check()


def test_a_damaged_file_is_the_same_or_refused(tmp_path):
    ended = children.run(check_mutants, tmp_path)
    assert ended.code == 0, ended.err


def test_a_hostile_command_line_is_one_clear_paragraph_and_leaves_nothing(tmp_path):
    lines = [line for line in command_lines.all_command_lines(command_lines.options()) if line.must_refuse]
    for line in command_lines.chosen(lines, 8, seed=1):
        outcome, fault = command_lines.judge(line, tmp_path / "here")
        (tmp_path / "here" / "readonly").chmod(0o755)
        assert not fault, (line.hostile, outcome, fault)


def test_of_two_at_once_one_works_and_one_is_refused(tmp_path):
    alone = {"tune": pairs.undisturbed("tune", tmp_path / "alone")}
    middle = alone["tune"].moments[len(alone["tune"].moments) // 2]
    assert not pairs.judge("tune", "tune", alone, middle, tmp_path / "pair")[1]
