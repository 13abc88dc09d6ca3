"""The engine: scheduler, batching, slices, throughput, watchdog."""
