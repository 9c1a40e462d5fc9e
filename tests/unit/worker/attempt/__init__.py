"""Unit tests of worker/attempt."""
