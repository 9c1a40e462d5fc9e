"""Unit tests of producers/transport."""
