"""Benchmarks with real processes: `python -m ops.bench`. See README.md beside this file."""
