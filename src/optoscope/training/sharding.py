"""Sharing work out over the local devices of one kind."""

import jax

from optoscope._types import Device, PyTree

AXIS = "device"
EVERYWHERE = jax.sharding.PartitionSpec()
SHARED_OUT = jax.sharding.PartitionSpec(AXIS)


def device_mesh(devices: list[Device]) -> jax.sharding.Mesh:
    """Return the one-dimensional mesh of these devices."""
    return jax.make_mesh((len(devices),), (AXIS,), (jax.sharding.AxisType.Auto,), devices=devices)


def replicate(tree: PyTree, devices: list[Device]) -> PyTree:
    """Place arrays on every device, as compiled functions over a mesh want them."""
    return jax.device_put(tree, jax.sharding.NamedSharding(device_mesh(devices), EVERYWHERE))


def devices_for(count: int) -> list[Device]:
    """Return the most local devices that share `count` equal parts evenly."""
    num = max(n for n in range(1, jax.local_device_count() + 1) if count % n == 0)
    return jax.local_devices()[:num]
