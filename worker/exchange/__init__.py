"""Requests to the exchange: body, signature, HTTP client, classified and redacted replies, and the exchange's time."""
