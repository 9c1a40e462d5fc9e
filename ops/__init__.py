"""Programs around the worker: the exchange double, the demo, the benchmarks."""
