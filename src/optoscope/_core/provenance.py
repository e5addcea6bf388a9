"""Who made a result: versions, time, machine kind and settings, as plain JSON data."""

import datetime
import functools
import importlib.metadata
import os
import platform
import sys
from typing import Any

_PACKAGES = ("optoscope", "jax", "jaxlib", "equinox", "optax", "optimistix", "numpy", "scipy")


def provenance(**settings: Any) -> dict[str, Any]:
    """Describe what is running now.

    Args:
        settings: whatever determines the result (seed, sizes, preset); must be JSON data.

    Returns:
        A dictionary with `versions`, `made` (UTC, ISO 8601), `python`, `machine` (processor kind and number of
        usable cores, nothing that names a host) and `settings`.
    """
    return {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} cores"
        if hasattr(os, "sched_getaffinity")
        else f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "settings": settings,
    }


@functools.cache
def _version(name: str) -> str:
    if isinstance(version := getattr(sys.modules.get(name), "__version__", None), str):
        return version  # much faster than to search what is installed
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
