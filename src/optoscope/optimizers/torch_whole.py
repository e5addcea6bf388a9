"""A whole torch optimizer in the shape of optax: run on the host, inside jit and scan as well."""

import collections
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optoscope._core.types import Array, Int, Params
from optoscope.optimizers._image import Image
from optoscope.optimizers.torch_host import Live, find_door
from optoscope.optimizers.torch_stack import as_factory

#: Moments of a run that are kept, each with all that the optimizer remembers.
_KEPT = 4096


def whole_torch(factory: Any) -> optax.GradientTransformationExtraArgs:
    """Run a whole torch optimizer, or a stack, wherever an optax transformation runs.

    The state is one number: which of the moments kept on the host it is. From the same moment the same gradients lead
    to the same update, however often. The last 4096 moments are kept.

    Args:
        factory: as in `from_torch`.

    Returns:
        The transformation. `update` needs `params`, and takes `value` for optimizers that read the loss.

    Raises:
        CannotRun: if the optimizer cannot be made or stepped; the message says what it asks for.

    >>> import jax.numpy as jnp, torch
    >>> transformation = whole_torch(lambda params: torch.optim.SGD(params, lr=0.1))
    >>> params = {"a": jnp.ones(2)}
    >>> updates, _ = transformation.update(params, transformation.init(params), params)
    >>> [round(float(value), 3) for value in updates["a"]]
    [-0.1, -0.1]
    """
    host = _Host(as_factory(factory))

    def init(params: Params) -> Int[Array, ""]:
        leaves = jax.tree.leaves(params)
        moment = jax.ShapeDtypeStruct((), jnp.int32)
        return jax.pure_callback(host.begin, moment, *leaves, vmap_method="sequential")

    def update(updates: Params, state: Any, params: Params | None = None, *, value: Any = 1.0, **extra: Any):
        del extra
        if params is None:
            raise ValueError("a whole torch optimizer needs the parameters: `update(gradients, state, params)`.")
        leaves, structure = jax.tree.flatten(updates)
        places = jax.tree.leaves(params)
        out = [jax.ShapeDtypeStruct((), jnp.int32), *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in places)]
        moment, *found = jax.pure_callback(host.step, out, state, value, *places, *leaves, vmap_method="sequential")
        return jax.tree.unflatten(structure, found), moment

    update.factory = host.factory  # pyright: ignore[reportFunctionMemberAccess]
    return optax.GradientTransformationExtraArgs(init, update)


class _Host:
    """The optimizers at work, one for each set of shapes, and the moments kept."""

    def __init__(self, factory: Any):
        self.factory, self.door = factory, find_door(factory)
        self._moments: collections.OrderedDict[int, tuple[Live, Image]] = collections.OrderedDict()
        self._next = 0
        self._lock = threading.Lock()

    def begin(self, *leaves):
        with self._lock:
            leaves = [np.array(leaf) for leaf in leaves]
            # Some optimizers read the parameters when they are made, so every beginning is one of its own.
            live = Live(self.factory, self.door, leaves)
            return self._keep(live)

    def step(self, moment, value, *arrays):
        with self._lock:
            arrays = [np.array(array) for array in arrays]
            places, gradients = arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]
            if int(moment) not in self._moments:
                raise RuntimeError(
                    f"this state of a torch optimizer is too old: only the last {_KEPT} moments are kept; go on from a "
                    "newer one, or begin again."
                )
            live, image = self._moments[int(moment)]
            image.put_back()
            live.place(places)
            updates = live.step(gradients, value=float(np.asarray(value)))
            return (self._keep(live), *(u.astype(x.dtype) for u, x in zip(updates, places)))

    def _keep(self, live):
        moment, self._next = self._next, self._next + 1
        self._moments[moment] = live, live.image()
        while len(self._moments) > _KEPT:
            self._moments.popitem(last=False)
        return np.int32(moment)
