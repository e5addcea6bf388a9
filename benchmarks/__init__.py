"""Measurements, as ratios in one run: `python -m benchmarks` runs the short ones, `benchmarks.seeds` trains."""
