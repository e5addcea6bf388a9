"""A whole torch optimizer run on the host: made, stepped, put back, whatever it needs to be made and stepped."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

from optoscope.optimizers._image import (
    Image,
    Path,
    numbers,
    random_state,
    read,
    same_random_state,
    seeded,
    set_random_state,
    write,
)
from optoscope.optimizers._leaks import first_line

#: Curvature of the quadratic whose gradients optimizers get that ask for a closure or for Hessian products.
CURVATURE = 1.0
#: Random numbers of every optimizer start here.
_SEED = 0
#: Numbers of all parameters up to which one core is quicker than several.
_SMALL = 2**15
#: Matrices, vectors and kernels on which it is found out how an optimizer is made and stepped.
_TRIALS = (((4, 3), (3,), (2, 2, 3, 3)), ((4, 3), (3, 4)))


class CannotRun(ValueError):
    """A torch optimizer that cannot be made or stepped here; the message says what it needs."""


class NoOptimizerError(TypeError):
    """What was made is no optimizer."""


class Refusal(ValueError):
    """An optimizer is not the rule of one component."""


def refusal(reason: str) -> Refusal:
    """The error that gives the reason, as measured."""
    return Refusal(
        "`from_torch` takes only optimizers that treat every component by itself, and this one does not: "
        f"{reason}. torch runs it as it is; give a `context`, and one component is taken out of it with the others."
    )


@final
class Door:
    """How an optimizer is made of parameters and stepped; `find_door` finds it by trying.

    Attributes:
        form: "list" of tensors, "groups" (matrices with `use_muon`, the rest without), "named" parameters, a "module".
        mode: "plain" steps; "graph" (gradients that can be differentiated again); "closure".
        dtype: "float64", or "float32" where an optimizer does not run in more.
        draws: whether steps draw random numbers.
    """

    FORMS = ("list", "groups", "named", "module")
    MODES = ("plain", "graph", "closure")

    def __init__(self, form: str, mode: str, dtype: str, draws: bool = True):
        self.form, self.mode, self.dtype, self.draws = form, mode, dtype, draws

    def __repr__(self) -> str:
        return f"Door({self.form}, {self.mode}, {self.dtype})"


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one core: to share out a product of small matrices takes many times longer than to compute it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@final
class Live:
    """One optimizer at work on parameters of its own.

    Args:
        factory: makes it.
        door: how.
        parameters: where the parameters start, one array for each.
    """

    def __init__(self, factory: Any, door: Door, parameters: Sequence[np.ndarray]):
        import torch

        self.door, self.dtype = door, getattr(torch, door.dtype)
        self.tensors = [torch.tensor(np.ascontiguousarray(x), dtype=self.dtype) for x in parameters]
        for x in self.tensors:
            x.requires_grad_(door.mode != "plain")
        with _quiet(), seeded(_SEED):
            self.stack = factory(_arranged(self.tensors, door.form))
            self.random = random_state()
        if not hasattr(self.stack, "step"):
            raise NoOptimizerError(
                "a torch optimizer is needed, `lambda params: torch.optim.SGD(params, lr=0.1)`, but this makes a "
                f"{type(self.stack).__name__}, which has no `step`."
            )
        self.roots = {"stack": self.stack}

    def step(self, gradients: Sequence[np.ndarray], *, value: float = 1.0, hold: bool = False) -> list[np.ndarray]:
        """Take one step and return the updates; with `hold`, put the parameters back afterwards."""
        import torch

        before = [x.detach().clone() for x in self.tensors]
        self.step_tensors([torch.tensor(np.ascontiguousarray(g), dtype=self.dtype) for g in gradients], value=value)
        updates = [(x.detach() - x0).double().numpy() for x, x0 in zip(self.tensors, before)]
        with torch.no_grad():
            for x, x0 in zip(self.tensors, before):
                if hold:
                    x.copy_(x0)
        return updates

    def step_tensors(self, gradients: Sequence[Any], *, value: float = 1.0) -> None:
        """Take one step with gradients that are tensors already."""
        import torch

        try:
            with self.surroundings():
                if self.door.mode == "plain":
                    for x, g in zip(self.tensors, gradients):
                        x.grad = g
                    self.stack.step()
                    return
                closure = self._closure([x.detach().clone() for x in self.tensors], gradients, value)
                with torch.enable_grad():
                    closure()
                self.stack.step() if self.door.mode == "graph" else self.stack.step(closure)
        finally:
            for x in self.tensors:
                x.grad = None

    @contextlib.contextmanager
    def surroundings(self) -> Iterator[None]:
        """Let it be quiet, draw from random numbers of its own, and run on one core if it is small, inside."""
        small = sum(x.numel() for x in self.tensors) <= _SMALL
        with _quiet(), _own_random(self), _one_thread() if small else contextlib.nullcontext():
            yield

    def reseed(self, seed: int) -> None:
        """Let its random numbers start elsewhere."""
        with seeded(seed):
            self.random = random_state()

    def place(self, parameters: Sequence[np.ndarray]) -> None:
        """Put the parameters somewhere; the state is left as it is."""
        import torch

        with torch.no_grad():
            for x, value in zip(self.tensors, parameters):
                x.copy_(torch.tensor(np.ascontiguousarray(value), dtype=self.dtype))

    def image(self) -> Image:
        """What everything holds now, parameters included."""
        return Image([self.stack, *self.tensors], self)

    def numbers(self) -> dict[Path, Any]:
        """Every number of the state, by its path."""
        return numbers(self.roots, self.tensors)

    def read(self, path: Path) -> Any:
        """The number at a path."""
        return read(self.roots, self.tensors, path)

    def write(self, path: Path, value: Any) -> None:
        """Put a number at a path."""
        write(self.roots, self.tensors, path, value)

    def _closure(self, origin, grads, value):
        import torch

        def closure(backward=True, **_):
            with torch.enable_grad():
                loss = torch.tensor(value, dtype=self.dtype)
                for x, x0, g in zip(self.tensors, origin, grads):
                    moved = x - x0
                    loss = loss + (g * moved).sum() + 0.5 * CURVATURE * moved.square().sum()
                found = torch.autograd.grad(loss, self.tensors, create_graph=True)
            for x, g in zip(self.tensors, found):
                x.grad = g
            return loss

        return closure


def find_door(factory: Any, shapes: Sequence[tuple[int, ...]] | None = None) -> Door:
    """Find out how an optimizer is made and stepped, by trying.

    Optimizers that differentiate gradients once more get such gradients.

    Args:
        factory: makes the optimizer.
        shapes: of the parameters; a matrix, a vector and a kernel, else matrices alone, if None.

    Raises:
        CannotRun: if no way leads to finite updates; the message says what the optimizer asks for.
    """
    errors: list[Exception] = []
    for some in _TRIALS if shapes is None else (shapes,):
        for form in Door.FORMS:
            for mode in Door.MODES:
                for dtype in ("float64", "float32"):
                    door = Door(form, mode, dtype)
                    updates = _tried(factory, door, some, errors)
                    if updates is None:
                        continue
                    if mode == "plain":
                        again = Door(form, "graph", dtype)
                        others = _tried(factory, again, some, [])
                        if others is not None and not np.allclose(updates, others, rtol=1e-4, atol=0):
                            return again
                    return door
    told = next((error for error in errors if not str(error).startswith("'list' object")), errors[0])
    raise CannotRun(f"it cannot be made of parameters and stepped ({first_line(told)})") from told


def _tried(factory, door, shapes, errors):
    """All updates of three steps in a row; None if they fail."""
    rng = np.random.default_rng(0)
    try:
        live = Live(factory, door, [0.1 * rng.standard_normal(shape) for shape in shapes])
        before = live.random
        steps = [live.step([rng.standard_normal(shape) for shape in shapes]) for _ in range(3)]
    except NoOptimizerError:
        raise
    except Exception as error:
        errors.append(error)
        return None
    door.draws = not same_random_state(before, live.random)
    updates = np.concatenate([u.ravel() for step in steps for u in step])
    if np.isfinite(updates).all():
        return updates
    errors.append(ValueError(f"its updates are not finite in {door.dtype}"))
    return None


def _arranged(tensors: list[Any], form: str) -> Any:
    if form == "list":
        return list(tensors)
    if form == "groups":
        matrices = [x for x in tensors if x.ndim >= 2]
        rest = [x for x in tensors if x.ndim < 2]
        groups = [{"params": some, "use_muon": use} for some, use in ((matrices, True), (rest, False))]
        return [group for group in groups if group["params"]]
    if form == "named":
        return [(f"layer{i}.weight", x) for i, x in enumerate(tensors)]
    import torch

    module = torch.nn.Module()
    for i, x in enumerate(tensors):
        module.register_parameter(f"layer{i}", torch.nn.Parameter(x, requires_grad=x.requires_grad))
    # The module's own parameters are other objects than the tensors: they take their places.
    tensors[:] = list(module.parameters())
    return module


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of optimizers and schedulers, about how they are used
        yield


@contextlib.contextmanager
def _own_random(live: Live) -> Iterator[None]:
    """Let an optimizer draw from random numbers of its own, which go on from step to step.

    Of an optimizer that was not seen to draw, torch's generator alone is watched.
    """
    import torch

    if not live.door.draws:
        before = torch.get_rng_state()
        yield
        if not torch.equal(before, torch.get_rng_state()):
            live.door.draws = True
            torch.set_rng_state(before)
        return
    outside = random_state()
    set_random_state(live.random)
    try:
        yield
    finally:
        live.random = random_state()
        set_random_state(outside)
