"""The engine: scheduler, slices, throughput estimates, watchdog."""
