"""A benchmark of job queues: this project's worker beside its peers, each doing the whole job of a change."""
