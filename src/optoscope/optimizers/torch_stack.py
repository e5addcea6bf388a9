"""What people run in torch is a stack: accumulation, clipping, an optimizer with its groups, a scheduler."""

import collections
import copy
import types
import warnings
from collections.abc import Callable
from typing import Any, final

from optoscope._core.checks import check_count, check_number


@final
class TorchStack:
    """A torch optimizer with what stands around it in a training script, as one optimizer.

    One `step` of a stack takes one gradient, in update order: accumulation over `accumulate` gradients (their mean),
    clipping of each component, clipping of the norm of all gradients together, the optimizer, the scheduler. A stack is
    a function that makes such an object of a list of parameters: it goes wherever `from_torch` takes a function.

    Args:
        optimizer: a function that makes the optimizer of a list of parameters, the class of one, or the optimizer of a
            script itself. Of the latter the settings are taken, its groups' as well, never its parameters or states.
        scheduler: a function that makes a scheduler of the optimizer, or the script's own one, of torch or of any
            other package. Its `step` is called after each step of the optimizer.
        clip_norm: the largest norm of all gradients together; None for no clipping.
        clip_value: the largest absolute value of one gradient; None for no clipping.
        accumulate: gradients that make one step.
        group: which of the optimizer's parameter groups its settings are taken from, where a script's own is given.

    Raises:
        TypeError: if the optimizer or the scheduler is none of these.
        ValueError: if a number is not positive, or there is no such group.

    >>> import torch
    >>> stack = TorchStack(lambda params: torch.optim.SGD(params, lr=0.1), clip_norm=1.0)
    >>> x = torch.zeros(2)
    >>> running = stack([x])
    >>> x.grad = torch.tensor([3.0, 4.0])
    >>> running.step()
    >>> [round(value, 3) for value in x.tolist()]
    [-0.06, -0.08]
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        scheduler: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        group: int = 0,
    ):
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if value is not None:
                check_number(name, value, low=0, open_low=True, hint="None leaves gradients as they are")
        self.accumulate = check_count("accumulate", accumulate, hint="1 takes a step at each gradient")
        self.clip_norm, self.clip_value, self.group = clip_norm, clip_value, group
        self._optimizer, self._scheduler = as_factory(optimizer, group=group), scheduler
        self.groups = [_settings(entry) for entry in getattr(optimizer, "param_groups", ())]
        if scheduler is not None and not callable(scheduler) and not hasattr(scheduler, "step"):
            raise TypeError(
                "`scheduler` must be a function of the optimizer, or a scheduler, got "
                f"{type(scheduler).__name__}; use `lambda optimizer: CosineAnnealingLR(optimizer, 100)`."
            )

    def __call__(self, params: list) -> "RunningStack":
        """Make the stack of a list of parameters."""
        return RunningStack(self, params)

    def with_group(self, group: int) -> "TorchStack":
        """Return the same stack with the settings of another parameter group of the script's optimizer."""
        other = copy.copy(self)
        other.group, other._optimizer = group, self._optimizer.with_group(group)
        return other

    def __repr__(self) -> str:
        parts = [repr(self._optimizer)]
        for name in ("clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                parts.append(f"{name}={getattr(self, name)}")
        if self.accumulate > 1:
            parts.append(f"accumulate={self.accumulate}")
        if self._scheduler is not None:
            parts.append(f"scheduler={getattr(self._scheduler, '__name__', type(self._scheduler).__name__)}")
        return f"TorchStack({', '.join(parts)})"


@final
class RunningStack:
    """A stack at work on some parameters; `TorchStack` makes it."""

    def __init__(self, stack: TorchStack, params: list):
        self.params = [x for entry in params for x in (entry["params"] if isinstance(entry, dict) else [entry])]
        self.params = [x[1] if isinstance(x, tuple) else x for x in self.params]
        self.optimizer = stack._optimizer(params)
        self.scheduler = None if stack._scheduler is None else _scheduler(stack._scheduler, self.optimizer, stack.group)
        self.num_gradients = 0
        self.sums = [None for _ in self.params]
        self._settings = stack.accumulate, stack.clip_value, stack.clip_norm

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of the optimizer."""
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:
        """That of the optimizer."""
        return self.optimizer.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one gradient, and a step when enough of them have come."""
        import torch

        accumulate, clip_value, clip_norm = self._settings
        if accumulate > 1:
            self.num_gradients += 1
            for i, x in enumerate(self.params):
                if x.grad is not None:
                    share = x.grad.detach() / accumulate
                    self.sums[i] = share if self.sums[i] is None else self.sums[i] + share
            if self.num_gradients < accumulate:
                return None
            for x, total in zip(self.params, self.sums):
                x.grad = total
            self.num_gradients, self.sums = 0, [None for _ in self.params]
        if clip_value is not None:
            torch.nn.utils.clip_grad_value_(self.params, clip_value)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.params, clip_norm)
        result = self.optimizer.step() if closure is None else self.optimizer.step(closure)
        if self.scheduler is not None:
            with warnings.catch_warnings():  # a scheduler that was taken over misses the wrapper of its old optimizer
                warnings.filterwarnings("ignore", "Seems like `optimizer.step", UserWarning)
                self.scheduler.step()
        return result


@final
class _LikeThis:
    """Makes optimizers with the settings of one that a script made."""

    def __init__(self, optimizer: Any, group: int):
        self.optimizer, self.group = optimizer, group
        if not 0 <= group < len(optimizer.param_groups):
            raise ValueError(
                f"`group` must lie in [0, {len(optimizer.param_groups)}), the optimizer's groups, got {group}."
            )

    def with_group(self, group: int) -> "_LikeThis":
        return _LikeThis(self.optimizer, group)

    def __call__(self, params: list) -> Any:
        fresh = copy.copy(self.optimizer)
        own = {"param_groups", "state", "step"}
        memo = {id(x): x for entry in self.optimizer.param_groups for x in entry["params"]}
        fresh.__dict__ = {k: copy.deepcopy(v, memo) for k, v in vars(self.optimizer).items() if k not in own}
        settings = _settings(self.optimizer.param_groups[self.group])
        for key in ("step", "k"):
            settings.pop(key, None)  # counters of what has been run
        fresh.param_groups = [{"params": list(params), **copy.deepcopy(settings)}]
        fresh.state = collections.defaultdict(dict)
        return fresh

    def __repr__(self) -> str:
        shown = {k: v for k, v in _settings(self.optimizer.param_groups[self.group]).items() if v not in (None, False)}
        return f"{type(self.optimizer).__name__}({', '.join(f'{k}={v}' for k, v in shown.items())})"


@final
class _Made:
    """A function that makes optimizers, with a name that says more than its own."""

    def __init__(self, function: Callable[[list], Any]):
        self.function = function

    def with_group(self, group: int) -> "_Made":
        raise ValueError("only a script's own optimizer has groups to choose from; a function makes what it makes.")

    def __call__(self, params: list) -> Any:
        return self.function(params)

    def __repr__(self) -> str:
        try:
            import torch

            made = self.function([torch.zeros(1)])
            settings = {k: v for k, v in _settings(made.param_groups[0]).items() if v not in (None, False)}
            return f"{type(made).__name__}({', '.join(f'{k}={v}' for k, v in settings.items())})"
        except Exception:
            return getattr(self.function, "__name__", type(self.function).__name__)


def as_factory(optimizer: Any, *, group: int = 0) -> Any:
    """Return a function that makes the optimizer of a list of parameters, of such a function or of an optimizer.

    Raises:
        TypeError: if it is neither.
        ValueError: if there is no such group.
    """
    if isinstance(optimizer, TorchStack | _Made | _LikeThis):
        return optimizer
    if hasattr(optimizer, "param_groups") and hasattr(optimizer, "step"):
        return _LikeThis(optimizer, group)
    if callable(optimizer):
        return _Made(optimizer)
    raise TypeError(
        "`from_torch` takes a function that makes an optimizer, `lambda params: torch.optim.SGD(params, lr=0.1)`, or "
        f"the optimizer itself, got {type(optimizer).__name__}."
    )


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in group.items() if k not in ("params", "param_names")}


#: What schedulers keep for each parameter group.
_PER_GROUP = ("base_lrs", "_last_lr", "lr_lambdas", "max_lrs", "min_lrs", "base_momentums", "max_momentums")


def _scheduler(scheduler: Any, optimizer: Any, group: int) -> Any:
    if not hasattr(scheduler, "step"):
        return scheduler(optimizer)
    fresh = copy.copy(scheduler)
    old = getattr(scheduler, "optimizer", None)
    memo = {} if old is None else {id(old): optimizer}
    fresh.__dict__ = {name: copy.deepcopy(value, memo) for name, value in vars(scheduler).items()}
    if isinstance(getattr(fresh, "step", None), types.MethodType):
        fresh.__dict__.pop("step", None)
    _keep_group(fresh, group)
    return fresh


def _keep_group(scheduler: Any, group: int) -> None:
    """Leave a scheduler, and those that it is made of, what belongs to one group."""
    kept = vars(scheduler)
    for name in _PER_GROUP:
        if len(kept.get(name) or ()) > group:
            kept[name] = [kept[name][group]]
    for inner in kept.get("_schedulers", ()):
        _keep_group(inner, group)
