"""Integration tests of producers."""
