"""Integration tests of ops."""
