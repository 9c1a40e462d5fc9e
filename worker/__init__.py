"""The worker: sends queued settings changes to the exchange at the rates that it allows."""
