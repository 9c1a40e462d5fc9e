"""Unit tests of producers/monitor."""
