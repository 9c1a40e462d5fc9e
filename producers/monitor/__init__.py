"""What the queue is doing, and whether it is healthy."""
