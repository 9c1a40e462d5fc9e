"""Tests of the files in ops/deploy, by reading them."""
