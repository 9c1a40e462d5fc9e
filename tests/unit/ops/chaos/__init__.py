"""Unit tests of ops/chaos."""
