"""Artifacts come back as they were saved, and nothing else passes for one."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from optoscope import artifacts
from optoscope._core.files import CHECKSUM, digest, sealed
from optoscope.artifacts import ArtifactError, TrainedOptimizer, load
from optoscope.optimizers import GRUOptimizer
from optoscope.tasks import LinearRegression
from optoscope.training import MetaTrainConfig, Stage, tune


@pytest.fixture
def trained(key):
    config = MetaTrainConfig(num_units=3, input_scale=0.5, output_scale=2.0, input_kind="log_sign")
    optimizer = GRUOptimizer.create(3, key=key, input_scale=0.5, output_scale=2.0, input_kind="log_sign")
    optimizer = jax.tree.map(np.asarray, optimizer)
    return TrainedOptimizer(
        optimizer=optimizer,
        task="linear_regression",
        preset="custom",
        seed=3,
        config=dataclasses.asdict(config),
        metrics={"best_validation": 0.5},
        curve={"steps": np.arange(2.0)},
        snapshot_steps=np.array([0, 7]),
        snapshots=jax.tree.map(lambda leaf: np.stack([leaf, leaf + 1]), optimizer),
        provenance={"versions": {}},
    )


def test_a_trained_optimizer_comes_back_to_the_last_bit(trained, tmp_path):
    trained.save(tmp_path / "one")
    for name in ("one", "one.json", "one.safetensors", ""):
        back = load(tmp_path / name)
        assert jax.tree.all(jax.tree.map(np.array_equal, back.optimizer, trained.optimizer))
        assert jax.tree.structure(back.optimizer) == jax.tree.structure(trained.optimizer)
        assert (back.seed, back.metrics) == (3, trained.metrics)
        assert back.config == json.loads(json.dumps(trained.config))  # tuples come back as lists
        np.testing.assert_array_equal(back.snapshot(1).biases, trained.optimizer.biases + 1)


def test_a_tuned_optimizer_comes_back_with_every_sample(key, tmp_path):
    tuned = tune(LinearRegression(), "momentum", num_samples=20, stages=(Stage(4, 200, 5), Stage(8, 200, 1)), key=key)
    tuned.save(tmp_path / "momentum")
    back = load(tmp_path / "momentum")
    np.testing.assert_array_equal(back.scores, tuned.scores)
    assert (back.optimizer.learning_rate, back.optimizer.decay) == tuple(tuned.samples[tuned.winner])


def _cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def _flip_a_digit(path):
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))


def _edit(**changes):
    def edit(path):
        path = path.with_suffix(".json")
        data = json.loads(path.read_text()) | changes
        path.write_text(json.dumps(sealed({name: value for name, value in data.items() if name != CHECKSUM})))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "damaged, cut off or from another artifact"),
        (lambda path: path.unlink(), "missing beside its JSON"),
        (lambda path: _cut(path.with_suffix(".json")), "not whole JSON"),
        (lambda path: path.with_suffix(".json").write_text("[1]"), "not an optoscope artifact"),
        (_edit(schema_version=99), "schema version 99, this optoscope reads 2"),
        (_edit(schema_version=True), "schema version True"),
        (_edit(seed="three"), "seed is wrong"),
        (_edit(metrics=[1]), "metrics is wrong"),
        (lambda path: path.with_suffix(".json").write_text("[" * 100_000), "nested too deeply"),
        (lambda path: path.with_suffix(".json").write_bytes(b'{"a": "\xff"}'), "not whole JSON"),
        (lambda path: path.with_suffix(".json").write_text("{}"), "not an optoscope artifact"),
        (lambda path: _flip_a_digit(path.with_suffix(".json")), "its checksum is another one"),
        (_edit(format="other"), "expected format"),
        (_edit(kind="image"), "expected 'trained' or 'tuned'"),
        (_edit(config={}), "misses a part"),
    ],
)
def test_a_wrong_file_is_refused_with_what_was_found(trained, tmp_path, damage, message):
    trained.save(tmp_path / "one")
    damage(tmp_path / "one.safetensors")
    with pytest.raises(ArtifactError, match=message):
        load(tmp_path / "one")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(trained, tmp_path, value):
    bad = jax.tree.map(lambda leaf: np.full_like(leaf, value), trained.optimizer)
    dataclasses.replace(trained, optimizer=bad).save(tmp_path / "one")
    with pytest.raises(ArtifactError, match=r"optimizer\.\w+ holds numbers that are not finite"):
        load(tmp_path / "one")


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_weights_of_another_type_are_refused(trained, tmp_path, dtype):
    trained.save(tmp_path / "one")
    arrays = load_file(tmp_path / "one.safetensors")
    arrays["optimizer.biases"] = arrays["optimizer.biases"].astype(dtype)
    save_file(arrays, tmp_path / "one.safetensors")
    _edit(sha256=digest((tmp_path / "one.safetensors").read_bytes()))(tmp_path / "one.safetensors")
    with pytest.raises(ArtifactError, match=r"and type .* expected .* float32"):
        load(tmp_path / "one")


def test_weights_of_another_shape_are_refused(trained, tmp_path):
    dataclasses.replace(trained, config=trained.config | {"num_units": 5}).save(tmp_path / "one")
    with pytest.raises(ArtifactError, match=r"has shape .* expected"):
        load(tmp_path / "one")


def test_unknown_names_list_the_known_ones(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'rosenbrock'\?"):
        load("rosenbrok")
    with pytest.raises(FileNotFoundError, match=r"looked for nothing\.json"):
        load(tmp_path / "nothing")
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"no picture\.png\.json beside it"):
        load(tmp_path / "picture.png")


@pytest.mark.parametrize("name", list(artifacts.shipped()))
def test_everything_that_ships_loads_and_is_whole(name):
    artifact = load(name)
    assert artifact.provenance["versions"]["jax"]
    if isinstance(artifact, TrainedOptimizer):
        # Spaced in the logarithm: of short runs some fall together.
        most = min(artifact.config["num_snapshots"], artifact.config["num_meta_steps"] + 1)
        assert len(artifact.snapshot_steps) >= min(16, most)
        assert artifact.snapshot_steps[0] == 0
        # What began from weights that were learned elsewhere has a blank network to be compared with as well.
        assert not np.asarray(artifact.untrained.readout_weights).any()
        assert artifact.untrained.num_units == artifact.optimizer.num_units
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(artifact.snapshots))
    else:
        assert artifact.samples.shape[0] == 2500
        assert not np.isnan(artifact.scores).any()


def test_the_package_ships_what_the_readme_promises():
    assert {"linear_regression", "rosenbrock", "momentum_like"} <= set(artifacts.shipped())


def test_what_ships_fits_into_a_wheel_of_8_megabytes():
    sizes = [path.with_suffix(ending).stat().st_size for path in artifacts.shipped().values()
             for ending in (".json", ".safetensors")]  # fmt: skip
    assert sum(sizes) < 8e6  # weights hardly shrink in a wheel, and the code takes 0.4 MB there
