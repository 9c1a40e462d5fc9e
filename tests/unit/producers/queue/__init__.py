"""Unit tests of producers/queue."""
