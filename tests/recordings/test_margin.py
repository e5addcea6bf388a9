"""The margin of quadratics, where it is known, in both frameworks; and what has none."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optoscope.recordings import margin
from optoscope.recordings.margins import edge_of

CURVATURES = np.concatenate([np.linspace(0.1, 2.0, 39), [5.0]])
START = 1 + 0.1 * np.arange(40)


def quadratic(params, scale=1.0):
    x = params["a"] if isinstance(params, dict) else params
    return 0.5 * scale * jnp.sum(jnp.asarray(CURVATURES, jnp.float32) * x**2)


def after(optimizer, steps):
    x = {"a": jnp.asarray(START, jnp.float32)}
    state = optimizer.init(x)
    for _ in range(steps):
        updates, state = optimizer.update(jax.grad(quadratic)(x), state, x)
        x = optax.apply_updates(x, updates)
    return x, state


@pytest.mark.parametrize(
    ("kernel", "edge"),
    [
        (np.eye(1, 64)[0], 2.0),
        (0.9 ** np.arange(64), 3.8),
        (0.99 ** np.arange(64), 3.98),
        ((-0.5) ** np.arange(64), 1.0),
    ],
)
def test_the_edge_is_found_from_the_response_to_one_gradient(kernel, edge):
    assert edge_of(kernel) == pytest.approx(edge, rel=1e-4)


def test_what_has_no_edge_says_so():
    with pytest.raises(ValueError, match="does not die out"):
        edge_of(-(0.9 ** np.arange(64)))


@pytest.mark.parametrize(
    ("optimizer", "expected"), [(optax.sgd(0.2), 0.5), (optax.sgd(0.2, momentum=0.5), 1 / 3)], ids=["sgd", "momentum"]
)
def test_the_margin_of_a_quadratic_is_that_of_its_largest_curvature(optimizer, expected):
    x, state = after(optimizer, 2)
    found = margin(quadratic, x, optimizer, state, layers=True, spectrum=4, top=2)
    assert found.margin == pytest.approx(expected, rel=0.01)
    assert found.num_products <= 25 and found.is_converged and found.is_componentwise
    assert found.layer_names == ["a"] and found.layers[0] == pytest.approx(expected, rel=0.01)
    assert found.top[1] == pytest.approx(expected * 2 / 5, rel=0.02)
    mean = found.spectrum_values @ found.spectrum_weights
    assert mean == pytest.approx(expected / 5 * CURVATURES.mean(), rel=1e-3)
    again = margin(quadratic, x, optimizer, state, start=found)
    assert again.margin == pytest.approx(found.margin, rel=1e-3) and again.num_products <= found.num_products


def test_adaptive_gains_are_those_of_the_present_state():
    x, state = after(optax.adam(0.01, b1=0.8, b2=0.99), 30)
    gains = 0.01 * 0.2 / (1 - 0.8**31) / np.sqrt(np.asarray(state[0].nu["a"]) * 0.99 / (1 - 0.99**31))
    found = margin(quadratic, x, optax.adam(0.01, b1=0.8, b2=0.99), state)
    assert found.margin == pytest.approx(np.max(gains * CURVATURES) / 3.6, rel=0.01)


def test_clipping_counts_and_batches_give_an_interval():
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.2))
    x, state = after(optimizer, 0)
    norm = np.linalg.norm(CURVATURES * START)
    found = margin(quadratic, x, optimizer, state, batches=[jnp.array(scale) for scale in (0.9, 1.0, 1.1)])
    assert found.clip_factor == pytest.approx(1 / (0.9 * norm), rel=0.05)
    assert found.margin == pytest.approx(0.5 * found.clip_factor, rel=0.02)
    assert found.low < found.margin < found.high and found.batches[2] > found.batches[0]


def test_a_matrix_optimizer_is_weighed_as_it_is():
    params = {"m": jax.random.normal(jax.random.key(0), (4, 4))}
    optimizer = optax.contrib.muon(1e-2, ns_steps=2)
    loss = lambda q: jnp.sum(jnp.square(q["m"] @ q["m"])) / 10
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for _ in range(3):
        _, state = update(jax.grad(loss)(params), state, params)
    found = margin(loss, params, optimizer, state)
    assert not found.is_componentwise and found.clip_factor == 1 and 0 < found.margin < 1


def test_what_has_no_margin_is_refused_with_the_reason():
    x, state = after(optax.lion(1e-3), 1)
    with pytest.raises(ValueError, match="takes a sign"):
        margin(quadratic, x, optax.lion(1e-3), state)
    optimizer = optax.chain(optax.sgd(0.1), optax.scale(-1.0))
    with pytest.raises(ValueError, match="up their gradients"):
        margin(quadratic, x, optimizer, optimizer.init(x))
    with pytest.raises(ValueError, match="`top` must be"):
        margin(quadratic, x, optax.sgd(0.1), optax.sgd(0.1).init(x), top=0)


def test_torch_gives_the_same_and_changes_nothing(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")
    from optoscope.recordings import read_recording, record

    curvatures = torch.tensor(CURVATURES, dtype=torch.float32)
    x, y = (torch.nn.Parameter(torch.tensor(START, dtype=torch.float32)) for _ in range(2))
    loss = lambda: 0.5 * (curvatures * x**2).sum() + 0.5 * (curvatures * y**2).sum()
    groups = [{"params": [x]}, {"params": [y], "lr": 0.001}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.99), weight_decay=0.0)
    with record(optimizer, tmp_path) as recorder:
        for _ in range(30):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        before = [x.detach().clone(), optimizer.state[x]["exp_avg"].clone(), optimizer.state[x]["step"].clone()]
        found = recorder.margin([loss, lambda: 2 * loss(), loss], layers=True)
    for old, new in zip(before, (x, optimizer.state[x]["exp_avg"], optimizer.state[x]["step"])):
        assert torch.equal(old, new.detach())
    expected_x, expected_state = after(optax.adam(0.01, b1=0.8, b2=0.99), 30)
    expected = margin(quadratic, expected_x, optax.adam(0.01, b1=0.8, b2=0.99), expected_state)
    assert found.batches[0] == pytest.approx(expected.margin, rel=0.02) and found.num_products <= 25
    assert found.batches[1] == pytest.approx(2 * found.batches[0], rel=0.02)
    np.testing.assert_allclose(found.edges, 3.6, rtol=1e-4)
    assert found.layers[1] < 0.2 * found.layers[0]
    assert read_recording(tmp_path).margins.tolist() == [found.margin]
    matrix = torch.nn.Parameter(torch.randn(4, 4))
    recorder = record(torch.optim.Muon([matrix], lr=0.01), tmp_path / "muon")
    with recorder, pytest.raises(ValueError, match="does not treat every component by itself"):
        recorder.margin(lambda: matrix.square().sum())


def test_torch_says_what_it_cannot_measure_and_why(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'optoscope[torch]'")
    from optoscope.recordings.torch_margin import torch_margin

    x = torch.nn.Parameter(torch.ones(50))
    loss = lambda: (torch.arange(50) * x.square()).sum()

    def stepped(optimizer):
        for _ in range(3):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        return optimizer

    with pytest.raises(ValueError, match="measure the margin after the first step"):
        torch_margin(loss, torch.optim.Adam([x], lr=1e-3))
    with pytest.raises(ValueError, match="does not move in proportion to small gradients"):
        torch_margin(loss, stepped(torch.optim.Rprop([x], lr=1e-3)))
    adam = stepped(torch.optim.Adam([x], lr=1e-3))
    for bad in (lambda: loss().item(), lambda: loss().detach()):
        with pytest.raises(ValueError, match="the closure must return the loss as a tensor"):
            torch_margin(bad, adam)
    with pytest.raises(TypeError, match="`model` must be the torch module"):
        import optoscope

        optoscope.record(adam, tmp_path, model=3)


def test_eigenvalues_near_each_other_are_found_to_the_tolerance():
    curvatures = 0.986 ** np.arange(500)
    near = lambda params: 0.5 * jnp.sum(jnp.asarray(curvatures) * params**2)
    params, tx = jnp.zeros(500), optax.sgd(1.0)
    for seed in range(3):
        found = margin(near, params, tx, tx.init(params), top=3, seed=seed)
        assert found.is_converged
        np.testing.assert_allclose(found.top, 0.5 * curvatures[:3], rtol=0.01)
