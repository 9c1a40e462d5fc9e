"""Integration tests of producers/client."""
