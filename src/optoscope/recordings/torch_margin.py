"""The margin of a run in torch.

torch's optimizers have no derivatives to ask for, so that small copies of the optimizer take small gradients.
`curvlinops-for-pytorch` has products with the Hessian as well, for a model, a loss function and data; here a closure
says what the loss is, and the products are one line.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np

from optoscope._core.allowed import Allowed, check_setting, settings_of
from optoscope.optimizers.torch_stack import as_factory
from optoscope.recordings.margins import KERNEL_STEPS, Margin, edge_of, find_margin, shape_of

#: Size of the gradients with which the optimizer is asked, in units of the present ones.
_SMALL = 1e-6
#: Components whose response is followed, and the share by which the signs of others may change a response.
_FOLLOWED, _OWN = 64, 1e-2


def torch_margin(
    closure: Callable[[], Any] | Sequence[Callable[[], Any]],
    optimizer: Any,
    *,
    names: Sequence[str] | None = None,
    clip_factor: float = 1.0,
    top: Annotated[int, Allowed(1, 20)] = 1,
    layers: bool = False,
    spectrum: Annotated[int, Allowed(0, 100)] = 0,
    tolerance: Annotated[float, Allowed(1e-6, 0.2)] = 0.01,
    start: Margin | None = None,
    seed: int = 0,
) -> Margin:
    """Measure how far a run is from the edge of stability of its own torch optimizer.

    Args:
        closure: computes the loss of the present parameters, without `backward`; or several, one for each batch.
        optimizer: the optimizer, in its present state, of which nothing changes.
        names: of the arrays of parameters.
        clip_factor: what clipping makes of gradients now.
        top: as in `optoscope.margin`, as all that follows.
        layers: whether to look at each array of parameters by itself, too.
        spectrum: number of random vectors for the whole spectrum.
        tolerance: of the eigenvalue, relative.
        start: the margin some steps before.
        seed: of the first direction and of random vectors.

    Returns:
        The margin.

    Raises:
        ValueError: as `optoscope.margin`, or if the optimizer does not treat every component by itself.
    """
    import torch

    hints = settings_of(torch_margin)
    for name, value in {"top": top, "spectrum": spectrum, "tolerance": tolerance}.items():
        check_setting(name, value, hints[name])
    closures: list[Callable[[], Any]] = [closure] if callable(closure) else list(closure)
    chosen = [(g, x) for g, group in enumerate(optimizer.param_groups) for x in group["params"] if x.requires_grad]
    params = [x for _, x in chosen]
    gains = [_gains(optimizer, g, x) for g, x in chosen]  # says first whether components have gains of their own
    edges = np.full(len(optimizer.param_groups), np.nan)
    for g in range(len(edges)):
        mine = [x for n, x in chosen if n == g]
        if mine:
            edges[g] = _edge(optimizer, g, max(mine, key=torch.Tensor.numel))
    ends = np.cumsum([0, *(x.numel() for x in params)]).tolist()
    known = names if names is not None else [f"array {n}" for n in range(len(params))]
    known = [
        name
        for name, x in zip(known, (x for group in optimizer.param_groups for x in group["params"]))
        if x.requires_grad
    ]
    return find_margin(
        [_product(one, params) for one in closures],
        np.concatenate([gain / edges[g] for gain, (g, _) in zip(gains, chosen)]) * clip_factor,
        edges=edges,
        layers={name: slice(a, b) for name, a, b in zip(known, ends[:-1], ends[1:])} if layers else {},
        clip_factor=clip_factor,
        top=top,
        spectrum=spectrum,
        tolerance=tolerance,
        start=start,
        seed=seed,
    )


def _product(closure: Callable[[], Any], params: list[Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Products with the Hessian of a loss: the backward pass of a backward pass, which is made once."""
    import torch

    made: list[Any] = []

    def product(v: np.ndarray) -> np.ndarray:
        with torch.enable_grad():
            if not made:
                loss = closure()
                if not (torch.is_tensor(loss) and loss.requires_grad):
                    raise ValueError(
                        "the closure must return the loss as a tensor that the parameters are part of, without calling "
                        f"`backward` or `item`, got {type(loss).__name__}."
                    )
                gradients = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
                made.append([(g, x) for g, x in zip(gradients, params)])
            parts = np.split(v, np.cumsum([x.numel() for x in params])[:-1])
            along = [
                (g, torch.as_tensor(part, dtype=x.dtype, device=x.device).reshape(x.shape))
                for (g, x), part in zip(made[0], parts)
                if g is not None and g.requires_grad
            ]
            found = torch.autograd.grad(
                [g for g, _ in along], params, [one for _, one in along], retain_graph=True, allow_unused=True
            )
        return np.concatenate(
            [np.zeros(x.numel()) if h is None else h.double().reshape(-1).cpu().numpy() for h, x in zip(found, params)]
        )

    return product


class _Twin:
    """A copy of an optimizer with some components of one array of parameters, in double precision."""

    def __init__(self, optimizer: Any, group: int, x: Any, places: Any = None):
        import torch

        take = lambda t: (t.detach().reshape(-1) if places is None else torch.take(t.detach(), places)).double().clone()
        shaped = (lambda t: take(t).reshape(x.shape)) if places is None else take
        self.x = torch.nn.Parameter(shaped(x))
        self.optimizer = as_factory(optimizer, group=group)([self.x])
        for hooks in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
            getattr(self.optimizer, hooks).clear()
        self.before = {
            name: shaped(value) if getattr(value, "shape", None) == x.shape and value.is_floating_point() else value
            for name, value in optimizer.state.get(x, {}).items()
        }
        self.origin = self.x.detach().clone()

    def step(self, gradient: Any, moved: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Return the update, and the state after it, from the present state moved a little."""
        import torch

        moved = moved or {}
        state = copy.deepcopy(self.before)
        for name, change in moved.items():
            held = state.get(name)
            state[name] = change.clone() if held is None else held + change
        with torch.no_grad():
            self.x.copy_(self.origin)
        self.x.grad = gradient
        self.optimizer.state[self.x] = state
        self.optimizer.step()
        return self.x.detach() - self.origin, copy.deepcopy(dict(self.optimizer.state[self.x]))


def _gains(optimizer: Any, group: int, x: Any) -> np.ndarray:
    """How far each component moves at once for a small gradient of its own."""
    import torch

    twin = _Twin(optimizer, group, x)
    signs = torch.ones_like(twin.x.detach())
    found = _gain(twin, x, signs)
    signs.view(-1)[torch.from_numpy(np.random.default_rng(0).random(x.numel()) < 0.5)] = -1.0
    if np.linalg.norm(_gain(twin, x, signs) - found) > _OWN * np.linalg.norm(found):
        raise ValueError(
            f"{type(optimizer).__name__} does not treat every component by itself, so its components have no gains of "
            "their own; `optoscope.margin` takes such optimizers, where they are written in JAX."
        )
    twice = _gain(twin, x, 2 * torch.ones_like(signs)) / 4
    moved = found != 0
    if moved.any() and np.median(np.abs(twice[moved] / found[moved] - 1)) > _OWN:
        why = "it takes a sign, or steps whose size is its own, so there is no margin"
        if not optimizer.state.get(x):
            why = "its first step is not like those that follow; measure the margin after the first step"
        raise ValueError(f"{type(optimizer).__name__} does not move in proportion to small gradients: {why}.")
    if (found < 0).any():
        raise ValueError("the optimizer moves some parameters up their gradients: there is no margin, it is unstable.")
    return found


def _gain(twin: _Twin, x: Any, signs: Any) -> np.ndarray:
    size = _size(x)
    up, down = twin.step(size * signs)[0], twin.step(-size * signs)[0]
    return (-(up - down) / (2 * size) * signs).reshape(-1).cpu().numpy()


def _size(x: Any) -> float:
    present = 0.0 if x.grad is None else float(x.grad.detach().double().square().mean().sqrt())
    return _SMALL * (present or 1.0)


def _edge(optimizer: Any, group: int, x: Any) -> float:
    """The edge of one group: what follows one small gradient, the state being held but for what that left."""
    import torch

    places = torch.from_numpy(np.random.default_rng(1).permutation(x.numel())[:_FOLLOWED]).to(x.device)
    twin, size = _Twin(optimizer, group, x, places), _size(x)
    zero = torch.zeros_like(twin.x.detach())
    rest, at_rest = twin.step(zero)
    update, after = twin.step(zero + size)
    responses = [(rest - update) / size]
    for _ in range(KERNEL_STEPS - 1):
        moved = {
            name: value - at_rest[name]
            for name, value in after.items()
            if getattr(value, "shape", None) == zero.shape and torch.is_tensor(at_rest.get(name))
        }
        update, after = twin.step(zero, moved)
        responses.append((rest - update) / size)
    return edge_of(shape_of(torch.stack(responses).cpu().numpy()))
