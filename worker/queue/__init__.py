"""The worker's side of the queue: claim due lanes, renew their leases, settle attempts."""
