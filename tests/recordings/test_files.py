"""The files of a recording stay under their bound, and damage is passed over."""

import numpy as np
import pytest

from optoscope.recordings import read_recording
from optoscope.recordings._components import choose_components
from optoscope.recordings.files import STEPS
from tests.recordings.written import BOUND, write


def test_a_long_recording_stays_under_its_bound_and_keeps_the_ends_dense(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)
    write(tmp_path, 5_000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < BOUND + 2000
    found = read_recording(tmp_path)
    assert found.steps[0] == 0 and found.steps[-1] == 4999
    np.testing.assert_array_equal(found.losses, found.steps)
    np.testing.assert_array_equal(found.x[:, 0], found.kept_steps)
    assert {*range(STEPS), *range(4999 - 3 * STEPS, 5_000)} <= set(found.kept_steps.tolist())
    assert np.diff(found.steps).max() <= 64, "what is known of every step is known all along"
    gaps = np.diff(found.kept_steps)
    assert 4 <= np.sum(gaps > 1) < 12 and np.all(np.diff(gaps[gaps > 1]) <= 0), "closer where young"
    assert sum(np.diff(found.kept_steps[one]).max() == 1 for one in found.windows()) == len(found.windows())


def test_a_damaged_part_is_passed_over_and_told(tmp_path):
    write(tmp_path, 3 * STEPS)
    path = sorted(tmp_path.glob("*.safetensors"))[1]
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    told = []
    found = read_recording(tmp_path, announce=told.append)
    assert len(found.steps) == 2 * STEPS and "is damaged and was passed over" in told[0]
    assert [one.stop - one.start for one in found.windows()] == [STEPS, STEPS]


def test_nothing_recorded_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no recording"):
        read_recording(tmp_path)
    write(tmp_path, 0)
    with pytest.raises(ValueError, match="no step yet"):
        read_recording(tmp_path)


@pytest.mark.parametrize("components", [8, 20, 1000])
def test_components_are_spread_over_all_arrays(components):
    sizes, groups = [1, 2, 10**9, 5, 100], [0, 0, 0, 1, 1]
    owners, places = choose_components(sizes, groups, components, seed=0)
    assert (owners, places) == choose_components(sizes, groups, components, seed=0)
    assert len(set(zip(owners, places))) == len(owners) and set(owners) == set(range(5))
    assert all(place < sizes[owner] for owner, place in zip(owners, places))
    for group in (0, 1):
        number = sum(groups[owner] == group for owner in owners)
        assert number == min(components, sum(size for size, one in zip(sizes, groups) if one == group))
