"""The worker: sends queued settings changes to the exchange within its rate limits."""
