"""The console: what the queue does, in a browser. Pages of the gateway that work without scripts."""
