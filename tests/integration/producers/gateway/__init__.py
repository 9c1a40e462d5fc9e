"""The HTTP gateway, served on a port, on a real server."""
