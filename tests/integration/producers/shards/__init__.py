"""Producers on a queue with four shards."""
