"""Benchmarks of the main job on real parts: `python -m ops.bench`. See README.md beside this file."""
