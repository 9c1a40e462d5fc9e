"""The calls below /v1."""
