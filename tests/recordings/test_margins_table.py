"""What counts in the table of margins, on runs that were made up."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.margins import Run, judge

CALM = [1.0 / (1 + step / 20) for step in range(100)]
STEPS = list(range(5, 101, 5))


def judged(losses, margins):
    return judge(Run("made up", 0.1, losses, STEPS, margins))


def raised(*places, size=2.0):
    return [loss * (size if step in places else 1.0) for step, loss in enumerate(CALM)]


@pytest.mark.parametrize(
    ("losses", "margins", "expected"),
    [
        (CALM, [0.5] * 20, {"spikes": 0, "passed": False, "broken": False}),
        (CALM, [0.5] * 15 + [1.05] * 5, {"spikes": 0, "passed": True, "broken": False}),
        (CALM, [0.5] * 17 + [1.2] * 3, {"spikes": 0, "passed": True, "broken": True}),
        (raised(60, 63, 70), [0.5] * 7 + [1.2] * 5 + [0.5] * 8, {"spikes": 1, "foretold": 1, "ahead": [20]}),
        (raised(60), [0.5] * 12 + [1.2] * 8, {"spikes": 1, "foretold": 0, "ahead": [], "broken": False}),
        (raised(60), [1.2] * 5 + [0.5] * 2 + [1.2] * 13, {"spikes": 1, "foretold": 1, "ahead": [20]}),
        (raised(30, 60), [1.2] * 2 + [0.5] * 18, {"spikes": 2, "foretold": 1, "ahead": [25]}),
        ([*CALM[:50], *[float("inf")] * 2, *[float("nan")] * 3], [1.2] * 20, {"spikes": 1, "ahead": [45]}),
    ],
)
def test_what_counts(losses, margins, expected):
    found = judged(losses, margins)
    assert {name: found[name] for name in expected} == expected
