"""Unit tests of worker/exchange."""
