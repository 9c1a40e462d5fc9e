"""Integration tests of producers/sync."""
