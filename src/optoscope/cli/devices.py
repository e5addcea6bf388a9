"""What a process sets up before JAX starts: every core as a device, and memory that is kept once it was had."""

import contextlib
import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h>


def use_all_cores(num_devices: int | None = None) -> None:
    """Let JAX make one device per usable core (at most 8), unless it is already running or was told how many.

    Also keeps glibc from handing the large buffers of each meta-step back to the system only to fault them in, page
    by page, for the next one.

    Args:
        num_devices: this many devices instead, however many cores there are: what a run computes depends on it.
    """
    import jax

    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        malloc = ctypes.CDLL(None)
        malloc.mallopt(_M_MMAP_MAX, 0)
        malloc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # JAX is already running
            jax.config.update("jax_num_cpu_devices", num_devices or min(cores, 8))
