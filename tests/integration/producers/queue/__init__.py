"""Integration tests of producers/queue."""
