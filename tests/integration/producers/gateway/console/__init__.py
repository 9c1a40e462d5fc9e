"""Tests of the console on a server, without a browser."""
