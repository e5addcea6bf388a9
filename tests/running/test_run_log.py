"""A run's directory keeps what was done, and gives it to nobody else."""

import json

import pytest

from optoscope._core.files import DamagedFileError
from optoscope.running.run_log import discard_run, open_run, read_records, recorded

SETTINGS = {"size": 3, "shares": (0.5, 1.0)}


def keep(folder, settings=SETTINGS, *, values=(1, 2), said=None):
    """Open a run and keep a value for each key; returns which were computed."""
    computed = []
    with open_run(folder, settings, resume=True, announce=(said if said is not None else []).append) as log:
        for value in values:
            log.known_or(["part", value], lambda value=value: computed.append(value) or value**2)
    return computed


@pytest.fixture
def folder(tmp_path):
    assert keep(tmp_path / "run") == [1, 2]
    return tmp_path / "run"


def test_what_is_kept_is_not_computed_again(folder):
    assert keep(folder) == []
    assert keep(folder, values=(2, 3)) == [3]
    assert [record["value"] for record in read_records(folder)] == [1, 4, 9]
    assert recorded(folder, "size") == 3


def test_without_a_directory_it_is_kept_in_memory(tmp_path):
    assert keep(None, values=(1, 1)) == [1]


def test_a_run_is_not_taken_up_by_accident(folder):
    with pytest.raises(FileExistsError, match="--resume"), open_run(folder, SETTINGS, resume=False):
        pass


@pytest.mark.parametrize("settings", [{"size": 4, "shares": (0.5, 1.0)}, {"size": 3}, {**SETTINGS, "more": 1}])
def test_other_settings_are_refused_by_name(folder, settings):
    with pytest.raises(ValueError, match=r"run with another (size|shares|more)"):
        keep(folder, settings)
    assert keep(folder) == []


def _log(change):
    def damage(folder):
        path = folder / "log.jsonl"
        path.write_bytes(change(path.read_bytes()))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _log(lambda content: content.replace(b'"value": 1', b'"value": 7')),
        _log(lambda content: b"\xff\xfe\n" + content.splitlines(True)[1]),
        _log(lambda content: b"{}\n" + content.splitlines(True)[1]),
        _log(lambda content: b"[" * 100_000 + b"\n" + content.splitlines(True)[1]),
        _log(lambda content: b"7" * 5_000_000 + b"\n" + content.splitlines(True)[1]),
        _log(lambda content: content[3:]),
    ],
)
def test_a_damaged_record_is_computed_anew_and_that_is_said(folder, damage):
    damage(folder)
    said = []
    assert keep(folder, said=said) == [1]
    assert "computed anew" in said[0]
    assert keep(folder) == []


def test_a_last_line_that_was_cut_off_is_nothing_to_talk_about(folder):
    _log(lambda content: content[:-5])(folder)
    said = []
    assert keep(folder, said=said) == [2] and not said


def test_records_of_another_run_are_not_used(folder, tmp_path):
    keep(tmp_path / "other", {**SETTINGS, "size": 4})
    (folder / "log.jsonl").write_bytes((tmp_path / "other" / "log.jsonl").read_bytes())
    assert keep(folder) == [1, 2]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b"[" * 100_000, b'{"size": 3, "checksum": 1}'])
def test_damaged_settings_are_refused(folder, content):
    (folder / "run.json").write_bytes(content)
    with pytest.raises(DamagedFileError, match="--force"), open_run(folder, SETTINGS, resume=True):
        pass


def test_changed_settings_are_noticed(folder):
    path = folder / "run.json"
    path.write_text(path.read_text().replace('"size": 3', '"size": 4'))
    with pytest.raises(DamagedFileError, match="changed or damaged"):
        keep(folder, {**SETTINGS, "size": 4})


def test_other_versions_are_announced(folder):
    from optoscope._core.files import sealed, unsealed, write_json

    data = unsealed(json.loads((folder / "run.json").read_text()), "it")
    data["provenance"]["versions"]["jax"] = "0.0.1"
    write_json(folder / "run.json", sealed(data))
    said = []
    keep(folder, said=said)
    assert "jax 0.0.1 is" in said[0]


def test_discarding_leaves_what_is_not_the_runs(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "result.npz").write_text("its own")
    (folder / ".result.npz-1.part").write_text("x")
    (folder / "checkpoint-00000001.safetensors").write_text("x")
    keep(folder / "start")
    keep(folder / "sample_001")
    keep(folder / "another")
    discard_run(folder, "result.npz")
    assert sorted(path.name for path in folder.iterdir()) == ["another", "notes.txt"]
    assert keep(folder / "another") == []
