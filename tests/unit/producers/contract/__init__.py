"""Unit tests of producers/contract."""
