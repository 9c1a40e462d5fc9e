"""An overview of the queue, and health checks."""
