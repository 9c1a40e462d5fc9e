"""Integration tests of producers/monitor."""
