"""Network tasks: sizes, gradients and their derivatives, and the two ways to convolve."""

import gzip
import hashlib
import struct

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optoscope import tasks
from optoscope.optimizers import GRUOptimizer
from optoscope.running import meta_objective, sample_problems
from optoscope.running.rollouts import rollout_batch
from optoscope.tasks import Digits, TwoMoons, _data, _images
from optoscope.tasks._network import convolution_params, convolve

SMALL = {"two_moons": lambda: TwoMoons(32, (5, 4)), "digits": lambda: Digits(8, (2, 2, 2))}


@pytest.mark.parametrize(("name", "count"), [("two_moons", 8577), ("digits", 1578)])
def test_networks_have_as_many_parameters_as_documented(name, count):
    assert tasks.get(name).cost == count


@pytest.mark.parametrize("name", SMALL)
def test_a_gradient_and_its_derivative_equal_those_of_autodiff(name, key):
    task = SMALL[name]()
    with jax.enable_x64(True):
        problem = jax.tree.map(lambda leaf: leaf.astype(float), task.sample(key))
        params = problem.initial_params
        direction = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size) * 0.7).reshape(leaf.shape), params)

        def contract(value_and_gradient):
            def scalar(x):
                loss, gradient = value_and_gradient(x)
                return 0.3 * loss + sum(jnp.vdot(*pair) for pair in zip(*map(jax.tree.leaves, (gradient, direction))))

            return jax.jit(jax.grad(scalar))(params)

        ours = contract(lambda x: task.value_and_gradient(problem, x, key))
        plain = contract(jax.value_and_grad(lambda x: task.loss(problem, x, key)))
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("name", "segment_length"), [("two_moons", None), ("two_moons", 3), ("digits", 3)])
def test_meta_gradients_are_the_same_with_and_without_segments(name, segment_length, key):
    task = SMALL[name]()
    problems, keys = sample_problems(task, key, 2)
    optimizer = jax.tree.map(lambda leaf: leaf + 0.1, GRUOptimizer.create(3, key=key, output_scale=0.1))

    @jax.jit
    def objective(optimizer):
        run = rollout_batch(task, problems, optimizer, num_steps=6, keys=keys, segment_length=segment_length)
        return jnp.mean(meta_objective(run.losses))

    gradient = jax.jit(jax.grad(objective))(optimizer)
    step = 1e-2
    for field in ("readout_bias", "biases"):
        along = eqx.tree_at(
            lambda tree, field=field: getattr(tree, field),
            jax.tree.map(jnp.zeros_like, gradient),
            getattr(gradient, field),
        )
        up, down = (
            objective(jax.tree.map(lambda a, b, size=size: a + size * b, optimizer, along)) for size in (step, -step)
        )
        np.testing.assert_allclose((up - down) / (2 * step), jnp.sum(getattr(gradient, field) ** 2), rtol=0.05)


def test_patches_and_direct_convolution_agree(key):
    with jax.enable_x64(True):
        layer = jax.tree.map(lambda leaf: leaf.astype(float), convolution_params(key, 3, 2, 4))
        x = jax.random.normal(key, (2, 3, 7, 6), float)
        ours, direct = (convolve(layer, x, method=method) for method in ("patches", "direct"))
    assert ours.shape == (4, 3, 5, 4)
    np.testing.assert_allclose(ours, direct, rtol=1e-10, atol=1e-12)


def test_a_minibatch_worked_off_in_blocks_gives_the_same_gradient(key, monkeypatch):
    task = Digits(12, (3, 2, 2))
    problem = task.sample(key)
    params = problem.initial_params
    assert task._block_size() == 12
    whole = task.value_and_gradient(problem, params, key)
    monkeypatch.setattr(_images, "_CACHED_BYTES", 4 * 4 * 16 * 27)
    assert task._block_size() == 4
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        whole,
        task.value_and_gradient(problem, params, key),
    )


def test_two_moons_penalizes_the_unsquared_norm(key):
    free, penalized = (TwoMoons(32, (4,), penalty=penalty) for penalty in (0.0, 2.0))
    problem = free.sample(key)
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(problem.initial_params)))
    losses = [task.loss(problem, problem.initial_params, key) for task in (free, penalized)]
    np.testing.assert_allclose(losses[1] - losses[0], 2 * norm, rtol=1e-5)


def test_minibatches_differ_from_step_to_step(key):
    task = SMALL["digits"]()
    problem = task.sample(key)
    first, again, other = (task.loss(problem, problem.initial_params, jax.random.key(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_task_can_be_named_with_other_settings():
    task = tasks.get("two_moons(num_examples=32, widths=(4,))")
    assert tasks.name_of(task) == "two_moons(num_examples=32, widths=(4,))"
    with pytest.raises(ValueError, match="two_moons takes"):
        tasks.get("two_moons(depth=3)")
    with pytest.raises(ValueError, match="only literals"):
        tasks.get("two_moons(num_examples=open('x'))")


# ---------------------------------------------------------------------------------------------------------- MNIST data


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """Four files in MNIST's format with two images, known by their own hashes."""
    images = struct.pack(">4B3I", 0, 0, 8, 3, 2, 28, 28) + bytes(range(256)) * 6 + bytes(32)
    labels = struct.pack(">4BI", 0, 0, 8, 1, 2) + bytes([7, 2])
    hashes = {}
    for name in _data.FILES:
        content = gzip.compress(images if "images" in name else labels)
        (tmp_path / name).write_bytes(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(_data, "FILES", hashes)
    monkeypatch.delenv(_data.VARIABLE, raising=False)
    return tmp_path


def test_mnist_is_read_from_a_directory_or_the_variable(tiny_mnist, monkeypatch):
    images, labels = _data.load_mnist(tiny_mnist)
    assert images.shape == (2, 28, 28)
    assert labels.tolist() == [7, 2]
    monkeypatch.setenv(_data.VARIABLE, str(tiny_mnist))
    np.testing.assert_array_equal(_data.load_mnist()[0], images)


def test_mnist_is_at_hand_if_no_file_would_have_to_be_fetched(tiny_mnist, monkeypatch):
    monkeypatch.setattr(_data, "_cache", lambda: tiny_mnist)
    assert tasks.is_at_hand("mnist") and tasks.is_at_hand("mnist(batch_size=10)")
    monkeypatch.setenv(_data.VARIABLE, str(tiny_mnist / "elsewhere"))
    assert not tasks.is_at_hand("mnist") and tasks.is_at_hand("digits")
    monkeypatch.delenv(_data.VARIABLE)
    (tiny_mnist / "t10k-labels-idx1-ubyte.gz").unlink()
    assert not tasks.is_at_hand("mnist")


def test_a_missing_or_damaged_file_is_refused_with_what_to_do(tiny_mnist):
    path = tiny_mnist / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(tasks.DataError, match="damaged"):
        _data.load_mnist(tiny_mnist)
    path.unlink()
    with pytest.raises(tasks.DataError, match="--mnist-dir"):
        _data.load_mnist(tiny_mnist)


def test_a_damaged_file_in_the_cache_is_fetched_again_and_a_failed_download_says_what_to_type(tiny_mnist, monkeypatch):
    import pooch

    content = {name: (tiny_mnist / name).read_bytes() for name in _data.FILES}
    monkeypatch.setattr(_data, "_cache", lambda: tiny_mnist)
    fetched = []

    def retrieve(url, known_hash, fname, path):
        fetched.append(fname)
        if len(fetched) == 1:
            raise OSError("first mirror is down")
        (path / fname).write_bytes(content[fname])

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    (tiny_mnist / "t10k-labels-idx1-ubyte.gz").write_bytes(b"cut off")
    assert _data.load_mnist()[1].tolist() == [7, 2]
    assert fetched == ["t10k-labels-idx1-ubyte.gz"] * 2

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(pooch, "retrieve", fail)
    (tiny_mnist / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(tasks.DataError, match=r"no network.*--mnist-dir.*digits"):
        _data.load_mnist()
