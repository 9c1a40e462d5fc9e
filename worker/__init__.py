"""The worker: drains lanes of settings changes at the rates that the exchange allows."""
