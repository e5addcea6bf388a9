"""Running problems, and keeping what was run."""
