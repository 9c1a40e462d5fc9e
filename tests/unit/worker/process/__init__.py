"""Unit tests of worker/process."""
