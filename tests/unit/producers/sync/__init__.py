"""Unit tests of producers/sync."""
