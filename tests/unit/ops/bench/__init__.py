"""Unit tests of ops/bench."""
