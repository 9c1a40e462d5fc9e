"""Access to Redis: connections, scripts, plans and their runner, retries, pipelines, notifications."""
