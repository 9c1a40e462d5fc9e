"""What all calls of the gateway share: access, bodies, problems, logs."""
