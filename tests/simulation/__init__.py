"""A simulation of the core: its scripts on a real server, with time, workers, network and exchange simulated.

Everything that happens follows from the seed. `SIMULATION_SEEDS=5000 pytest tests/simulation` runs more seeds, and
`SIMULATION_SEED=17` one of them.
"""
