import dataclasses
import inspect
import json
import os
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float

from optoscope import dynamics
from optoscope._core import files
from optoscope._core.files import digest_of_array, sealed
from optoscope._core.results import Result
from optoscope.optimizers import Momentum

OPTIMIZER = Momentum(0.1, 0.5)
CURVATURES = np.array([1.0, 40.0])
MADE = {
    "AutonomousTrajectory": lambda: dynamics.autonomous_trajectory(OPTIMIZER, num_steps=3, h=[1.0]),
    "Branch": lambda: dynamics.continue_fixed_points(OPTIMIZER, gradients=(-1.0, 1.0)),
    "FixedPoints": lambda: dynamics.find_fixed_points(OPTIMIZER, gradient=[0.0, 1.0], seeds=[[0.0], [1.0]]),
    "Linearization": lambda: dynamics.linearize(OPTIMIZER, [0.0]),
    "Modes": lambda: dynamics.modes(dynamics.linearize(OPTIMIZER, [0.0])),
    "EdgeMeasurement": lambda: dynamics.measure_edge(OPTIMIZER, curvatures=CURVATURES),
    "PrincipalComponents": lambda: dynamics.principal_components(np.eye(3)),
    "StabilityMap": lambda: dynamics.stability_map(OPTIMIZER, CURVATURES),
    "UpdateFunction": lambda: dynamics.update_function(OPTIMIZER, [0.0], [0.0, 1.0]),
}


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    return type(one) is type(other) and one == other


def test_every_result_of_dynamics_is_listed_here():
    classes = {name for name, value in vars(dynamics).items() if inspect.isclass(value) and issubclass(value, Result)}
    assert classes == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_saving_and_loading_is_the_identity(name, tmp_path):
    made = MADE[name]()
    loaded = type(made).load(made.save(tmp_path / "result.npz"))
    for field in dataclasses.fields(made):
        assert same(getattr(made, field.name), getattr(loaded, field.name)), field.name
    assert [path.name for path in tmp_path.iterdir()] == ["result.npz"]


@pytest.mark.parametrize("name", MADE)
def test_xarray_names_every_axis(name):
    made = MADE[name]()
    dataset = made.to_xarray()
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(dataset[field.name].values, value)
            assert not any(axis.startswith(field.name + "_") for axis in dataset[field.name].dims), field.name
        else:
            assert field.name in dataset.attrs


def test_xarray_uses_the_documented_names():
    fixed_points = MADE["FixedPoints"]().to_xarray()
    assert fixed_points["states"].dims == ("point", "state") and fixed_points["seed_points"].dims == ("grid", "seed")
    assert MADE["Linearization"]().to_xarray()["A"].dims == ("state", "state_2")


def test_another_class_is_refused(tmp_path):
    path = MADE["UpdateFunction"]().save(tmp_path / "result.npz")
    with pytest.raises(ValueError, match="holds a UpdateFunction, not a Modes"):
        dynamics.Modes.load(path)


def test_files_that_hold_no_result_are_refused(tmp_path):
    path = tmp_path / "result.npz"
    for content in (b"", b"something else"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a result"):
            dynamics.Modes.load(path)
    np.savez(path, a=np.ones(2))
    with pytest.raises(ValueError, match="not a result"):
        dynamics.Modes.load(path)
    MADE["Modes"]().save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="not a result"):
        dynamics.Modes.load(path)
    with pytest.raises(FileNotFoundError):
        dynamics.Modes.load(tmp_path / "missing.npz")


def test_no_flipped_bit_goes_unnoticed(tmp_path):
    path = MADE["StabilityMap"]().save(tmp_path / "result.npz")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    reference = dynamics.StabilityMap.load(path)
    for position in rng.integers(len(whole), size=200):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            loaded = dynamics.StabilityMap.load(path)
        except ValueError as error:
            assert "damaged" in str(error) or "holds a" in str(error)
            continue
        for field in dataclasses.fields(reference):  # a byte that means nothing, such as a date
            assert same(getattr(loaded, field.name), getattr(reference, field.name))


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path):
    path = tmp_path / "result.npz"
    np.savez_compressed(path, json=np.array("{}"), values=np.zeros(1_000_000))
    with pytest.raises(ValueError, match="compressed"):
        Loose.load(path)


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path):
    path = Loose(np.zeros(3)).save(tmp_path / "result.npz")
    path.write_bytes(path.read_bytes().replace(b"(3,)", b"(9,)"))
    with pytest.raises(ValueError, match="damaged"):
        Loose.load(path)


def _sealed_result(path, kind, fields, **arrays):
    text = sealed({"class": kind, "fields": fields, "arrays": {k: digest_of_array(v) for k, v in arrays.items()}})
    np.savez(path, json=np.array(json.dumps(text)), **arrays)


def test_wrong_types_and_axes_are_refused(tmp_path):
    path = tmp_path / "result.npz"
    for values in (np.zeros(2, int), np.zeros((2, 2, 2))):
        _sealed_result(path, "Either", {}, values=values)
        with pytest.raises(ValueError, match="values is wrong"):
            Either.load(path)
    made = MADE["Modes"]()
    arrays = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    rest = {name: value for name, value in arrays.items() if not isinstance(value, np.ndarray)}
    arrays = {name: value for name, value in arrays.items() if isinstance(value, np.ndarray)}
    arrays["decays"] = np.zeros(7, arrays["decays"].dtype)
    _sealed_result(path, "Modes", rest, **arrays)
    with pytest.raises(ValueError, match="is wrong"):
        dynamics.Modes.load(path)


def test_the_umask_is_respected(tmp_path):
    before = os.umask(0o027)
    try:
        path = MADE["Modes"]().save(tmp_path / "result.npz")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_interrupted_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = MADE["Modes"]().save(tmp_path / "result.npz")
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        MADE["UpdateFunction"]().save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@dataclasses.dataclass(frozen=True)
class Loose(Result):
    values: Any
    other: Any = None


@dataclasses.dataclass(frozen=True)
class Either(Result):
    values: Float[np.ndarray, " step"] | Float[np.ndarray, "problem step"]


def test_an_axis_without_a_name_is_named_after_its_field():
    assert Loose(np.ones((2, 3))).to_xarray()["values"].dims == ("values_0", "values_1")
    assert Either(np.ones((2, 3))).to_xarray()["values"].dims == ("problem", "step")


def test_what_is_neither_array_nor_json_is_not_saved(tmp_path):
    for values in (np.array([None]), {1, 2}):
        with pytest.raises((TypeError, ValueError)):
            Loose(values).save(tmp_path / "result.npz")
    assert not list(tmp_path.iterdir())


def test_a_class_with_other_fields_is_refused(tmp_path):
    path = Loose(np.ones(2)).save(tmp_path / "result.npz")
    renamed = dataclasses.make_dataclass("Loose", [("values", Any)], bases=(Result,), frozen=True)
    with pytest.raises(ValueError, match="another version of Loose"):
        renamed.load(path)


def test_the_name_of_the_file_says_what_it_is(tmp_path):
    with pytest.raises(ValueError, match=r"name it result\.npz"):
        MADE["Modes"]().save(tmp_path / "result.json")


def test_a_result_is_saved_into_a_directory_that_is_not_there_yet(tmp_path):
    path = dynamics.update_function(OPTIMIZER, [1.0], [0.0, 1.0]).save(tmp_path / "new" / "one.npz")
    assert dynamics.UpdateFunction.load(path).updates.shape == (1, 2)
