"""Unit tests of ops/demo."""
