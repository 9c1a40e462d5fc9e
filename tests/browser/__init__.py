"""Tests of the console in a real browser, on a real gateway, worker and exchange double."""
