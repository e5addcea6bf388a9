"""What every room stands on: types, checks, whole files, results, statistics."""
