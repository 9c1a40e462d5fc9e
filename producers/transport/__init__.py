"""How Redis is reached: connections, scripts, plans and what runs them, retries, pipelines, notifications."""
