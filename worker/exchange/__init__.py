"""The exchange: the request, its signature, the reply, and the time."""
