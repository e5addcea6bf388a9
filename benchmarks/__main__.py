"""Run the short benchmarks, each in a process of its own: cores and precision are settings of a process."""

import subprocess
import sys

for name in ("meta_step", "analysis", "startup"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
