"""Unit tests of the judge that demo and chaos share."""
