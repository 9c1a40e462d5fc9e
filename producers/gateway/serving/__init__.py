"""The HTTP server of the gateway: what is refused before a call is routed."""
