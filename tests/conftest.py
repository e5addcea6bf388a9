"""Shared set-up: run-time type checks of every annotation, and small problems."""

import os
import sys
from pathlib import Path

# Several virtual devices, so that sharing out problems is tested everywhere.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

sys.path.insert(0, str(Path(__file__).parent))  # for `chromium`

import jax
import pytest
from jaxtyping import install_import_hook

# As in PEP 484, an int is as good as a float.
install_import_hook("optoscope", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


@pytest.fixture
def key():
    return jax.random.key(0)
