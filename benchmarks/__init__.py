"""Measurements, as ratios in one run. `python -m benchmarks` runs the short ones; `python -m benchmarks.seeds` trains."""
