"""What is stored, read on a server."""
