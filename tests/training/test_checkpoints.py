"""Checkpoints: the newest whole one is used, and what is passed over is said."""

import numpy as np
import pytest

from optoscope.training.checkpoints import load_checkpoint, save_checkpoint

LIKE = {"weights": np.zeros(3, np.float32), "count": np.zeros((), np.int32)}


def save(folder, step, run="one"):
    save_checkpoint(folder, step, {"weights": np.full(3, step, np.float32), "count": np.int32(step)}, {"step": step},
                    run=run)  # fmt: skip


def load(folder, run="one", like=LIKE):
    said = []
    return load_checkpoint(folder, like, run=run, announce=said.append), said


def test_the_newest_is_loaded_and_the_last_three_are_kept(tmp_path):
    for step in range(5):
        save(tmp_path, step)
    found, said = load(tmp_path)
    assert found.data == {"step": 4} and found.arrays["count"] == 4 and not said
    assert len(list(tmp_path.iterdir())) == 3


def test_no_flipped_bit_goes_unnoticed(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    path, rng = tmp_path / "checkpoint-00000002.safetensors", np.random.default_rng(0)
    whole = path.read_bytes()
    for position in rng.integers(len(whole), size=150):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        found, said = load(tmp_path)
        step = found.data["step"]
        assert found.arrays["weights"].tolist() == [step] * 3
        assert step == 2 or "damaged" in said[0]


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 100, b"\x08\x00\x00\x00\x00\x00\x00\x00[[[[[[[["])
def test_a_damaged_one_is_passed_over_and_the_next_is_still_kept(tmp_path, content):
    for step in (10, 20, 30, 40):
        save(tmp_path, step)
    for step in (20, 30, 40):
        (tmp_path / f"checkpoint-{step:08d}.safetensors").write_bytes(content)
    assert load(tmp_path)[0] is None
    save(tmp_path, 11)
    assert load(tmp_path)[0].data == {"step": 11}


def test_another_runs_is_passed_over(tmp_path):
    save(tmp_path, 1)
    found, said = load(tmp_path, run="other")
    assert found is None and "belongs to another run" in said[0]


def test_another_shape_is_passed_over(tmp_path):
    save(tmp_path, 1)
    found, said = load(tmp_path, like={"weights": np.zeros(4)})
    assert found is None and "another shape" in said[0]
