"""Learned optimizers as torch optimizers. Importing this needs torch, and no JAX."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, final

from optoscope._core.artifact_files import find, read_arrays, read_header

try:
    import torch
except ImportError:
    raise ImportError('`LearnedOptimizer` needs PyTorch: pip install "optoscope[torch]".') from None

#: Components worked off at once: their gates fit into a cache.
_BLOCK = 4096


@final
class LearnedOptimizer(torch.optim.Optimizer):
    """A learned optimizer of optoscope that runs in torch: the numbers of the JAX one, up to rounding.

    Each component of each parameter is driven by its own gradient alone:
    `h' = F(h, gradient_scale * g)`, `x' = x + update_scale * dx` (see `optoscope.optimizers.GRUOptimizer`).
    The state `h` of a parameter is `state[parameter]["hidden"]`, of shape [component, state].

    An optimizer that was learned on one task meets gradients of other sizes on another one: the two scales adapt it.

    Args:
        params: parameters, or parameter groups, which may have their own `gradient_scale` and `update_scale`.
        name_or_path: a shipped learned optimizer such as "linear_regression", or the path of an artifact that
            `optoscope train` wrote.
        gradient_scale: multiplies the gradient before the network sees it.
        update_scale: multiplies the update.

    Raises:
        TypeError: if a parameter is neither float32 nor float64.
        ValueError: if the artifact is no learned optimizer, or a scale is not positive.
        FileNotFoundError: if there is no such artifact.

    >>> x = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = LearnedOptimizer([x], "linear_regression")
    >>> x.square().sum().backward()
    >>> optimizer.step()
    >>> bool((x < 1).all()), optimizer.state[x]["hidden"].shape
    (True, torch.Size([3, 32]))
    """

    def __init__(
        self,
        params: Iterable[Any],
        name_or_path: str | Path,
        *,
        gradient_scale: float = 1.0,
        update_scale: float = 1.0,
    ):
        self._network = _Network.read(name_or_path)
        defaults = {
            "gradient_scale": gradient_scale,
            "update_scale": update_scale,
            "sha256": self._network.sha256,  # so that a state dictionary says whose states it holds
        }
        super().__init__(params, defaults)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_network": self._network}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with scales of their own if the group names them.

        Raises:
            TypeError: if a parameter is neither float32 nor float64.
            ValueError: if a scale is not positive.
        """
        for name in ("gradient_scale", "update_scale"):
            value = param_group.get(name, self.defaults[name])
            if not (isinstance(value, int | float) and 0 < value < float("inf")):
                raise ValueError(f"`{name}` must lie in (0, inf), got {value!r}; 1 leaves the optimizer as it is.")
        super().add_param_group(param_group)
        for x in self.param_groups[-1]["params"]:
            if x.dtype not in (torch.float32, torch.float64):
                del self.param_groups[-1]
                raise TypeError(
                    f"parameters must be float32 or float64, got {x.dtype}; keep such parameters in float32 and let "
                    "torch.autocast compute in fewer bits."
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move every parameter that has a gradient.

        Args:
            closure: computes the loss again and its gradients.

        Returns:
            What `closure` returned; None without one.

        Raises:
            TypeError: if a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for x in group["params"]:
                if x.grad is not None:
                    self._move(x, group["gradient_scale"], group["update_scale"])
        return loss

    def _move(self, x, gradient_scale, update_scale):
        if x.grad.layout != torch.strided:
            raise TypeError(
                "a learned optimizer needs the gradient of every component, got a sparse one; make the layer with "
                "sparse=False."
            )
        weights = self._network.weights(x.dtype, x.device)
        state = self.state[x]
        if "hidden" not in state:
            state["hidden"] = weights["initial"].repeat(x.numel(), 1)
        hidden, g = state["hidden"], gradient_scale * x.grad.reshape(-1)
        updates = []
        for start in range(0, x.numel(), _BLOCK):
            block = slice(start, start + _BLOCK)
            new, dx = self._network.advance(weights, hidden[block], g[block])
            hidden[block] = new
            updates.append(dx)
        if updates:
            x.add_(torch.cat(updates).reshape(x.shape), alpha=update_scale)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another one stopped; its states must be those of the same network.

        Raises:
            ValueError: if they are another learned optimizer's, or the parameter groups differ.
        """
        for group in state_dict["param_groups"]:
            found = str(group.get("sha256"))
            if found != self._network.sha256:
                raise ValueError(
                    f"this state is another optimizer's: its weights have the SHA-256 {found[:12]}..., expected "
                    f"{self._network.sha256[:12]}...; make a LearnedOptimizer of the same artifact."
                )
        super().load_state_dict(state_dict)


class _Network:
    """The gated recurrent unit of `optoscope.optimizers.GRUOptimizer`, and its weights on each device."""

    def __init__(self, arrays, config, sha256):
        self._arrays = arrays
        self._input_scale, self._output_scale = config["input_scale"], config["output_scale"]
        self._reads_log_sign = config["input_kind"] == "log_sign"
        self.sha256 = sha256
        self._weights: dict[Any, dict[str, torch.Tensor]] = {}

    @staticmethod
    def read(name_or_path):
        stem = find(name_or_path)
        return _read(stem, stem.with_name(stem.name + ".json").stat().st_mtime_ns)

    def __deepcopy__(self, memo):
        return self  # nothing in it ever changes

    def __getstate__(self):
        return {**self.__dict__, "_weights": {}}

    def weights(self, dtype, device):
        if (dtype, device) not in self._weights:
            self._weights[dtype, device] = {
                name: torch.from_numpy(array.copy()).to(device=device, dtype=dtype)
                for name, array in self._arrays.items()
            }
        return self._weights[dtype, device]

    def advance(self, weights, h, g):
        """`h' = u h + (1 - u) c` and the update, for states [component, state] and gradients [component]."""
        units = h.shape[1]
        scaled = self._input_scale * g
        inputs = (scaled[:, None],)
        if self._reads_log_sign:
            inputs = (torch.log1p(scaled.abs())[:, None], torch.sign(scaled)[:, None])
        driven = weights["biases"] + sum(s * row for s, row in zip(inputs, weights["input_weights"]))
        gates = torch.sigmoid(driven[:, : 2 * units] + h @ weights["gate_weights"])
        u, r = gates[:, :units], gates[:, units:]
        c = torch.tanh(driven[:, 2 * units :] + (r * h) @ weights["candidate_weights"])
        h = c + u * (h - c)
        return h, self._output_scale * (h @ weights["readout_weights"] + weights["readout_bias"])


@functools.lru_cache(maxsize=8)
def _read(stem, changed):
    del changed  # a part of the key: a file that was written anew is read anew
    data = read_header(stem.with_name(stem.name + ".json"))
    if data["kind"] != "trained":
        raise ValueError(
            f"{stem.name} is a tuned {data.get('rule')}, not a learned optimizer; torch.optim has such rules, and "
            "`optoscope.load` gives its hyperparameters."
        )
    arrays = read_arrays(stem.with_name(stem.name + ".safetensors"), data)
    weights = {name.removeprefix("optimizer."): a for name, a in arrays.items() if name.startswith("optimizer.")}
    return _Network(weights, data["config"], data["sha256"])
