"""The worker process: start, run, stop, and report."""
