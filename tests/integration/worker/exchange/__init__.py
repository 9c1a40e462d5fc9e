"""The connection to the exchange."""
