"""The state of the queue, and whether it is healthy."""
