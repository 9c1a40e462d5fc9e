"""Integration tests of worker/process."""
