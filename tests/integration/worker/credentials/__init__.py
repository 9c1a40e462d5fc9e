"""Integration tests of worker/credentials."""
