"""Shared set-up: run-time type checks of every annotation, and small problems."""

import os
import sys
from pathlib import Path

# Several virtual devices, so that sharing out problems is tested everywhere.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
# Commands leave nothing in the user's cache directory; what they keep has tests of its own.
os.environ["OPTOSCOPE_COMPILED"] = "off"

sys.path.insert(0, str(Path(__file__).parent))  # for `chromium` and `type_checks`

import jax
import pytest
import type_checks

type_checks.install()

MOST_MAPPINGS = 20_000


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forget compiled programs in time: each keeps some mappings of memory, of which a process may have 65,530."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()
