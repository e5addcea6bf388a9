"""Use every core: JAX sees the processor as several devices, and problems are shared out over them."""

import os


def use_all_cores() -> None:
    """Let JAX make one device per usable core (at most 8). To be called before JAX does anything."""
    import jax

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", min(cores, 8))
