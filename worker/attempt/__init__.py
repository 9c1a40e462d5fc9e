"""One attempt at a change: from a claim to a settlement."""
