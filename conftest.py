"""Doctests and tests: what one compiled another need not, and files that need an extra that is missing are left out."""

import importlib.util
import os
from pathlib import Path

# Read when JAX is imported, by the commands that tests start as well.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
# Each worker has one core: threads of torch and BLAS would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

collect_ignore = []
if importlib.util.find_spec("torch") is None:
    collect_ignore += ["src/optoscope/torch_optimizer.py", "src/optoscope/optimizers/torch_adapter.py"]
    collect_ignore += [f"src/optoscope/optimizers/torch_{name}.py" for name in ("stack", "whole", "host")]
    collect_ignore += ["src/optoscope/recordings/torch_recorder.py"]
