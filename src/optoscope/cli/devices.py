"""Use every core: JAX sees the processor as several devices, and problems are shared out over them."""

import contextlib
import os


def use_all_cores() -> None:
    """Let JAX make one device per usable core (at most 8), unless it is already running or was told how many."""
    import jax

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # JAX is already running
            jax.config.update("jax_num_cpu_devices", min(cores, 8))
