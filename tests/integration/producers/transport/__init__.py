"""Integration tests of producers/transport."""
