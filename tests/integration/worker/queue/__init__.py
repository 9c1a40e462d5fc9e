"""Integration tests of worker/queue."""
