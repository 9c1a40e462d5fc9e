"""The worker's side of the queue: claim due changes, renew the session, settle attempts."""
