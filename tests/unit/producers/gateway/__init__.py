"""Unit tests of producers/gateway."""
