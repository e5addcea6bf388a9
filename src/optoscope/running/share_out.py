"""Sharing work out over the local devices of one kind."""

from collections.abc import Callable

import equinox as eqx
import jax

from optoscope._core.types import Device, PyTree

#: Name of the axis of devices within `share_out`.
AXIS = "device"
_EVERYWHERE = jax.sharding.PartitionSpec()
_SHARED_OUT = jax.sharding.PartitionSpec(AXIS)


def device_mesh(devices: list[Device]) -> jax.sharding.Mesh:
    """Return the one-dimensional mesh of these devices."""
    return jax.make_mesh((len(devices),), (AXIS,), (jax.sharding.AxisType.Auto,), devices=devices)


def everywhere(devices: list[Device]) -> jax.sharding.NamedSharding:
    """Return what says that every device holds all of an array."""
    return jax.sharding.NamedSharding(device_mesh(devices), _EVERYWHERE)


def replicate(tree: PyTree, devices: list[Device]) -> PyTree:
    """Place arrays on every device, as compiled functions over a mesh want them."""
    return jax.device_put(tree, everywhere(devices))


def devices_for(count: int) -> list[Device]:
    """Return the most local devices that share `count` equal parts evenly."""
    num = max(n for n in range(1, jax.local_device_count() + 1) if count % n == 0)
    return jax.local_devices()[:num]


def share_out(
    function: Callable[..., PyTree], shared: PyTree, *parts: PyTree, devices: list[Device], whole: bool = False
) -> PyTree:
    """Run a function on every device, each with its share of the work; to be called within a compiled function.

    Args:
        function: takes `shared` and a share of each of `parts`.
        shared: what every device needs all of: arrays, and anything else.
        parts: trees of arrays, cut along their leading axis, whose length is a multiple of the number of devices.
        devices: one or more devices of one kind.
        whole: every device returns the same, which is returned once (means over `AXIS`, for instance).

    Returns:
        What the devices return, joined along the leading axis.
    """
    data, structure = eqx.partition(shared, eqx.is_array)
    return jax.shard_map(
        lambda data, *share: function(eqx.combine(data, structure), *share),
        mesh=device_mesh(devices),
        in_specs=(_EVERYWHERE, *(_SHARED_OUT for _ in parts)),
        out_specs=_EVERYWHERE if whole else _SHARED_OUT,
        check_vma=False,
    )(data, *parts)
