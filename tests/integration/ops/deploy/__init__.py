"""Tests of the files in ops/deploy, with the programs that read them."""
