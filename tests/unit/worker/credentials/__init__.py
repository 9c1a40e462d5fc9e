"""Unit tests of worker/credentials."""
